//! What lines and spans are made of events.

use std::{net::TcpListener, sync::Mutex};

use domain::time::Timestamp;
use insta::assert_snapshot;
use opentelemetry::{Context, trace::SpanKind};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tracing::{Level, info, warn};

use super::*;

fn clock() -> Clock {
    let epoch = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
    Clock::new(epoch, || Duration::ZERO)
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(form: Form, shows_requests: bool, log: impl FnOnce()) -> String {
    let queue = Arc::new(Queue::new(1 << 20));
    let written = Written::default();
    let writer = Writer::start(Arc::clone(&queue), written.clone()).unwrap();
    let layer = LineLayer {
        queue,
        clock: clock(),
        form,
        instance: "node-1".into(),
        shows_requests,
    };
    tracing::subscriber::with_default(registry().with(layer), log);
    writer.finish(Duration::from_secs(60));
    let written = written.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

fn log_something() {
    info!(
        target: "actors::tenant",
        count = 3,
        share = 0.123_456,
        is_new = true,
        absent = None::<u64>,
        name = "a \"quoted\"\nname",
        otel.name = "hidden",
        "three things, \"quoted\"\u{7}"
    );
}

#[test]
fn a_line_is_one_json_object() {
    let line = lines(Form::Json, true, log_something);
    assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    assert_snapshot!(line, @r#"{"timestamp":"2026-01-31T12:00:00.000000Z","level":"INFO","target":"actors::tenant","message":"three things, \"quoted\"\u0007","count":3,"share":0.123,"is_new":true,"name":"a \"quoted\"\nname","instance":"node-1"}"#);
}

#[test]
fn a_line_for_people_is_one_line_too() {
    assert_snapshot!(lines(Form::Text, true, log_something), @r#"2026-01-31T12:00:00.000000Z  INFO actors::tenant: three things, "quoted"\u{7} count=3 share=0.123 is_new=true name="a \"quoted\"\nname""#);
}

#[test]
fn requests_are_left_out_if_nobody_wants_them() {
    let log = || {
        info!(target: REQUEST_TARGET, "a request");
        info!(target: "trunkline::http::server", "listening");
    };
    let shown = lines(Form::Text, false, log);
    assert!(
        shown.contains("listening") && !shown.contains("a request"),
        "{shown}"
    );
}

#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn a_request_becomes_a_span_under_its_callers() {
    let ended = Ended::default();
    let layer = SpansLayer::new(Arc::new(Spans::over(ended.clone())), clock());
    tracing::subscriber::with_default(registry().with(layer), || {
        for is_sampled in [true, false] {
            warn!(
                target: REQUEST_TARGET,
                method = "POST",
                status = 503_u16,
                duration_ms = 250.0,
                trace_id = display("0af7651916cd43dd8448eb211c80319c"),
                otel.name = "/v1/events",
                otel.span_id = display("00f067aa0ba902b7"),
                otel.parent_span_id = Some(display("b7ad6b7169203331")),
                otel.sampled = is_sampled,
                "said"
            );
        }
        tracing::event!(target: DELIVERY_TARGET, Level::INFO, "without ids there is no span");
    });
    let spans = ended.0.lock().unwrap();
    let [span] = spans.as_slice() else {
        panic!("expected one span: {spans:?}");
    };
    assert_eq!(span.name, "POST /v1/events");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(
        span.span_context.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    let took = span.end_time.duration_since(span.start_time).unwrap();
    assert_eq!(took, Duration::from_millis(250));
    assert_eq!(span.status, opentelemetry::trace::Status::error(""));
    let keys: Vec<&str> = span.attributes.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["http.request.method", "http.response.status_code"]);
}

/// Takes one request of a collector's client, and answers with its head and body.
fn collect_one(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().unwrap();
    let (mut taken, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let length = io::Read::read(&mut stream, &mut piece).unwrap();
        assert!(length > 0, "the client went away");
        taken.extend_from_slice(&piece[..length]);
        let Some(end) = taken.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&taken[..end]).to_lowercase();
        let announced = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let body = &taken[end + 4..];
        if body.len() == announced.unwrap().parse::<usize>().unwrap() {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            io::Write::write_all(&mut stream, answer).unwrap();
            return (head, body.to_vec());
        }
    }
}

#[test]
fn spans_reach_a_collector_before_the_end() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || collect_one(&listener));
    let spans = Arc::new(Spans::start(&base, "my-service", "node-1").unwrap());
    let layer = SpansLayer::new(Arc::clone(&spans), clock());
    tracing::subscriber::with_default(registry().with(layer), || {
        info!(
            target: DELIVERY_TARGET,
            duration_ms = 1.5,
            trace_id = "0af7651916cd43dd8448eb211c80319c",
            otel.span_id = "00f067aa0ba902b7",
            otel.sampled = true,
            "delivered"
        );
    });
    spans.finish(Duration::from_secs(60));
    let (head, body) = collector.join().unwrap();
    assert!(head.starts_with("post /v1/traces "), "{head}");
    let holds = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let trace_id = hex::decode("0af7651916cd43dd8448eb211c80319c").unwrap();
    assert!(holds(&trace_id) && holds(b"my-service") && holds(b"node-1") && holds(b"deliver"));
}

#[test]
fn what_becomes_of_doors_that_the_process_closes_itself_is_no_error() {
    let said = lines(Form::Json, true, || {
        tracing::error!(target: ACCEPTOR_TARGET, "too many open files");
        doors_close();
        tracing::error!(target: ACCEPTOR_TARGET, "invalid argument");
        tracing::error!(target: "actors::tenant", "something else");
    });
    let messages: Vec<bool> = ["too many", "invalid", "something else"]
        .map(|part| said.contains(part))
        .to_vec();
    assert_eq!(messages, [true, false, true], "{said}");
}

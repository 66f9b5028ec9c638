//! Requests from the bus, answered by handlers, over a real server of NATS.

use std::{env, net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{HeaderName, HeaderValue},
    },
    web::{self, ServiceConfig},
};
use bytes::Bytes;
use outbound::{Bus, BusError, BusOptions, Connection};
use rand::{SeedableRng as _, rngs::StdRng};
use store::control::SessionId;
use tokio::{runtime::Handle, sync::watch};

use super::{
    Answering, AnsweringOptions,
    wire::{Answered, WrittenAnswer, WrittenRequest},
};
use crate::{
    config::Loaded,
    http::{
        body::RawBody,
        context::RequestContext,
        problem::{Code, Problem},
        server::ServerOptions,
    },
    metrics::Metrics,
    shutdown::{self, Stopper},
};

/// Long enough never to be reached.
const LONG: Duration = Duration::from_secs(30);

/// A node that answers, and a bus to ask it by.
struct Stand {
    bus: Bus,
    session: watch::Sender<Option<SessionId>>,
    answering: Answering,
    _stopper: Stopper,
}

pub(super) fn server_options() -> (ServerOptions, Stopper) {
    let (stopper, stopping) = shutdown::stopping();
    let variables = [(
        "TRUNKLINE__SERVER__CORS_ORIGINS".to_owned(),
        "https://app.example".to_owned(),
    )];
    let options = ServerOptions {
        settings: Arc::new(Loaded::load(None, variables).unwrap().settings),
        random: Arc::new(|| StdRng::seed_from_u64(1)),
        metrics: Metrics::alone(crate::clock::system()),
        stopping,
    };
    (options, stopper)
}

async fn bus() -> Bus {
    let url = env::var("TRUNKLINE_TEST_NATS").expect(
        "TRUNKLINE_TEST_NATS is not set: run ./test.sh, which starts the servers that tests need",
    );
    let options = BusOptions {
        url,
        authorities: None,
        name: "test".to_owned(),
        prefix: format!("test-{:016x}", rand::random::<u64>()),
        runtime: Handle::current(),
    };
    let bus = Bus::start(options).unwrap();
    let is_up = |connection: &Connection| matches!(connection, Connection::Up(_));
    bus.connections().wait_for(is_up).await.unwrap();
    bus
}

fn session(number: u8) -> SessionId {
    let text = format!("0198c7a0-0000-7000-8000-0000000000{number:02x}");
    text.parse().unwrap()
}

impl Stand {
    async fn new() -> Stand {
        let (server, stopper) = server_options();
        let (session, sessions) = watch::channel(Some(session(1)));
        let bus = bus().await;
        let options = AnsweringOptions {
            server,
            bus: bus.clone(),
            session: sessions,
            threads: 2,
        };
        let answering = Answering::start(options, handlers).unwrap();
        let stand = Stand {
            bus,
            session,
            answering,
            _stopper: stopper,
        };
        stand.until_asked_as(1).await;
        stand
    }

    /// Waits until the node answers under this session.
    async fn until_asked_as(&self, number: u8) {
        loop {
            match self.ask_as(number, get("/none")).await {
                Err(BusError::NoResponder) => tokio::task::yield_now().await,
                answer => return drop(answer.unwrap()),
            }
        }
    }

    async fn ask_as(&self, number: u8, request: Bytes) -> Result<WrittenAnswer, BusError> {
        let node = session(number).to_string();
        let answer = self.bus.request(&node, request, LONG).await?;
        Ok(WrittenAnswer::read(answer).unwrap())
    }

    async fn ask(&self, request: Bytes) -> WrittenAnswer {
        self.ask_as(1, request).await.unwrap()
    }

    async fn answered(&self, request: Bytes) -> Answered {
        let answer = self.ask(request).await;
        let WrittenAnswer::Answered(answered) = answer else {
            panic!("{answer:?}");
        };
        answered
    }
}

fn handlers(app: &mut ServiceConfig) {
    app.route("/echo/{name}", web::post().to(echo))
        .route("/elsewhere", web::get().to(elsewhere))
        .route("/conflict", web::get().to(conflict))
        .route("/panic", web::get().to(breaks))
        .route("/long", web::get().to(long));
}

async fn echo(request: HttpRequest, context: RequestContext, body: RawBody) -> HttpResponse {
    assert!(context.is_carried());
    let name = request.match_info().get("name").unwrap_or_default();
    let text = format!(
        "{name} {} {} {} {}",
        request.query_string(),
        context.client_ip(),
        context.request_id(),
        body.0.len()
    );
    HttpResponse::Accepted()
        .append_header(("x-own", "1"))
        .append_header(("x-own", "2"))
        .body(text)
}

async fn elsewhere(context: RequestContext) -> Result<HttpResponse, Problem> {
    context.set_not_here();
    Err(Problem::new(Code::OwnerUnreachable, "it lives elsewhere"))
}

async fn conflict() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::Conflict, "the name is taken"))
}

async fn breaks() -> HttpResponse {
    panic!("on purpose")
}

async fn long() -> HttpResponse {
    HttpResponse::Ok().body(vec![0; super::answering::ANSWER_BYTES_MAX + 1])
}

fn written(method: Method, uri: &str, body: &'static [u8]) -> Bytes {
    let id = HeaderName::from_static("x-request-id");
    let origin = HeaderName::from_static("origin");
    WrittenRequest {
        method,
        uri: uri.parse().unwrap(),
        client_ip: IpAddr::from([203, 0, 113, 7]),
        headers: vec![
            (id, HeaderValue::from_static("my-id")),
            (origin, HeaderValue::from_static("https://app.example")),
        ],
        body: Bytes::from_static(body),
    }
    .write()
}

pub(super) fn get(uri: &str) -> Bytes {
    written(Method::GET, uri, b"")
}

fn values<'a>(answered: &'a Answered, name: &str) -> Vec<&'a str> {
    let headers = answered.headers.iter();
    headers
        .filter(|(known, _)| known.as_str() == name)
        .map(|(_, value)| value.to_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_carried_request_is_handled_as_if_it_had_come_by_itself() {
    let stand = Stand::new().await;
    let answered = stand
        .answered(written(Method::POST, "/echo/me?a=1", &[7; 300_000]))
        .await;
    assert_eq!(answered.status, StatusCode::ACCEPTED);
    assert_eq!(answered.body, "me a=1 203.0.113.7 my-id 300000");
    assert_eq!(values(&answered, "x-own"), ["1", "2"]);
    assert_eq!(values(&answered, "x-request-id"), ["my-id"]);
    // The node that the client asked says what browsers may do.
    assert!(values(&answered, "access-control-allow-origin").is_empty());
    assert!(values(&answered, "vary").is_empty());
}

#[actix_web::test]
async fn a_problem_comes_back_whole() {
    let stand = Stand::new().await;
    let answered = stand.answered(get("/conflict")).await;
    assert_eq!(answered.status, StatusCode::CONFLICT);
    assert_eq!(
        values(&answered, "content-type"),
        ["application/problem+json"]
    );
    let body: serde_json::Value = serde_json::from_slice(&answered.body).unwrap();
    assert_eq!(body["instance"], "/conflict");
    assert_eq!(body["error"]["code"], "conflict");
}

#[actix_web::test]
async fn what_does_not_live_here_is_said_so() {
    let stand = Stand::new().await;
    assert_eq!(stand.ask(get("/elsewhere")).await, WrittenAnswer::NotHere);
}

#[actix_web::test]
async fn a_handler_that_breaks_breaks_nothing_else() {
    let stand = Stand::new().await;
    assert_eq!(stand.ask(get("/panic")).await, WrittenAnswer::Broken);
    assert_eq!(stand.ask(get("/long")).await, WrittenAnswer::Broken);
    for _ in 0..4 {
        assert_eq!(
            stand.answered(get("/conflict")).await.status,
            StatusCode::CONFLICT
        );
    }
}

#[actix_web::test]
async fn a_request_of_another_version_is_told_so() {
    let stand = Stand::new().await;
    let mut request = get("/conflict").to_vec();
    request[0] = 2;
    assert_eq!(
        stand.ask(request.into()).await,
        WrittenAnswer::UnknownVersion
    );
}

#[actix_web::test]
async fn a_new_session_is_a_new_name() {
    let stand = Stand::new().await;
    stand.session.send_replace(Some(session(2)));
    stand.until_asked_as(2).await;
    loop {
        // The old name is forgotten soon.
        if stand.ask_as(1, get("/none")).await == Err(BusError::NoResponder) {
            break;
        }
    }
    stand.answering.end(LONG).await;
    assert_eq!(
        stand
            .bus
            .request(&session(2).to_string(), get("/none"), LONG)
            .await,
        Err(BusError::NoResponder)
    );
}

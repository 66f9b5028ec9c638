//! The owner's side: takes requests from the bus and runs them through the same handlers as those from sockets.
//!
//! Each of its threads has handlers of its own, as each worker of the server has. They outlive the server: what others send
//! while this node hands its tenants over is answered too.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_http::{Payload, Request};
use actix_rt::Arbiter;
use actix_service::{IntoServiceFactory as _, ServiceFactory as _};
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, to_bytes_limited},
    dev::{AppConfig, Service, ServiceResponse},
    http::header::{CONTENT_LENGTH, HeaderValue},
    web::ServiceConfig,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use outbound::{Bus, bus::Handler};
use store::control::SessionId;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

use super::wire::{self, Answered, Unreadable, WrittenAnswer, WrittenRequest};
use crate::http::{
    context::RequestContext,
    server::{self, ServerOptions},
};

/// Requests of other nodes that are worked on at once.
const IN_FLIGHT_MAX: usize = 4_096;
/// How long a request may wait for a thread. One that waited longer, because this process was stopped or has far too much to
/// do, is not begun: its client may have been told already that nothing is known of it.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of an answer's body, at most. Whatever answers with more is a stream, and needs no owner.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is needed to answer other nodes.
pub(crate) struct AnsweringOptions {
    /// As the server's.
    pub(crate) server: ServerOptions,
    /// Where requests come from.
    pub(crate) bus: Bus,
    /// Under which name this node is asked, now and whenever it changes.
    pub(crate) session: watch::Receiver<Option<SessionId>>,
    /// Threads that work on them.
    pub(crate) threads: usize,
}

/// A node that answers others. It stops when it is ended or dropped.
pub(crate) struct Answering {
    arbiters: Vec<Arbiter>,
    stop: watch::Sender<Duration>,
    serving: JoinHandle<()>,
}

/// One request for a thread.
struct Job {
    request: Bytes,
    begin_by: Instant,
    answer: oneshot::Sender<Bytes>,
}

impl Answering {
    /// Starts the threads, and answers under each session that this node gets. `configure` adds the routes and whatever they
    /// need; it runs once in each thread.
    pub(crate) fn start(
        options: AnsweringOptions,
        configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Answering> {
        let mut arbiters = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..options.threads.max(1) {
            let (sender, jobs) = mpsc::channel(IN_FLIGHT_MAX);
            let arbiter = Arbiter::try_new()?;
            let (server, configure) = (options.server.clone(), configure.clone());
            arbiter.spawn_fn(move || {
                actix_rt::spawn(work(jobs, server, configure));
            });
            arbiters.push(arbiter);
            threads.push(sender);
        }
        let (stop, stopped) = watch::channel(Duration::MAX);
        let runtime = options.bus.runtime();
        let serve = serve(
            options.bus,
            options.session,
            stopped,
            spread(threads.into()),
        );
        Ok(Answering {
            arbiters,
            stop,
            serving: runtime.spawn(serve),
        })
    }

    /// Takes no more requests, gives those in flight this time, and ends the threads.
    pub(crate) async fn end(mut self, within: Duration) {
        self.stop.send_replace(within);
        let ended = (&mut self.serving).await;
        if let Err(error) = ended {
            tracing::error!("what answers other nodes has broken: {error}");
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.serving.abort();
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Answers under one session after the other, until it is told to stop.
async fn serve(
    bus: Bus,
    mut session: watch::Receiver<Option<SessionId>>,
    mut stopped: watch::Receiver<Duration>,
    handler: Handler,
) {
    loop {
        let own = *session.borrow_and_update();
        let serving = match own {
            Some(own) => bus
                .serve(&own.to_string(), IN_FLIGHT_MAX, Arc::clone(&handler))
                .await
                .inspect_err(|error| tracing::error!("other nodes cannot ask this one: {error}"))
                .ok(),
            None => None,
        };
        tokio::select! {
            // Whoever asked under the old name gets its answer still, and nobody asks under it any more.
            changed = session.changed() => if changed.is_err() {
                // The engine is gone, and its sessions with it.
                return;
            },
            _ = stopped.changed() => {
                let within = *stopped.borrow();
                if let Some(serving) = serving && !serving.drain(within).await {
                    tracing::warn!("requests of other nodes were in flight at the end: they are broken off");
                }
                return;
            }
        }
    }
}

/// Gives each request to the next thread.
fn spread(threads: Arc<[mpsc::Sender<Job>]>) -> Handler {
    let turn = AtomicUsize::new(0);
    Arc::new(move |request| {
        let turn = turn.fetch_add(1, Ordering::Relaxed) % threads.len();
        let (answer, answered) = oneshot::channel();
        let taken = threads[turn].try_send(Job {
            request,
            begin_by: Instant::now() + BEGIN_WITHIN,
            answer,
        });
        async move {
            if taken.is_err() {
                // The thread has ended, or has more to do than the bus brings.
                return WrittenAnswer::NotHere.write();
            }
            let answer = answered.await;
            answer.unwrap_or_else(|_panicked| WrittenAnswer::Broken.write())
        }
        .boxed()
    })
}

/// One thread's work.
async fn work(
    mut jobs: mpsc::Receiver<Job>,
    options: ServerOptions,
    configure: impl Fn(&mut ServiceConfig) + Clone + 'static,
) {
    let layer = Arc::new(server::carried_layer_options(&options));
    let app = server::app(&options, &layer, configure).into_factory();
    let Ok(service) = app.new_service(AppConfig::default()).await else {
        tracing::error!("the handlers for requests of other nodes cannot be made");
        return;
    };
    let service = Rc::new(service);
    while let Some(job) = jobs.recv().await {
        let service = Rc::clone(&service);
        actix_rt::spawn(async move {
            let written = match Instant::now() <= job.begin_by {
                true => carry_out(&*service, job.request).await,
                false => WrittenAnswer::NotHere,
            };
            // The other node may have stopped waiting.
            job.answer.send(written.write()).ok();
        });
    }
}

async fn carry_out<S>(service: &S, request: Bytes) -> WrittenAnswer
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let request = match WrittenRequest::read(request) {
        Ok(written) => request_of(written),
        Err(Unreadable::OtherVersion) => return WrittenAnswer::UnknownVersion,
        Err(unreadable @ Unreadable::Malformed) => {
            tracing::error!("a request of another node is lost: {unreadable}");
            return WrittenAnswer::UnknownVersion;
        }
    };
    let response = match service.call(request).await {
        Ok(response) => {
            if RequestContext::of(response.request()).is_ok_and(|context| context.is_not_here()) {
                return WrittenAnswer::NotHere;
            }
            response.into_parts().1
        }
        Err(error) => error.error_response(),
    };
    written(response).await
}

async fn written(response: HttpResponse) -> WrittenAnswer {
    let (head, body) = response.into_parts();
    match to_bytes_limited(body, ANSWER_BYTES_MAX).await {
        Ok(Ok(body)) => WrittenAnswer::Answered(Answered {
            status: head.status(),
            headers: wire::end_to_end(head.headers()),
            body,
        }),
        Ok(Err(error)) => {
            tracing::error!("an answer for another node broke off: {error}");
            WrittenAnswer::Broken
        }
        Err(_too_large) => {
            tracing::error!("an answer for another node is larger than {ANSWER_BYTES_MAX} bytes");
            WrittenAnswer::Broken
        }
    }
}

/// The request as it would have come from a socket.
fn request_of(written: WrittenRequest) -> Request {
    let length = written.body.len();
    let mut request = Request::with_payload(Payload::from(written.body));
    let head = request.head_mut();
    head.method = written.method;
    head.uri = written.uri;
    head.peer_addr = Some(SocketAddr::new(written.client_ip, 0));
    for (name, value) in written.headers {
        head.headers.append(name, value);
    }
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    request
}

#[cfg(test)]
mod tests {
    use actix_web::web;

    use super::*;
    use crate::http::carry::tests::{get, server_options};

    /// What becomes of a request that has to be begun by this moment.
    async fn worked(begin_by: Instant) -> WrittenAnswer {
        let (sender, jobs) = mpsc::channel(1);
        let (answer, answered) = oneshot::channel();
        let request = get("/conflict");
        let job = Job {
            request,
            begin_by,
            answer,
        };
        assert!(sender.try_send(job).is_ok());
        drop(sender);
        let (options, _stopper) = server_options();
        work(jobs, options, |app: &mut ServiceConfig| {
            app.route("/conflict", web::get().to(HttpResponse::Conflict));
        })
        .await;
        WrittenAnswer::read(answered.await.unwrap()).unwrap()
    }

    #[actix_web::test]
    async fn a_request_that_waited_too_long_for_its_thread_is_not_begun() {
        let now = Instant::now();
        let answer = worked(now + BEGIN_WITHIN).await;
        assert!(matches!(answer, WrittenAnswer::Answered(_)), "{answer:?}");
        assert_eq!(
            worked(now - Duration::from_millis(1)).await,
            WrittenAnswer::NotHere
        );
    }
}

//! How the process ends: a signal stops the accepting, what is in flight finishes, what is owed is written.
//!
//! A second signal ends it at once. What has to be written at the end is for the caller to say.

use std::{future::Future, io, time::Duration};

use actix_web::dev::Server;
use futures_util::future::{join_all, select_all};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::timeout,
};
use tracing::{info, warn};

/// The exit code of a process that was told twice to end.
const INTERRUPTED: i32 = 130;

/// Tells handlers that would go on for ever (tails, long polls) that the process ends. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

/// Says that the process ends. Dropping it says so too.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

/// The signals that end the process, SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A pair of the one who says and the one who hears.
pub(crate) fn stopping() -> (Stopper, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stopping(receiver))
}

impl Stopping {
    /// Whether the process ends.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the process ends.
    pub(crate) async fn begun(&mut self) {
        // A sender that is gone says the same as one that says so.
        drop(self.0.wait_for(|begun| *begun).await);
    }
}

impl Stopper {
    /// Says so.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Signals {
    /// Begins to listen; from now on the signals do not end the process by themselves.
    pub(crate) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one, and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Serves until a signal comes, or `end` names what else ends it, then ends in order: no new connections, `within` for what
/// is in flight, then `flush`.
///
/// A server that breaks ends the others in the same way; its error comes back.
pub(crate) async fn run(
    servers: Vec<Server>,
    stopper: Stopper,
    within: Duration,
    end: impl Future<Output = &'static str>,
    flush: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    let mut second = Signals::listen()?;
    let first = async move {
        tokio::select! {
            name = signals.next() => name,
            name = end => name,
        }
    };
    let at_once = async move {
        // Each listener hears every signal: the first of these is the one that began the end.
        second.next().await;
        let name = second.next().await;
        warn!("{name} came again: ending at once");
        std::process::exit(INTERRUPTED);
    };
    let watcher = actix_rt::spawn(at_once);
    let outcome = serve(servers, stopper, within, first, flush).await;
    watcher.abort();
    outcome
}

async fn serve(
    servers: Vec<Server>,
    stopper: Stopper,
    within: Duration,
    signal: impl Future<Output = &'static str>,
    flush: impl Future<Output = ()>,
) -> io::Result<()> {
    let handles: Vec<_> = servers.iter().map(Server::handle).collect();
    let mut running = select_all(servers.into_iter().map(actix_rt::spawn));
    let outcome = tokio::select! {
        name = signal => {
            info!("{name}: no new connections; what is in flight has {within:?} to finish");
            Ok(())
        }
        (ended, _, _) = &mut running => ended.unwrap_or_else(|error| Err(io::Error::other(error))),
    };
    stopper.begin();
    let stopped = join_all(handles.iter().map(|handle| handle.stop(true)));
    if timeout(within, stopped).await.is_err() {
        warn!("some requests were still in flight after {within:?}: they are broken off");
    }
    flush.await;
    info!("all is written; good-bye");
    outcome
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use actix_web::{App, HttpResponse, HttpServer, web};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::Notify,
    };

    use super::*;

    /// Asks, and answers with all that comes back.
    async fn get(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        // A connection that is broken off has said all that it will.
        stream.read_to_string(&mut answer).await.ok();
        answer
    }

    #[actix_web::test]
    async fn those_who_wait_hear_that_the_end_has_begun() {
        let (stopper, mut hears) = stopping();
        assert!(!hears.has_begun());
        let waits = actix_rt::spawn(async move { hears.begun().await });
        stopper.begin();
        waits.await.unwrap();
        let (stopper, mut hears) = stopping();
        drop(stopper);
        assert!(hears.has_begun());
        hears.begun().await;
    }

    #[actix_web::test]
    async fn what_is_in_flight_finishes_and_then_all_is_flushed() {
        let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (server_arrived, server_release) = (Arc::clone(&arrived), Arc::clone(&release));
        let server = HttpServer::new(move || {
            let (arrived, release) = (Arc::clone(&server_arrived), Arc::clone(&server_release));
            let handler = move || {
                let (arrived, release) = (Arc::clone(&arrived), Arc::clone(&release));
                async move {
                    arrived.notify_one();
                    release.notified().await;
                    HttpResponse::Ok().body("finished")
                }
            };
            App::new().default_service(web::to(handler))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = server.addrs()[0];
        let request = actix_rt::spawn(get(address));
        let (stopper, mut stopping) = stopping();
        let released = Arc::clone(&release);
        let frees_the_handler = actix_rt::spawn(async move {
            stopping.begun().await;
            released.notify_one();
        });
        let signal = async move {
            arrived.notified().await;
            "a signal"
        };
        let is_flushed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_flushed);
        let flush = async move { flag.store(true, Ordering::Relaxed) };
        let within = Duration::from_secs(60);
        serve(vec![server.run()], stopper, within, signal, flush)
            .await
            .unwrap();
        frees_the_handler.await.unwrap();
        assert!(request.await.unwrap().ends_with("finished"));
        assert!(is_flushed.load(Ordering::Relaxed));
        assert!(
            TcpListener::bind(address).await.is_ok(),
            "nobody listens any more"
        );
    }

    #[actix_web::test]
    async fn a_request_that_never_ends_is_broken_off() {
        let server =
            HttpServer::new(|| App::new().default_service(web::to(pending::<HttpResponse>)))
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
        let address = server.addrs()[0];
        let request = actix_rt::spawn(get(address));
        let (stopper, _stopping) = stopping();
        let within = Duration::from_millis(50);
        let ended = serve(
            vec![server.run()],
            stopper,
            within,
            ready("a signal"),
            ready(()),
        )
        .await;
        ended.unwrap();
        assert_eq!(request.await.unwrap(), "");
    }
}

//! How the process ends: a signal stops the accepting, what is in flight finishes, what is owed is written.
//!
//! A second signal ends it at once. What has to be written at the end is for the caller to say.

use std::{
    future::Future,
    io,
    net::{Shutdown, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use futures_util::future::{join_all, select_all};
use socket2::SockRef;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::logging;

/// How long connections in use are given to see their last answer.
const LINGER: Duration = Duration::from_millis(500);
/// The exit code of a process that was told twice to end.
const INTERRUPTED: i32 = 130;

/// Tells handlers that would go on for ever (tails, long polls) that the process ends. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    told: watch::Receiver<bool>,
    /// The same, for those who look at each request.
    has_begun: Arc<AtomicBool>,
}

/// Says that the process ends. Dropping it says so too.
#[derive(Debug)]
pub(crate) struct Stopper {
    tells: watch::Sender<bool>,
    has_begun: Arc<AtomicBool>,
}

/// A server that runs.
pub(crate) struct Open {
    /// The server.
    pub(crate) server: Server,
    /// Where it accepts connections, if it is to let those that there are come to their end before it stops.
    pub(crate) door: Option<TcpListener>,
}

/// The signals that end the process, SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// A pair of the one who says and the one who hears.
pub(crate) fn stopping() -> (Stopper, Stopping) {
    let (tells, told) = watch::channel(false);
    let has_begun = Arc::new(AtomicBool::new(false));
    let stopper = Stopper {
        tells,
        has_begun: Arc::clone(&has_begun),
    };
    (stopper, Stopping { told, has_begun })
}

impl Stopping {
    /// Whether the process ends.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Waits until the process ends.
    pub(crate) async fn begun(&mut self) {
        // A sender that is gone says the same as one that says so.
        drop(self.told.wait_for(|begun| *begun).await);
    }

    /// Of a process that never ends.
    #[cfg(test)]
    pub(crate) fn never() -> Stopping {
        let (stopper, stopping) = stopping();
        std::mem::forget(stopper);
        stopping
    }
}

impl Stopper {
    /// Says so.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.tells.send_replace(true);
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.begin();
    }
}

impl Open {
    fn apart(self) -> (Door, Server) {
        let door = Door {
            handle: self.server.handle(),
            listener: self.door,
        };
        (door, self.server)
    }
}

/// What lets connections into a server.
struct Door {
    handle: ServerHandle,
    listener: Option<TcpListener>,
}

impl Door {
    /// Lets nobody in any more: whoever comes is refused, and knows that nothing was done.
    async fn close(&self, listener: &TcpListener) {
        // Else the server would see its listener fail. Its thread may see it all the same: the pause is asked for, not awaited.
        logging::doors_close();
        self.handle.pause().await;
        if let Err(error) = SockRef::from(listener).shutdown(Shutdown::Both) {
            warn!("new connections are taken until the end: {error}");
        }
    }
}

/// Closes the doors, and then waits a little: from now on every answer is the last one on its connection, so that connections
/// in use end where a client expects it. Those that are idle are closed after that, and nobody is likely to be about to use them.
async fn linger(doors: Vec<Door>, within: Duration) {
    let mut is_any = false;
    for door in &doors {
        if let Some(listener) = &door.listener {
            door.close(listener).await;
            is_any = true;
        }
    }
    if is_any {
        sleep(LINGER.min(within / 4)).await;
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
    servers: Vec<Open>,
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
    servers: Vec<Open>,
    stopper: Stopper,
    within: Duration,
    signal: impl Future<Output = &'static str>,
    flush: impl Future<Output = ()>,
) -> io::Result<()> {
    let handles: Vec<_> = servers.iter().map(|open| open.server.handle()).collect();
    let (doors, servers): (Vec<Door>, Vec<Server>) = servers.into_iter().map(Open::apart).unzip();
    let mut running = select_all(servers.into_iter().map(actix_rt::spawn));
    let outcome = tokio::select! {
        name = signal => {
            info!("{name}: no new connections; what is in flight has {within:?} to finish");
            Ok(())
        }
        (ended, _, _) = &mut running => ended.unwrap_or_else(|error| Err(io::Error::other(error))),
    };
    stopper.begin();
    linger(doors, within).await;
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
    };

    use actix_web::{App, HttpResponse, HttpServer, web};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::Notify,
    };

    use super::*;

    fn open(server: Server) -> Open {
        Open { server, door: None }
    }

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
        serve(vec![open(server.run())], stopper, within, signal, flush)
            .await
            .unwrap();
        frees_the_handler.await.unwrap();
        assert!(request.await.unwrap().ends_with("finished"));
        assert!(is_flushed.load(Ordering::Relaxed));
        assert!(
            TcpListener::bind(address).is_ok(),
            "nobody listens any more"
        );
    }

    #[actix_web::test]
    async fn new_connections_are_refused_while_the_others_end() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = door.local_addr().unwrap();
        let server = HttpServer::new(|| App::new().default_service(web::to(HttpResponse::Ok)))
            .workers(1)
            .disable_signals()
            .listen(door.try_clone().unwrap())
            .unwrap();
        let (stopper, mut stopping) = stopping();
        let open = Open {
            server: server.run(),
            door: Some(door),
        };
        let within = Duration::from_secs(60);
        let ended = serve(vec![open], stopper, within, ready("a signal"), ready(()));
        let refused = async {
            stopping.begun().await;
            // Until the door is closed, which happens soon, and long before the server has stopped.
            while TcpStream::connect(address).await.is_ok() {}
        };
        tokio::pin!(ended);
        tokio::select! {
            () = refused => {}
            _ = &mut ended => panic!("the door is closed before the server stops"),
        }
        ended.await.unwrap();
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
            vec![open(server.run())],
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

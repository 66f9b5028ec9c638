//! Accepts connections, as many as there are places for.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::{sync::Semaphore, time::sleep};

use super::connection::{self, Entrance, Shared};
use crate::shutdown::Stopping;

/// Bytes that the kernel keeps for a device that does not read. Commands are small.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long a device may leave sent bytes unacknowledged before the kernel gives it up.
const UNREAD_FOR: Duration = Duration::from_secs(60);
/// How long a connection may be idle before the kernel asks whether the other side is still there, and how often it asks.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// How long to wait when the process can have no more sockets.
const WITHOUT_SOCKETS_FOR: Duration = Duration::from_millis(200);

/// One port, as one thread keeps it.
pub(super) struct Door {
    /// Where connections come in.
    pub(super) listener: TcpListener,
    /// What they speak.
    pub(super) entrance: Entrance,
    /// Places for connections, of all threads and ports.
    pub(super) places: Arc<Semaphore>,
    /// What all of them share.
    pub(super) shared: Arc<Shared>,
    /// Tells that the node ends.
    pub(super) stopping: Stopping,
}

/// Opens a port. Connections inherit what is set on the socket that accepts them.
pub(super) fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Else a restart would have to wait until the connections of the last run are forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_nodelay(true)?;
    let (after, every, times) = KEEP_ALIVE;
    let keep_alive = TcpKeepalive::new()
        .with_time(after)
        .with_interval(every)
        .with_retries(times);
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD_FOR))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

impl Door {
    /// Lets connections in until the node ends.
    pub(super) async fn keep(mut self) {
        let listener = match self
            .listener
            .try_clone()
            .and_then(tokio::net::TcpListener::from_std)
        {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!("a thread cannot accept MQTT connections: {error}");
                return;
            }
        };
        loop {
            // First the place: whoever gets none waits in the kernel, and costs nothing here.
            let place = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place,
                () = self.stopping.begun() => return,
            };
            let Ok(place) = place else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stopping.begun() => return,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let connection = connection::serve(
                        Arc::clone(&self.shared),
                        self.entrance.clone(),
                        socket,
                        peer,
                        self.stopping.clone(),
                    );
                    actix_rt::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => self.refused(&error).await,
            }
        }
    }

    async fn refused(&self, error: &io::Error) {
        // A client that was gone before it was accepted is no reason to wait.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        tracing::warn!("a connection could not be accepted: {error}");
        sleep(WITHOUT_SOCKETS_FOR).await;
    }
}

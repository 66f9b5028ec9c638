//! What goes to a gateway: a bounded queue, and a gateway that does not read it is given up.

use std::time::Duration;

use actix_ws::{CloseCode, CloseReason, Session};
use bytes::Bytes;
use domain::device::frame::ToGateway;

use super::{NACK_CODES, ending::Ending};

/// How long a gateway may leave the queue full.
const UNREAD_FOR: Duration = Duration::from_secs(60);

/// See the module. While it waits for room its gateway is not listened to either, so all of this costs that gateway only.
pub(super) struct Outbound {
    socket: Session,
}

impl Outbound {
    /// Goes out through a socket that nobody else writes to.
    pub(super) fn new(socket: Session) -> Outbound {
        Outbound { socket }
    }

    /// Puts a frame into the queue.
    pub(super) async fn send(&mut self, frame: &ToGateway) -> Result<(), Ending> {
        if let ToGateway::Nack { code, .. } = frame {
            debug_assert!(NACK_CODES.contains(&&**code), "{code} is not documented");
        }
        within(self.socket.text(frame.write())).await
    }

    /// Answers a ping of the WebSocket itself.
    pub(super) async fn pong(&mut self, payload: &Bytes) -> Result<(), Ending> {
        within(self.socket.pong(payload)).await
    }

    /// Ends the connection after what is in the queue.
    pub(super) async fn close(self, code: CloseCode, why: &str) {
        let reason = CloseReason {
            code,
            description: Some(why.to_owned()).filter(|why| !why.is_empty()),
        };
        // A gateway that is gone, or that does not read, needs no goodbye.
        drop(within(self.socket.close(Some(reason))).await);
    }
}

async fn within(queued: impl Future<Output = Result<(), actix_ws::Closed>>) -> Result<(), Ending> {
    match tokio::time::timeout(UNREAD_FOR, queued).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(actix_ws::Closed)) => Err(Ending::Lost),
        Err(_elapsed) => Err(Ending::Unread),
    }
}

//! How a gateway's connection ends: what is said to the gateway, and what the engine is told.

use std::{fmt, time::Duration};

use actix_ws::CloseCode;
use domain::device::{ByeReason, EndReason, frame::ToGateway};

use super::{inbound::Inbound, outbound::Outbound};

/// How long a gateway may take to close its side after the engine's goodbye. Until then what it sends is thrown away:
/// a connection that is closed with something unread may lose the goodbye itself.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The engine ends the session.
    Bye(ByeReason),
    /// No hello came in time.
    NoHello,
    /// A session cannot be had now.
    TryLater(&'static str),
    /// The gateway breaks the rules.
    Broken(CloseCode, &'static str),
    /// The device's actor is gone: the next session has a new one.
    Forsaken,
    /// The gateway does not read what it is sent.
    Unread,
    /// The gateway said goodbye.
    Closed,
    /// The connection is gone.
    Lost,
}

impl Ending {
    /// Why the session ended, as the engine keeps it.
    pub(super) fn reason(&self) -> EndReason {
        match self {
            Ending::Bye(reason) => EndReason::from(*reason),
            Ending::Closed => EndReason::Closed,
            Ending::NoHello
            | Ending::TryLater(_)
            | Ending::Broken(..)
            | Ending::Forsaken
            | Ending::Unread
            | Ending::Lost => EndReason::ConnectionLost,
        }
    }

    /// Whether what came before the end is still of use.
    pub(super) fn lets_settle(&self) -> bool {
        match self {
            Ending::Bye(ByeReason::Shutdown | ByeReason::Idle) | Ending::Closed | Ending::Lost => {
                true
            }
            Ending::Bye(ByeReason::Replaced | ByeReason::Revoked)
            | Ending::NoHello
            | Ending::TryLater(_)
            | Ending::Broken(..)
            | Ending::Forsaken
            | Ending::Unread => false,
        }
    }

    /// Says it, if there is somebody to hear it.
    pub(super) async fn say(self, mut outbound: Outbound, mut inbound: Inbound) {
        let (code, why) = match self {
            Ending::Bye(reason) => {
                if outbound.send(&ToGateway::Bye(reason)).await.is_err() {
                    return;
                }
                let gone = tokio::time::timeout(GOODBYE_WITHIN, inbound.until_ended());
                drop(gone.await);
                (close_code(reason), reason.as_str())
            }
            Ending::NoHello => (CloseCode::Policy, "no hello came in time"),
            Ending::TryLater(why) => (CloseCode::Again, why),
            Ending::Broken(code, why) => (code, why),
            Ending::Forsaken => (CloseCode::Restart, "connect again"),
            Ending::Closed => (CloseCode::Normal, ""),
            Ending::Unread | Ending::Lost => return,
        };
        outbound.close(code, why).await;
    }
}

fn close_code(reason: ByeReason) -> CloseCode {
    match reason {
        ByeReason::Shutdown => CloseCode::Away,
        ByeReason::Replaced | ByeReason::Revoked | ByeReason::Idle => CloseCode::Normal,
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Bye(reason) => write!(f, "the engine ended it: {reason}"),
            Ending::NoHello => f.write_str("no hello came"),
            Ending::TryLater(why) | Ending::Broken(_, why) => f.write_str(why),
            Ending::Forsaken => f.write_str("the device's actor is gone"),
            Ending::Unread => f.write_str("the gateway did not read"),
            Ending::Closed => f.write_str("the gateway closed it"),
            Ending::Lost => f.write_str("the connection was lost"),
        }
    }
}

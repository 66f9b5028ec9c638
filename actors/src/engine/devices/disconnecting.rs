//! How the session of one device is ended from outside, wherever it is.
//!
//! Its connection is told at once; the answer comes when the end is written down, or when that takes too long. What is done with
//! the device afterwards is in the files beside.

use std::time::Duration;

use domain::ids::{DeviceId, TenantId, WorkspaceId};
use outbound::bus::BusError;
use tokio::time::timeout;

use super::commands::{WAY, other_version};
use crate::{
    device::{
        DeviceKey,
        messages::{End, Ending},
        remote::{self, Answer, Ask, Failure},
    },
    engine::{Engine, EngineError},
    registry::AskError,
};

/// How long it may take to end a session, and to write that down.
pub(super) const END_WITHIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Ends the device's session, wherever it is, and says whether there was one. Its gateway stays down.
    pub async fn disconnect_device(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<bool, EngineError> {
        let key = DeviceKey { tenant, device };
        self.end_session(key, Ending::Disconnected, None).await
    }

    /// Ends the device's session, wherever it is, unless its events go to `except_in`.
    pub(super) async fn end_session(
        &self,
        key: DeviceKey,
        why: Ending,
        except_in: Option<WorkspaceId>,
    ) -> Result<bool, EngineError> {
        if let Some(was_there) = self.end_session_here(key, why, except_in).await? {
            return Ok(was_there);
        }
        let DeviceKey { tenant, device } = key;
        let found = self.inner.control.device(tenant, device).await?;
        let found = found.ok_or(EngineError::NotFound("device"))?;
        let Some(session) = found.session.filter(|_| found.is_live) else {
            return Ok(false);
        };
        if Some(session) == *self.inner.placement.session().borrow() {
            // It has been looked for here.
            return Ok(false);
        }
        let ask = Ask::End {
            tenant,
            device,
            why,
            except_in,
        };
        let peers = self.inner.placement.peers();
        // That node says itself what takes it too long.
        match remote::ask(peers, session, &ask, END_WITHIN + WAY).await {
            Ok(Answer::Ended(was_there)) => Ok(was_there),
            Ok(Answer::NotTaken(failure)) => Err(not_ended(failure)),
            Ok(Answer::Items(_) | Answer::Ran(_) | Answer::Pairing(_) | Answer::NotUnderstood) => {
                Err(other_version())
            }
            // That node has gone, and its sessions with it.
            Err(BusError::NoResponder) => Ok(false),
            Err(error) => Err(EngineError::Unavailable(format!(
                "the device's node: {error}"
            ))),
        }
    }

    /// Ends the device's session on this node, also one that is still being opened. `None` if there is none to end.
    pub(super) async fn end_session_here(
        &self,
        key: DeviceKey,
        why: Ending,
        except_in: Option<WorkspaceId>,
    ) -> Result<Option<bool>, EngineError> {
        let message = |reply| End {
            why,
            except_in,
            reply,
        };
        let Some(posted) = self.post_to_device(&key, message) else {
            return Ok(None);
        };
        match timeout(END_WITHIN, posted?).await {
            Ok(Ok(was_there)) => Ok(was_there.then_some(true)),
            Ok(Err(_died)) => Err(AskError::Stopped.into()),
            Err(_elapsed) => {
                let unwritten = "the device's session was told to end, which is not written yet";
                Err(EngineError::Unavailable(unwritten.into()))
            }
        }
    }
}

/// Why another node has not ended a session.
fn not_ended(failure: Failure) -> EngineError {
    match failure {
        Failure::Overloaded => EngineError::Overloaded(AskError::Full),
        Failure::StorageFull => EngineError::StorageFull,
        Failure::Unavailable(what) => EngineError::Unavailable(what),
        Failure::NotHere => EngineError::Unavailable("the device's node is about to end".into()),
        // What is said of events only.
        Failure::Fenced(_) | Failure::RateLimited(_) | Failure::NoTenant => other_version(),
    }
}

//! Answers what other nodes ask about devices: under each session that this node gets, for as long as that stands.
//!
//! What is asked of the wrong node is answered with that: nothing is sent on from here.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::FutureExt as _;
use outbound::bus::Handler;
use tracing::error;

use crate::{
    device::{
        DeviceKey,
        intake::{Batch, NotTaken},
        messages::Ran,
        remote::{Answer, Ask, Failure, read_ask, write_answer},
    },
    engine::{Engine, EngineError, Inner, devices::CommandError},
};

impl Engine {
    /// Begins to answer other nodes, if there is a way to them.
    pub(in crate::engine) fn answer_about_devices(&self) {
        let Some(peers) = self.inner.placement.peers().map(Arc::clone) else {
            return;
        };
        let handler = handler(Arc::downgrade(&self.inner));
        let mut session = self.session();
        self.inner.outside.spawn(async move {
            loop {
                let own = *session.borrow_and_update();
                let serving = match own {
                    Some(own) => peers
                        .serve(own, Arc::clone(&handler))
                        .await
                        .inspect_err(|error| {
                            error!("other nodes cannot ask this one about devices: {error}");
                        })
                        .ok(),
                    None => None,
                };
                let changed = session.changed().await;
                drop(serving);
                if changed.is_err() {
                    return;
                }
            }
        });
    }

    async fn answer_about_device(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Ingest(batch) => self.take_from_device(batch).await,
            Ask::Run {
                tenant,
                device,
                command,
            } => {
                let key = DeviceKey { tenant, device };
                match self.run_here(key, command).await {
                    Ok(ran) => Answer::Ran(ran),
                    Err(
                        CommandError::NotFound
                        | CommandError::Offline
                        | CommandError::TimedOut
                        | CommandError::Ended
                        | CommandError::Refused { .. }
                        | CommandError::Busy
                        | CommandError::Engine(_),
                    ) => Answer::Ran(Ran::Moved),
                }
            }
            Ask::End {
                tenant,
                device,
                why,
                except_in,
            } => {
                let key = DeviceKey { tenant, device };
                match self.end_session_here(key, why, except_in).await {
                    Ok(ended) => Answer::Ended(ended.unwrap_or_default()),
                    Err(error) => Answer::NotTaken(NotTaken::Engine(error).into()),
                }
            }
            Ask::ShowPairing { tenant, device } => {
                let key = DeviceKey { tenant, device };
                Answer::Pairing(self.pairing_here(key).await)
            }
        }
    }

    /// Puts events into the log of a tenant that lives here, or that nobody holds.
    async fn take_from_device(&self, batch: Batch) -> Answer {
        let located = self.locate(batch.tenant).await;
        match located {
            Ok(crate::placement::Place::Here) => {}
            Ok(crate::placement::Place::There { .. })
            | Err(EngineError::OwnerUnreachable { .. }) => {
                return Answer::NotTaken(Failure::NotHere);
            }
            Err(error) => return Answer::NotTaken(Failure::Unavailable(error.to_string())),
        }
        match self.inner.devices.context.intake.put_here(batch).await {
            Ok(items) => Answer::Items(items),
            Err(error) => Answer::NotTaken(error.into()),
        }
    }
}

fn handler(weak: Weak<Inner>) -> Handler {
    Arc::new(move |body: Bytes| {
        let weak = weak.clone();
        async move {
            let answer = match (read_ask(&body), weak.upgrade()) {
                (Some(ask), Some(inner)) => Engine { inner }.answer_about_device(ask).await,
                (Some(_), None) => Answer::NotTaken(Failure::NotHere),
                (None, _) => Answer::NotUnderstood,
            };
            write_answer(answer)
        }
        .boxed()
    })
}

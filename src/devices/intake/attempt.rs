//! One step of a device's lane, tried until it is done.
//!
//! Decides which failures pass by themselves. While one lasts the device gets no answer, so nothing is lost: it still has what
//! it sent.

use std::time::Duration;

use actors::{
    Engine, EngineError,
    device::{DeviceItem, Session, SessionError},
};
use domain::device::{CommandResult, DeviceEvent, Report};
use rand::RngExt as _;

use super::{Settled, Stopped};
use crate::http::problem::Code;

/// The first wait after a failure that does not say when to come back; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A result is of use until its command's deadline, which nobody knows here: after so many failures it is dropped.
const RESULT_ATTEMPTS_MAX: u32 = 8;

/// What follows from a failure.
enum Verdict {
    /// The same again, after the given time or else after a while.
    Again(Option<Duration>),
    /// The step as a whole is not possible: in smaller ones, or not at all.
    Smaller(Code, String),
    /// Nothing more is possible.
    Stop(Stopped),
}

/// Waits that grow.
struct Patience {
    next: Duration,
}

/// Brings events into the log.
pub(super) async fn ingest(
    engine: Engine,
    session: Session,
    events: Vec<DeviceEvent>,
) -> Result<Vec<Settled>, Stopped> {
    let mut settled = Vec::with_capacity(events.len());
    let mut at_once = events.len();
    let mut patience = Patience::new();
    while settled.len() < events.len() {
        let end = (settled.len() + at_once).min(events.len());
        let batch = &events[settled.len()..end];
        let failure = match engine.ingest_from_device(&session, batch.to_vec()).await {
            Ok(items) => {
                settled.extend(items.into_iter().map(Settled::from));
                patience = Patience::new();
                continue;
            }
            Err(failure) => failure,
        };
        match Verdict::of(failure) {
            Verdict::Again(after) => patience.wait(after).await,
            Verdict::Smaller(..) if batch.len() > 1 => at_once = batch.len() / 2,
            Verdict::Smaller(code, message) => settled.push(Settled::Refused {
                code: code.name(),
                message,
            }),
            Verdict::Stop(stopped) => return Err(stopped),
        }
    }
    Ok(settled)
}

/// Says where the device stands.
pub(super) async fn report(
    engine: Engine,
    session: Session,
    report: Report,
) -> Result<Vec<Settled>, Stopped> {
    let mut patience = Patience::new();
    loop {
        let failure = match engine.report(&session, report.clone()).await {
            Ok(()) => return Ok(Vec::new()),
            Err(failure) => failure,
        };
        match Verdict::of(failure) {
            Verdict::Again(after) => patience.wait(after).await,
            Verdict::Smaller(_, why) => {
                tracing::warn!("what a device said of its state is not taken: {why}");
                return Ok(Vec::new());
            }
            Verdict::Stop(stopped) => return Err(stopped),
        }
    }
}

/// Hands over the result of a command.
pub(super) async fn hand_over(
    engine: Engine,
    session: Session,
    result: CommandResult,
) -> Result<(), Stopped> {
    let mut patience = Patience::new();
    for _ in 0..RESULT_ATTEMPTS_MAX {
        let failure = match engine.command_result(&session, result.clone()).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        match Verdict::of(failure) {
            Verdict::Again(after) => patience.wait(after).await,
            Verdict::Smaller(..) => break,
            Verdict::Stop(stopped) => return Err(stopped),
        }
    }
    tracing::warn!(command.id = %result.id, "the result of a device's command could not be handed over");
    Ok(())
}

impl Verdict {
    fn of(failure: SessionError) -> Verdict {
        match failure {
            SessionError::Replaced => Verdict::Stop(Stopped::Over),
            SessionError::RateLimited { retry_after } => Verdict::Again(Some(retry_after)),
            SessionError::Engine(failure) => Verdict::of_engine(&failure),
        }
    }

    fn of_engine(failure: &EngineError) -> Verdict {
        tracing::debug!("what a device said is not taken yet: {failure}");
        match failure {
            EngineError::RateLimited {
                retry_after: Some(after),
                ..
            }
            | EngineError::OwnerUnreachable {
                retry_after: after, ..
            } => Verdict::Again(Some(*after)),
            // More than a whole minute of the plan has.
            EngineError::RateLimited {
                retry_after: None, ..
            } => Verdict::Smaller(Code::RateLimited, failure.to_string()),
            EngineError::Invalid { .. } => {
                Verdict::Smaller(Code::InvalidField, failure.to_string())
            }
            EngineError::NotFound(_) => Verdict::Stop(Stopped::Gone),
            EngineError::Overloaded(_)
            | EngineError::StorageFull
            | EngineError::Unavailable(_)
            | EngineError::Internal(_)
            | EngineError::Conflict(_)
            | EngineError::VersionMismatch
            | EngineError::PlanRequired(_)
            | EngineError::IdempotencyInFlight
            | EngineError::IdempotencyMismatch => Verdict::Again(None),
        }
    }
}

impl Patience {
    fn new() -> Patience {
        Patience { next: FIRST_WAIT }
    }

    /// Waits as long as was said, or else longer each time; never quite as long as the neighbours do.
    async fn wait(&mut self, said: Option<Duration>) {
        let least = said.unwrap_or(self.next);
        if said.is_none() {
            self.next = (self.next * 2).min(LONGEST_WAIT);
        }
        let more = rand::rng().random_range(0.0..0.5);
        tokio::time::sleep(least + least.mul_f64(more)).await;
    }
}

impl From<DeviceItem> for Settled {
    fn from(item: DeviceItem) -> Settled {
        match item {
            DeviceItem::Stored(position) | DeviceItem::Duplicate(position) => {
                Settled::Stored(position)
            }
            DeviceItem::Refused { code, message } => Settled::Refused { code, message },
        }
    }
}

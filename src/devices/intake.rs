//! The lane by which what a device says comes into the engine: in order, one step in flight, tried again until it is done.
//!
//! Decides when a device has to wait, and what it is told of an event. What is stored, and whether it was there already, is
//! the engine's to say. Knows nothing of the connection: whoever has one pushes what came, takes out what is settled, and
//! reads on when there is room.

mod attempt;

use std::{collections::VecDeque, future::Future, pin::Pin};

use actors::{Engine, device::Session};
use domain::{
    device::{CommandResult, DeviceEvent, Report},
    position::Position,
};

/// Events of one step: as many as a tenant's actor likes to take at once.
const BATCH_EVENTS_MAX: usize = 64;
/// Bytes of one step, unless a single event has more.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How much of one device may be on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeLimits {
    /// Frames.
    pub(crate) frames_max: usize,
    /// Bytes of their payloads.
    pub(crate) bytes_max: usize,
}

/// See the module. `T` is what the connection knows an event by.
pub(crate) struct Intake<T> {
    engine: Engine,
    session: Session,
    limits: IntakeLimits,
    waiting: VecDeque<Step<T>>,
    in_flight: Option<InFlight<T>>,
    frames: usize,
    bytes: usize,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is durable, now or since it came before.
    Stored(Position),
    /// It will never be taken as it is.
    Refused {
        /// Why, for programs.
        code: &'static str,
        /// Why, for people.
        message: String,
    },
}

/// Why nothing more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The session is over: a newer one has the device, or it was ended.
    Over,
    /// The device is no more.
    Gone,
}

/// Hands over the result of a command, past everything that waits in a lane.
pub(in crate::devices) async fn hand_over(
    engine: Engine,
    session: Session,
    result: CommandResult,
) -> Result<(), Stopped> {
    attempt::hand_over(engine, session, result).await
}

enum Step<T> {
    Event(T, DeviceEvent),
    Report(Report),
    Result(CommandResult),
}

struct InFlight<T> {
    tags: Vec<T>,
    frames: usize,
    bytes: usize,
    work: Pin<Box<dyn Future<Output = Result<Vec<Settled>, Stopped>> + Send>>,
}

impl<T> Intake<T> {
    /// The lane of one session, with nothing in it.
    pub(crate) fn new(engine: Engine, session: Session, limits: IntakeLimits) -> Intake<T> {
        Intake {
            engine,
            session,
            limits,
            waiting: VecDeque::new(),
            in_flight: None,
            frames: 0,
            bytes: 0,
        }
    }

    /// Takes an event. It comes out of [`next`](Intake::next) under its tag.
    pub(crate) fn push(&mut self, tag: T, event: DeviceEvent) {
        self.take(Step::Event(tag, event));
    }

    /// Takes what the device says of its state. Nobody hears of it again.
    pub(crate) fn report(&mut self, report: Report) {
        self.take(Step::Report(report));
    }

    /// Takes the result of a command. Nobody hears of it again. It waits for what came before it, so a connection that does
    /// not want that has a lane of its own for results.
    pub(crate) fn result(&mut self, result: CommandResult) {
        self.take(Step::Result(result));
    }

    /// Whether the device has to wait before it says more.
    pub(crate) fn is_full(&self) -> bool {
        self.frames >= self.limits.frames_max || self.bytes >= self.limits.bytes_max
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.frames == 0
    }

    /// Waits until a step is done, as long as it takes, and answers what became of its events (none, if it was a report or a
    /// result); for ever if there is nothing. May be dropped and called again. After an error nothing more is to be had.
    pub(crate) async fn next(&mut self) -> Result<Vec<(T, Settled)>, Stopped> {
        if self.in_flight.is_none() {
            self.in_flight = self.begin();
        }
        let Some(in_flight) = &mut self.in_flight else {
            return std::future::pending().await;
        };
        let settled = in_flight.work.as_mut().await;
        let tags = match self.in_flight.take() {
            Some(done) => {
                self.frames -= done.frames;
                self.bytes -= done.bytes;
                done.tags
            }
            None => Vec::new(),
        };
        Ok(tags.into_iter().zip(settled?).collect())
    }

    fn take(&mut self, step: Step<T>) {
        self.frames += 1;
        self.bytes += step.bytes();
        self.waiting.push_back(step);
    }

    /// The next step: what waits, as far as it goes together.
    fn begin(&mut self) -> Option<InFlight<T>> {
        let (engine, session) = (self.engine.clone(), self.session.clone());
        let first = self.waiting.pop_front()?;
        let mut bytes = first.bytes();
        let (tag, event) = match first {
            Step::Event(tag, event) => (tag, event),
            Step::Report(report) => {
                let work = Box::pin(attempt::report(engine, session, report));
                return Some(InFlight::alone(bytes, work));
            }
            Step::Result(result) => {
                let work = async move {
                    attempt::hand_over(engine, session, result).await?;
                    Ok(Vec::new())
                };
                return Some(InFlight::alone(bytes, Box::pin(work)));
            }
        };
        let (mut tags, mut events) = (vec![tag], vec![event]);
        while events.len() < BATCH_EVENTS_MAX {
            let next = self.waiting.pop_front();
            match next {
                Some(Step::Event(tag, event)) if bytes + event.data.len() <= BATCH_BYTES_MAX => {
                    bytes += event.data.len();
                    tags.push(tag);
                    events.push(event);
                }
                Some(other) => {
                    self.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        if self.waiting.is_empty() {
            // Devices are idle most of the time, and what a burst needed is held for each of them.
            self.waiting = VecDeque::new();
        }
        Some(InFlight {
            frames: tags.len(),
            tags,
            bytes,
            work: Box::pin(attempt::ingest(engine, session, events)),
        })
    }
}

impl<T> Step<T> {
    fn bytes(&self) -> usize {
        match self {
            Step::Event(_, event) => event.data.len(),
            Step::Report(Report::Pairing { qr, .. }) => qr.as_ref().map_or(0, String::len),
            Step::Report(Report::Connected { .. } | Report::Offline { .. }) => 0,
            Step::Result(result) => result.outcome.as_ref().map_or(0, bytes::Bytes::len),
        }
    }
}

impl<T> InFlight<T> {
    /// A step of one frame, of which nobody hears.
    fn alone(
        bytes: usize,
        work: Pin<Box<dyn Future<Output = Result<Vec<Settled>, Stopped>> + Send>>,
    ) -> InFlight<T> {
        InFlight {
            tags: Vec::new(),
            frames: 1,
            bytes,
            work,
        }
    }
}

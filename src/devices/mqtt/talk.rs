//! What is said between CONNACK and the end.
//!
//! Decides what each packet does and when the device has to wait: while too much of it is on its way its socket is not read,
//! so that it notices. What is durable, and what may be sent, others decide.

mod packets;

use std::{future::Future, pin::Pin, time::Duration};

use actors::{
    Engine,
    device::{LinkReceiver, Session, ToDevice},
};
use bytes::BytesMut;
use domain::device::{Command, Report};
use mqtt_protocol_core::mqtt::packet::Qos;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    answer::Answers,
    connection::{Limits, Shared},
    flow::{Arriving, Leaving},
    frame,
    over::Over,
    stream::{Step, Stream},
    topics::Aliases,
    turns::{Outcome, Turn, Turns},
    version::Version,
};
use crate::devices::{
    credential::Credential,
    intake::{Intake, Settled, Stopped},
};

/// Bytes of answers that a device may leave unread before nothing more is read from it.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// Publishes of a device of version 3.1.1 without an answer; it cannot be told how many there may be.
const UNANSWERED_MAX: u16 = 1_024;
/// How long what a device said before it left may take to be stored.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// How long the engine may take to say why a session is over.
const BYE_WITHIN: Duration = Duration::from_secs(1);

/// The result of a command on its way to the engine.
type Handing = Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>;

/// One device's session.
pub(super) struct Talk {
    engine: Engine,
    session: Session,
    told: LinkReceiver,
    credential: Credential,
    answers: Answers,
    limits: Limits,
    intake: Intake<Turn>,
    handing: Option<(Turn, Handing)>,
    turns: Turns,
    arriving: Arriving,
    leaving: Leaving,
    aliases: Aliases,
    /// The QoS with which the device wants its commands, if it wants them.
    subscribed: Option<Qos>,
    heard_at: Instant,
    /// How long it may be silent.
    silence_max: Option<Duration>,
    /// When its key is looked at again.
    check_at: Instant,
}

impl Talk {
    /// A session that has just been opened.
    pub(super) fn new(
        shared: &Shared,
        session: Session,
        told: LinkReceiver,
        credential: Credential,
        answers: Answers,
    ) -> Talk {
        let limits = shared.limits;
        let now = Instant::now();
        let unanswered_max = match answers.version {
            Version::V3 => UNANSWERED_MAX,
            Version::V5 => limits.receive_max(),
        };
        Talk {
            engine: shared.engine.clone(),
            told,
            credential,
            answers,
            limits,
            intake: Intake::new(shared.engine.clone(), session.clone(), limits.intake),
            session,
            handing: None,
            turns: Turns::default(),
            arriving: Arriving::new(unanswered_max),
            leaving: Leaving::new(answers.capacity.receive_max),
            aliases: Aliases::default(),
            subscribed: None,
            heard_at: now,
            silence_max: None,
            check_at: now + limits.check_every,
        }
    }

    /// Takes the seconds within which the device says something; 0 is never.
    pub(super) fn keep_alive(&mut self, seconds: u16) {
        let silence_max = Duration::from_secs(u64::from(seconds)) * 3 / 2;
        self.silence_max = (seconds > 0).then_some(silence_max);
    }

    /// Goes on until it is over. What is then in `outbox` the device has not heard yet.
    pub(super) async fn run(
        &mut self,
        stream: &mut Stream,
        mut inbox: BytesMut,
        outbox: &mut BytesMut,
    ) -> Over {
        self.intake.report(Report::Connected { reason: None });
        let over = loop {
            if let Err(over) = self.turn(stream, &mut inbox, outbox).await {
                break over;
            }
        };
        if !over.settles() {
            return over;
        }
        match self.settle(outbox).await {
            Ok(()) => over,
            Err(instead) => instead,
        }
    }

    /// Takes what has come, then waits for whatever happens next.
    async fn turn(
        &mut self,
        stream: &mut Stream,
        inbox: &mut BytesMut,
        outbox: &mut BytesMut,
    ) -> Result<(), Over> {
        while !self.has_to_wait(outbox) {
            let bytes_max = usize::try_from(self.limits.packet_bytes_max).unwrap_or(usize::MAX);
            match frame::take(inbox, bytes_max)? {
                Some(frame) => self.take(&frame, outbox)?,
                None => break,
            }
        }
        self.send_commands(outbox);
        release(inbox);
        release(outbox);
        let reads = !self.has_to_wait(outbox);
        let wake_at = self.wake_at();
        let Talk {
            intake,
            handing,
            told,
            ..
        } = self;
        tokio::select! {
            step = stream.step(outbox, reads.then_some(inbox)) => match step {
                Ok(Step::Read | Step::Wrote) => Ok(()),
                Ok(Step::Closed) => Err(Over::Lost("it closed the connection".to_owned())),
                Err(error) => Err(Over::Lost(error.to_string())),
            },
            settled = intake.next() => self.settled(settled, outbox).await,
            handed = handed(handing) => self.handed(handed, outbox).await,
            told = told.recv() => self.told(told),
            () = sleep_until(wake_at) => self.look_around(outbox).await,
        }
    }

    /// Waits, within bounds, until what came before the end is stored and answered.
    async fn settle(&mut self, outbox: &mut BytesMut) -> Result<(), Over> {
        let until = Instant::now() + SETTLES_WITHIN;
        while !self.intake.is_idle() || self.handing.is_some() {
            let Talk {
                intake,
                handing,
                told,
                ..
            } = self;
            tokio::select! {
                settled = intake.next() => self.settled(settled, outbox).await?,
                handed = handed(handing) => self.handed(handed, outbox).await?,
                told = told.recv() => self.told(told)?,
                () = sleep_until(until) => {
                    tracing::debug!(device.id = %self.session.device, "a device left before all that it said was stored");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn has_to_wait(&self, outbox: &BytesMut) -> bool {
        self.intake.is_full() || self.handing.is_some() || outbox.len() > UNREAD_BYTES_MAX
    }

    async fn settled(
        &mut self,
        settled: Result<Vec<(Turn, Settled)>, Stopped>,
        outbox: &mut BytesMut,
    ) -> Result<(), Over> {
        let settled = match settled {
            Ok(settled) => settled,
            Err(stopped) => return Err(self.stopped(stopped).await),
        };
        for (turn, settled) in settled {
            let outcome = match settled {
                Settled::Stored(_) => Outcome::Done,
                Settled::Refused { code, message } => Outcome::Refused { code, message },
            };
            self.turns.settle(turn, outcome);
        }
        self.answer(outbox)
    }

    async fn handed(
        &mut self,
        (turn, handed): (Turn, Result<(), Stopped>),
        outbox: &mut BytesMut,
    ) -> Result<(), Over> {
        self.handing = None;
        if let Err(stopped) = handed {
            return Err(self.stopped(stopped).await);
        }
        self.turns.settle(turn, Outcome::Done);
        self.answer(outbox)
    }

    /// Why the engine takes nothing more: it says so on its own way.
    async fn stopped(&mut self, stopped: Stopped) -> Over {
        match stopped {
            Stopped::Gone => Over::Revoked,
            Stopped::Over => {
                let bye = async {
                    loop {
                        match self.told.recv().await {
                            Some(ToDevice::Bye(reason)) => return Over::of(reason),
                            Some(ToDevice::Command(_)) => {}
                            None => return Over::Broken,
                        }
                    }
                };
                timeout(BYE_WITHIN, bye).await.unwrap_or(Over::Replaced)
            }
        }
    }

    fn told(&mut self, told: Option<ToDevice>) -> Result<(), Over> {
        match told {
            Some(ToDevice::Command(command)) => {
                self.keep(command);
                Ok(())
            }
            Some(ToDevice::Bye(reason)) => Err(Over::of(reason)),
            None => Err(Over::Broken),
        }
    }

    fn keep(&mut self, command: Command) {
        let now = self.engine.clock().now();
        if let Some(lost) = self.leaving.push(command, now) {
            tracing::warn!(device.id = %self.session.device, command.id = %lost.id, "a device takes no commands: the oldest one is dropped");
        }
    }

    fn wake_at(&self) -> Instant {
        let silent_at = self.silence_max.map(|max| self.heard_at + max);
        silent_at.map_or(self.check_at, |at| at.min(self.check_at))
    }

    /// Looks whether the device still says something, and whether its key still holds.
    async fn look_around(&mut self, outbox: &BytesMut) -> Result<(), Over> {
        let now = Instant::now();
        if let Some(max) = self.silence_max
            && now >= self.heard_at + max
        {
            if !self.has_to_wait(outbox) {
                return Err(Over::Silent);
            }
            // Nobody listened to it meanwhile.
            self.heard_at = now;
        }
        if now >= self.check_at {
            self.check_at = now + self.limits.check_every;
            if !self.credential.still_holds(&self.engine).await {
                return Err(Over::Revoked);
            }
        }
        Ok(())
    }
}

/// Waits for the result on its way, if there is one.
async fn handed(handing: &mut Option<(Turn, Handing)>) -> (Turn, Result<(), Stopped>) {
    match handing {
        Some((turn, handing)) => (*turn, handing.await),
        None => std::future::pending().await,
    }
}

/// Gives back the memory of a buffer that is not in use: most devices are idle most of the time.
fn release(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        *buffer = BytesMut::new();
    }
}

//! A gateway's session while it is open: frames in, acknowledgements and commands out.

use std::{pin::Pin, time::Duration};

use actix_ws::CloseCode;
use actors::{
    Engine,
    device::{LinkReceiver, Session, ToDevice},
};
use domain::device::{
    ByeReason, DeviceEvent,
    frame::{FromGateway, ToGateway},
};
use tokio::time::Instant;

use super::{
    Gateway, Limits,
    ending::Ending,
    inbound::{Inbound, Incoming},
    outbound::Outbound,
};
use crate::{
    devices::{
        credential::Credential,
        intake::{Intake, Settled, Stopped},
        sessions::Counted,
    },
    http::problem::Code,
    shutdown::Stopping,
};

/// How long it may take until a session that is over hears why.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How long what is on its way may take when the connection ends.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// Malformed frames in a row that end a connection.
const MALFORMED_MAX: u32 = 3;

/// See the module.
pub(super) struct Talk<'a> {
    engine: &'a Engine,
    credential: &'a Credential,
    counted: &'a Counted,
    limits: Limits,
    session: Session,
    commands: LinkReceiver,
    /// Events wait for their frames' ids; what the device says of its state keeps its place among them.
    events: Intake<Box<str>>,
    /// Results do not wait behind events that a spent limit holds up.
    results: Intake<()>,
    malformed: Malformed,
    heard_at: Instant,
    check_at: Instant,
    checking: Option<Pin<Box<dyn Future<Output = bool> + 'a>>>,
    stopping: Stopping,
    leave_at: Option<Instant>,
}

/// How many malformed frames came in a row.
#[derive(Default)]
pub(super) struct Malformed(u32);

/// What happened.
enum Turn {
    Came(Incoming),
    Settled(Result<Vec<(Box<str>, Settled)>, Stopped>),
    ResultTaken(Result<(), Stopped>),
    Asked(Option<ToDevice>),
    KeyChecked(bool),
    NodeEnds,
    TimeIsUp,
}

impl Malformed {
    /// Counts one; the third in a row is one too many.
    pub(super) fn one_more(&mut self) -> Result<(), Ending> {
        self.0 += 1;
        if self.0 >= MALFORMED_MAX {
            let why = "three frames in a row were malformed";
            return Err(Ending::Broken(CloseCode::Policy, why));
        }
        Ok(())
    }
}

impl<'a> Talk<'a> {
    /// A session that was just opened.
    pub(super) fn new(gateway: &'a Gateway, session: Session, commands: LinkReceiver) -> Talk<'a> {
        let lane = || (gateway.engine.clone(), session.clone());
        let now = Instant::now();
        let limits = gateway.limits;
        Talk {
            engine: &gateway.engine,
            credential: &gateway.credential,
            counted: &gateway.counted,
            limits,
            commands,
            events: Intake::new(lane().0, lane().1, limits.intake),
            results: Intake::new(lane().0, lane().1, limits.intake),
            malformed: Malformed::default(),
            heard_at: now,
            check_at: now + limits.heartbeat(),
            checking: None,
            stopping: gateway.stopping.clone(),
            leave_at: None,
            session,
        }
    }

    /// Goes on until the session ends.
    pub(super) async fn run(&mut self, inbound: &mut Inbound, outbound: &mut Outbound) -> Ending {
        let ending = loop {
            let turn = self.turn(inbound).await;
            if let Err(ending) = self.take(turn, outbound).await {
                break ending;
            }
        };
        if ending.lets_settle() {
            // What takes longer than this comes again with the next session.
            drop(tokio::time::timeout(SETTLED_WITHIN, self.settle(outbound)).await);
        }
        ending
    }

    /// Brings to its end what came before the end.
    async fn settle(&mut self, outbound: &mut Outbound) {
        loop {
            let (has_events, has_results) = (!self.events.is_idle(), !self.results.is_idle());
            tokio::select! {
                settled = self.events.next(), if has_events => {
                    let Ok(settled) = settled else { return };
                    for (id, settled) in settled {
                        // Whoever is gone already hears it the next time.
                        drop(outbound.send(&answer(id, settled)).await);
                    }
                }
                taken = self.results.next(), if has_results => {
                    if taken.is_err() {
                        return;
                    }
                }
                else => return,
            }
        }
    }

    /// Waits until something happens.
    async fn turn(&mut self, inbound: &mut Inbound) -> Turn {
        let has_room = !self.events.is_full() && !self.results.is_full();
        let wake_at = self.wake_at(has_room);
        let is_leaving = self.leave_at.is_some();
        tokio::select! {
            settled = self.events.next() => Turn::Settled(settled),
            taken = self.results.next() => Turn::ResultTaken(taken.map(drop)),
            asked = self.commands.recv() => Turn::Asked(asked),
            incoming = inbound.next(), if has_room => Turn::Came(incoming),
            is_good = checked(&mut self.checking) => Turn::KeyChecked(is_good),
            () = self.stopping.begun(), if !is_leaving => Turn::NodeEnds,
            () = tokio::time::sleep_until(wake_at) => Turn::TimeIsUp,
        }
    }

    async fn take(&mut self, turn: Turn, outbound: &mut Outbound) -> Result<(), Ending> {
        match turn {
            Turn::Came(incoming) => {
                self.heard_at = Instant::now();
                self.engine.seen(&self.session);
                self.hear(incoming, outbound).await
            }
            Turn::Settled(settled) => {
                self.listen_again();
                for (id, settled) in self.unless_over(settled).await? {
                    outbound.send(&answer(id, settled)).await?;
                }
                Ok(())
            }
            Turn::ResultTaken(taken) => {
                self.listen_again();
                self.unless_over(taken).await
            }
            Turn::Asked(Some(ToDevice::Command(command))) => {
                outbound.send(&ToGateway::Command(command)).await
            }
            Turn::Asked(Some(ToDevice::Bye(reason))) => Err(Ending::Bye(reason)),
            Turn::Asked(None) => Err(Ending::Forsaken),
            Turn::KeyChecked(true) => Ok(()),
            Turn::KeyChecked(false) => Err(Ending::Bye(ByeReason::Revoked)),
            Turn::NodeEnds => {
                let after = self.counted.leaves_after(self.limits.shutdown_within);
                self.leave_at = Some(Instant::now() + after);
                Ok(())
            }
            Turn::TimeIsUp => self.look_around(),
        }
    }

    /// A session that is over was told why, or is about to be. Without a word it is because of a newer one.
    async fn unless_over<T>(&mut self, done: Result<T, Stopped>) -> Result<T, Ending> {
        let stopped = match done {
            Ok(done) => return Ok(done),
            Err(stopped) => stopped,
        };
        let told = tokio::time::timeout(TOLD_WITHIN, self.until_bye());
        match (stopped, told.await) {
            (_, Ok(Some(reason))) => Err(Ending::Bye(reason)),
            (Stopped::Over, Ok(None) | Err(_)) => Err(Ending::Bye(ByeReason::Replaced)),
            (Stopped::Gone, Ok(None) | Err(_)) => Err(Ending::Bye(ByeReason::Revoked)),
        }
    }

    async fn until_bye(&mut self) -> Option<ByeReason> {
        loop {
            match self.commands.recv().await {
                Some(ToDevice::Bye(reason)) => return Some(reason),
                Some(ToDevice::Command(_)) => {}
                None => return None,
            }
        }
    }

    /// What came from the gateway.
    async fn hear(&mut self, incoming: Incoming, outbound: &mut Outbound) -> Result<(), Ending> {
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Ping(payload) => return outbound.pong(&payload).await,
            Incoming::Heard => return Ok(()),
            Incoming::Ended(ending) => return Err(ending),
        };
        match FromGateway::parse(&text) {
            Ok(frame) => {
                self.malformed = Malformed::default();
                self.obey(frame, outbound).await
            }
            Err(error) => {
                outbound.send(&error.nack()).await?;
                // Where an id can be read it is one event that is wrong, and not the gateway.
                match error.id {
                    Some(_) => Ok(()),
                    None => self.malformed.one_more(),
                }
            }
        }
    }

    async fn obey(&mut self, frame: FromGateway, outbound: &mut Outbound) -> Result<(), Ending> {
        match frame {
            FromGateway::Hello { .. } => {
                let again = refusal(None, "a hello is the first frame only");
                outbound.send(&again).await?;
                self.malformed.one_more()
            }
            FromGateway::State(report) => {
                self.events.report(report);
                Ok(())
            }
            FromGateway::Event(event) => self.take_event(event, outbound).await,
            FromGateway::Result(result) => {
                self.results.result(result);
                Ok(())
            }
            FromGateway::Ping => outbound.send(&ToGateway::Pong).await,
        }
    }

    async fn take_event(
        &mut self,
        event: DeviceEvent,
        outbound: &mut Outbound,
    ) -> Result<(), Ending> {
        let most = self.limits.payload_bytes_max;
        let (code, message) = match event.check() {
            Ok(()) if event.data.len() <= most => {
                self.events.push(event.id.clone(), event);
                return Ok(());
            }
            Ok(()) => {
                let message = format!("data: expected at most {most} bytes");
                (Code::PayloadTooLarge.name(), message)
            }
            Err(wrong) => (wrong.code, wrong.message),
        };
        let nack = ToGateway::Nack {
            id: Some(event.id),
            code: code.into(),
            message,
        };
        outbound.send(&nack).await
    }

    /// When something is due. A gateway that is not listened to cannot be silent.
    fn wake_at(&self, has_room: bool) -> Instant {
        let mut at = self.check_at;
        if has_room {
            at = at.min(self.heard_at + self.limits.silence_max());
        }
        self.leave_at.map_or(at, |leave_at| leave_at.min(at))
    }

    /// The time in which nobody listened to the gateway is not its silence.
    fn listen_again(&mut self) {
        self.heard_at = Instant::now();
    }

    fn look_around(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if self.leave_at.is_some_and(|at| now >= at) {
            return Err(Ending::Bye(ByeReason::Shutdown));
        }
        let has_room = !self.events.is_full() && !self.results.is_full();
        if has_room && now >= self.heard_at + self.limits.silence_max() {
            return Err(Ending::Bye(ByeReason::Idle));
        }
        if now >= self.check_at {
            self.check_at = now + self.limits.heartbeat();
            let (credential, engine) = (self.credential, self.engine);
            if self.checking.is_none() {
                self.checking = Some(Box::pin(credential.still_holds(engine)));
            }
        }
        Ok(())
    }
}

/// Waits for a look-up of the key, if there is one.
async fn checked(checking: &mut Option<Pin<Box<dyn Future<Output = bool> + '_>>>) -> bool {
    let Some(check) = checking else {
        return std::future::pending().await;
    };
    let is_good = check.as_mut().await;
    *checking = None;
    is_good
}

fn answer(id: Box<str>, settled: Settled) -> ToGateway {
    match settled {
        Settled::Stored(position) => ToGateway::Ack { id, position },
        Settled::Refused { code, message } => ToGateway::Nack {
            id: Some(id),
            code: code.into(),
            message,
        },
    }
}

/// A frame that may not come now.
pub(super) fn refusal(id: Option<Box<str>>, message: &str) -> ToGateway {
    ToGateway::Nack {
        id,
        code: Code::BadRequest.name().into(),
        message: message.to_owned(),
    }
}

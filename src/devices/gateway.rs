//! One gateway's connection, from its first frame to its last: the gateway protocol over a WebSocket.
//!
//! Decides who may say what and when, and how a connection ends. What the frames are is `domain::device::frame`, documented in
//! `docs/gateway-protocol.asyncapi.yaml`; what they do is the engine's.

mod ending;
mod inbound;
mod outbound;
mod talk;

use std::{num::NonZeroU32, time::Duration};

use actix_ws::MessageStream;
use actors::{
    Engine,
    device::{OpenError, OpenSession, Session, Transport, link},
};
use domain::{
    device::{
        ByeReason,
        frame::{FRAME_BYTES_MAX, FromGateway, ToGateway},
    },
    ids::DeviceId,
};

use self::{
    ending::Ending,
    inbound::{Inbound, Incoming},
    outbound::Outbound,
    talk::{Malformed, Talk},
};
use super::{
    credential::Credential,
    intake::IntakeLimits,
    sessions::Counted,
    visits::{self, Visitor},
};
use crate::{config::Settings, shutdown::Stopping};

/// How long a gateway may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of payloads that one gateway may have on their way.
const BYTES_IN_FLIGHT: usize = 1024 * 1024;

/// Every code that a nack may have.
pub(crate) const NACK_CODES: [&str; 6] = [
    "malformed_json",
    "bad_request",
    "invalid_field",
    "payload_too_large",
    "template_violation",
    "rate_limited",
];

/// What a connection is made of.
pub(crate) struct Gateway {
    /// The engine.
    pub(crate) engine: Engine,
    /// Whose gateway it is.
    pub(crate) device: DeviceId,
    /// The key that it came in with.
    pub(crate) credential: Credential,
    /// What its program calls itself.
    pub(crate) user_agent: Option<String>,
    /// How much and how long it may.
    pub(crate) limits: Limits,
    /// Tells that the node ends.
    pub(crate) stopping: Stopping,
    /// Its place among the others.
    pub(crate) counted: Counted,
}

/// How much and how long a gateway may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often it has to say something.
    heartbeat_seconds: NonZeroU32,
    /// Bytes of one event's payload.
    payload_bytes_max: usize,
    /// What it may have on its way.
    intake: IntakeLimits,
    /// The time that there is when the node ends.
    shutdown_within: Duration,
}

impl Limits {
    /// What the settings say.
    pub(crate) fn of(settings: &Settings) -> Limits {
        Limits {
            heartbeat_seconds: settings.devices.heartbeat_seconds,
            payload_bytes_max: settings.ingest.payload_bytes_max.get(),
            intake: IntakeLimits {
                frames_max: settings.devices.frames_in_flight.get(),
                bytes_max: BYTES_IN_FLIGHT,
            },
            shutdown_within: settings.server.shutdown_within(),
        }
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_secs(u64::from(self.heartbeat_seconds.get()))
    }

    /// How long a gateway may be silent.
    fn silence_max(&self) -> Duration {
        self.heartbeat() * 5 / 2
    }
}

impl Gateway {
    /// Serves the connection until it ends.
    pub(crate) async fn run(self, socket: actix_ws::Session, messages: MessageStream) {
        let device = self.device;
        let mut inbound = Inbound::new(messages, FRAME_BYTES_MAX);
        let mut outbound = Outbound::new(socket);
        let ending = self.serve(&mut inbound, &mut outbound).await;
        tracing::debug!(device.id = %device, "a gateway's connection ends: {ending}");
        ending.say(outbound, inbound).await;
    }

    async fn serve(mut self, inbound: &mut Inbound, outbound: &mut Outbound) -> Ending {
        let mut stopping = self.stopping.clone();
        let hello = tokio::select! {
            hello = hello(inbound, outbound) => hello,
            () = tokio::time::sleep(HELLO_WITHIN) => Err(Ending::NoHello),
            () = stopping.begun() => Err(Ending::Bye(ByeReason::Shutdown)),
        };
        let gateway = match hello {
            Ok(gateway) => gateway,
            Err(ending) => return ending,
        };
        let (link, commands) = link();
        let open = OpenSession {
            tenant: self.credential.tenant,
            device: self.device,
            gateway: Some(gateway.into()),
            transport: Transport::WebSocket,
            link,
        };
        let opened = tokio::select! {
            opened = self.engine.open_session(open) => opened,
            // Nobody is left who could have the session: it must not be taken from whoever has it.
            ending = inbound.lost() => return ending,
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => return Ending::from(error),
        };
        let visitor = Visitor {
            credential: &self.credential,
            user_agent: self.user_agent.take(),
        };
        let noted = visits::note(&self.engine, &session, Transport::WebSocket, visitor);
        Box::pin(noted).await;
        let mut talk = Box::new(Talk::new(&self, session.clone(), commands));
        let ending = match outbound.send(&self.welcome(&session)).await {
            Ok(()) => talk.run(inbound, outbound).await,
            Err(ending) => ending,
        };
        self.engine.close_session(session, ending.reason(), None);
        // Not before: an actor whose connection is gone says that it was lost.
        drop(talk);
        ending
    }

    fn welcome(&self, session: &Session) -> ToGateway {
        ToGateway::Welcome {
            device: self.device,
            fence: session.fence,
            heartbeat_seconds: self.limits.heartbeat_seconds.get(),
        }
    }
}

/// Waits for the first frame, which has to be a hello, and says which gateway it is.
async fn hello(inbound: &mut Inbound, outbound: &mut Outbound) -> Result<Box<str>, Ending> {
    let mut malformed = Malformed::default();
    loop {
        let text = match inbound.next().await {
            Incoming::Text(text) => text,
            Incoming::Ping(payload) => {
                outbound.pong(&payload).await?;
                continue;
            }
            Incoming::Heard => continue,
            Incoming::Ended(ending) => return Err(ending),
        };
        let nack = match FromGateway::parse(&text) {
            Ok(FromGateway::Hello { gateway }) => return Ok(gateway),
            Ok(
                FromGateway::State(_)
                | FromGateway::Event(_)
                | FromGateway::Result(_)
                | FromGateway::Ping,
            ) => talk::refusal(None, "expected a hello first"),
            Err(error) => error.nack(),
        };
        outbound.send(&nack).await?;
        malformed.one_more()?;
    }
}

impl From<OpenError> for Ending {
    fn from(error: OpenError) -> Ending {
        match error {
            OpenError::NotFound => Ending::Bye(ByeReason::Revoked),
            OpenError::Flapping { .. } => Ending::TryLater("too many sessions were opened"),
            OpenError::Engine(error) => {
                tracing::info!("a device's session could not be opened: {error}");
                Ending::TryLater("the session cannot be opened now")
            }
        }
    }
}

//! One connection, from the first byte to the last: TLS, CONNECT, the session, the last words.
//!
//! Decides how long each of these may take, and what a session's end was.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use actors::{Engine, device::Transport};
use bytes::BytesMut;
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    answer::{self, Answers, Offer},
    connect::{self, Connect, Unreadable},
    door::{self, Admitted},
    ending::Refusal,
    frame::{self, Kind},
    over::Over,
    stream::{Step, Stream},
    talk::Talk,
    version::Version,
};
use crate::{
    config::{Settings, seconds},
    devices::{
        intake::IntakeLimits,
        sessions::Sessions,
        visits::{self, Visitor},
    },
    shutdown::Stopping,
};

/// Bytes of a CONNECT packet: a will and a password of the largest size, and room for what is around them.
const CONNECT_BYTES_MAX: usize = 160 * 1024;
/// Bytes that a device may send while it waits for its session.
const EARLY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of payloads that one device may have on their way.
const BYTES_IN_FLIGHT: usize = 1024 * 1024;

/// What all connections share.
pub(super) struct Shared {
    /// The engine.
    pub(super) engine: Engine,
    /// The devices of this node.
    pub(super) sessions: Sessions,
    /// How much and how long a device may.
    pub(super) limits: Limits,
}

/// How much and how long a device may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long it may take until it has said CONNECT.
    connect_within: Duration,
    /// Bytes of one packet.
    pub(super) packet_bytes_max: u32,
    /// What it may have on its way.
    pub(super) intake: IntakeLimits,
    /// How often its key is looked at again.
    pub(super) check_every: Duration,
}

/// What comes in at one port.
#[derive(Clone)]
pub(super) enum Entrance {
    /// MQTT.
    Plain,
    /// MQTT inside of TLS.
    Tls(TlsAcceptor),
}

impl Limits {
    /// What the settings say.
    pub(super) fn of(settings: &Settings) -> Limits {
        Limits {
            connect_within: seconds(settings.mqtt.connect_seconds),
            packet_bytes_max: settings.mqtt.packet_bytes_max.get(),
            intake: IntakeLimits {
                frames_max: settings.devices.frames_in_flight.get(),
                bytes_max: BYTES_IN_FLIGHT,
            },
            check_every: settings.devices.heartbeat(),
        }
    }

    /// Publishes that may be without an answer, as version 5 says it.
    pub(super) fn receive_max(&self) -> u16 {
        u16::try_from(self.intake.frames_max).unwrap_or(u16::MAX)
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    entrance: Entrance,
    socket: TcpStream,
    peer: SocketAddr,
    mut stopping: Stopping,
) {
    let greeted = tokio::select! {
        greeted = timeout(shared.limits.connect_within, greet(entrance, socket)) => greeted,
        // Who has no session yet loses nothing: it finds another node.
        () = stopping.begun() => return,
    };
    let Ok(Some((stream, inbox, connect))) = greeted else {
        return;
    };
    drop(stopping);
    let ip = peer.ip().to_canonical();
    Box::pin(let_in(&shared, stream, inbox, connect, ip)).await;
}

/// Waits for CONNECT; `None` if it does not come.
async fn greet(entrance: Entrance, socket: TcpStream) -> Option<(Stream, BytesMut, Connect)> {
    let mut stream = match entrance {
        Entrance::Plain => Stream::Plain(socket),
        Entrance::Tls(acceptor) => match acceptor.accept(socket).await {
            Ok(stream) => Stream::Tls(Box::new(stream)),
            Err(error) => {
                tracing::debug!("a device's TLS handshake failed: {error}");
                return None;
            }
        },
    };
    let mut inbox = BytesMut::new();
    let frame = loop {
        match frame::take(&mut inbox, CONNECT_BYTES_MAX) {
            Ok(Some(frame)) if frame.kind == Kind::Connect => break frame,
            // Whoever begins with anything else does not speak MQTT.
            Ok(Some(_)) | Err(_) => return None,
            Ok(None) => {}
        }
        // Nothing but CONNECT may come first: there is no need to wait for the end of something else.
        if inbox.first().is_some_and(|first| *first != 0x10) {
            return None;
        }
        let step = stream.step(&mut BytesMut::new(), Some(&mut inbox)).await;
        if !matches!(step, Ok(Step::Read)) {
            return None;
        }
    };
    match connect::read(&frame.body) {
        Ok(connect) => Some((stream, inbox, connect)),
        Err(Unreadable::NotMqtt) => None,
        Err(Unreadable::Refused(version, refusal)) => {
            refuse(stream, version, &refusal).await;
            None
        }
    }
}

async fn let_in(
    shared: &Shared,
    mut stream: Stream,
    mut inbox: BytesMut,
    connect: Connect,
    ip: IpAddr,
) {
    let admitted = tokio::select! {
        admitted = door::admit(&shared.engine, &connect, ip) => admitted,
        // Nobody is left who could have the session: it must not be taken from whoever has it.
        () = lost(&mut stream, &mut inbox) => return,
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(stream, connect.version, &refusal).await,
    };
    let _counted = shared.sessions.enter();
    let answers = Answers {
        version: connect.version,
        capacity: connect.capacity,
    };
    let Admitted {
        session,
        told,
        credential,
        will,
    } = admitted;
    let visitor = Visitor {
        credential: &credential,
        user_agent: None,
    };
    visits::note(&shared.engine, &session, Transport::Mqtt, visitor).await;
    let mut outbox = BytesMut::new();
    outbox.extend_from_slice(&answers.accepted(Offer {
        receive_max: shared.limits.receive_max(),
        packet_bytes_max: shared.limits.packet_bytes_max,
        ends_session: connect.wants_to_resume,
    }));
    let mut talk = Talk::new(shared, session.clone(), told, credential, answers);
    talk.keep_alive(connect.keep_alive);
    drop(connect);
    let over = talk.run(&mut stream, inbox, &mut outbox).await;
    if let Over::Ended(ending) = &over {
        // Version 3.1.1 cannot be told: whoever looks after the device finds the reason here.
        tracing::info!(device.id = %session.device, "a device is disconnected: {ending}");
    } else {
        tracing::debug!(device.id = %session.device, "a device's MQTT connection ends: {over}");
    }
    let (reason, leaves_will) = over.reason(will.is_some());
    let will = will.filter(|_| leaves_will);
    shared.engine.close_session(session, reason, will);
    if let Some(ending) = over.ending()
        && let Some(words) = answers.disconnect(&ending)
    {
        outbox.extend_from_slice(&words);
    }
    stream.close(outbox).await;
}

/// Waits until the device is gone without having said anything. What it says while it waits is kept and will be heard, so it is
/// not gone for nothing; when there is no more room for that, nothing more is read.
async fn lost(stream: &mut Stream, inbox: &mut BytesMut) {
    while inbox.len() < EARLY_BYTES_MAX {
        match stream.step(&mut BytesMut::new(), Some(inbox)).await {
            Ok(Step::Read | Step::Wrote) => {}
            Ok(Step::Closed) if !inbox.is_empty() => break,
            Ok(Step::Closed) | Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}

async fn refuse(stream: Stream, version: Version, refusal: &Refusal) {
    tracing::debug!("a device is not let in: {refusal}");
    metrics::counter!(
        crate::metrics::MQTT_REFUSED,
        "reason" => reason_label(refusal.code)
    )
    .increment(1);
    let words = answer::refused(version, refusal);
    stream.close(BytesMut::from(&words[..])).await;
}

/// What a refusal is counted as.
fn reason_label(code: ConnectReasonCode) -> &'static str {
    match code {
        ConnectReasonCode::ClientIdentifierNotValid => "device",
        ConnectReasonCode::BadUserNameOrPassword | ConnectReasonCode::BadAuthenticationMethod => {
            "key"
        }
        ConnectReasonCode::NotAuthorized | ConnectReasonCode::Banned => "permission",
        ConnectReasonCode::ConnectionRateExceeded => "flapping",
        ConnectReasonCode::ServerUnavailable
        | ConnectReasonCode::ServerBusy
        | ConnectReasonCode::QuotaExceeded
        | ConnectReasonCode::UseAnotherServer
        | ConnectReasonCode::ServerMoved => "unavailable",
        ConnectReasonCode::Success
        | ConnectReasonCode::UnspecifiedError
        | ConnectReasonCode::MalformedPacket
        | ConnectReasonCode::ProtocolError
        | ConnectReasonCode::ImplementationSpecificError
        | ConnectReasonCode::UnsupportedProtocolVersion
        | ConnectReasonCode::TopicNameInvalid
        | ConnectReasonCode::PacketTooLarge
        | ConnectReasonCode::PayloadFormatInvalid
        | ConnectReasonCode::RetainNotSupported
        | ConnectReasonCode::QosNotSupported => "malformed",
    }
}

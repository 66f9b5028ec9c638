//! Reads what a device sends after its CONNECT.
//!
//! What both versions have in common looks the same afterwards. What a packet means is decided elsewhere.

use std::num::NonZeroU16;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::{
    packet::{Properties, Property, Qos, v3_1_1, v5_0},
    result_code::DisconnectReasonCode,
};

use super::{
    ending::Ending,
    frame::{Frame, Kind},
    reader::{Reader, bits},
    version::Version,
};

/// Properties of PUBLISH that a client may send: format, expiry, content type, response topic, correlation, topic alias, user
/// properties.
const PUBLISH_ALLOWED: u64 = bits(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26]);

/// Bytes of a packet that may be kept for whatever small payload.
const SLICED_MAX: usize = 4 * 1024;

/// What a device sends.
#[derive(Debug)]
pub(super) enum Packet {
    /// It publishes.
    Publish(Publish),
    /// It has what was published to it.
    Puback(NonZeroU16),
    /// It knows that its publish of QoS 2 is kept.
    Pubrel(NonZeroU16),
    /// It wants to be published to.
    Subscribe {
        /// The packet's id.
        id: NonZeroU16,
        /// What it wants.
        filters: Vec<Filter>,
    },
    /// It does not want to any more.
    Unsubscribe {
        /// The packet's id.
        id: NonZeroU16,
        /// What it does not want any more.
        filters: Vec<Box<str>>,
    },
    /// It is there.
    Ping,
    /// It leaves; whether with its last will.
    Disconnect {
        /// Whether the will is to be published.
        with_will: bool,
    },
}

/// One filter of a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Its topics.
    pub(super) topics: Box<str>,
    /// The QoS that is wanted.
    pub(super) qos: Qos,
}

/// What a device publishes.
#[derive(Debug)]
pub(super) struct Publish {
    /// Where; empty if an alias says it.
    pub(super) topic: Box<str>,
    /// How surely.
    pub(super) sureness: Sureness,
    /// What.
    pub(super) payload: Bytes,
    /// Properties; none in version 3.1.1.
    pub(super) properties: Properties,
}

/// How surely something is published, which is how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sureness {
    /// QoS 0: nobody hears whether it arrived.
    Unanswered,
    /// QoS 1: PUBACK with this id says that it is durable.
    Puback(NonZeroU16),
    /// QoS 2: PUBREC with this id says that it is durable.
    Pubrec(NonZeroU16),
}

/// Reads a packet.
pub(super) fn read(frame: &Frame, version: Version) -> Result<Packet, Ending> {
    let body = &frame.body;
    match frame.kind {
        Kind::Publish => publish(frame, version).map(Packet::Publish),
        Kind::Puback => acknowledged(body, version, "PUBACK").map(Packet::Puback),
        Kind::Pubrel => acknowledged(body, version, "PUBREL").map(Packet::Pubrel),
        Kind::Subscribe => subscribe(body, version),
        Kind::Unsubscribe => unsubscribe(body, version),
        Kind::Ping => Reader::new(body, "PINGREQ").end().map(|()| Packet::Ping),
        Kind::Disconnect => disconnect(body, version),
        Kind::Connect => Err(Ending::protocol("a connection has one CONNECT packet")),
        // Nothing is published to a device with QoS 2.
        Kind::Pubrec | Kind::Pubcomp => Err(Ending::protocol(
            "nothing was published with QoS 2 to acknowledge",
        )),
        Kind::Auth => Err(Ending::protocol(
            "no method of authentication was agreed on",
        )),
    }
}

impl Publish {
    /// The alias that stands for the topic, or is to stand for it.
    pub(super) fn alias(&self) -> Option<u16> {
        self.properties.iter().find_map(|property| {
            if let Property::TopicAlias(alias) = property {
                Some(alias.val())
            } else {
                None
            }
        })
    }
}

fn publish(frame: &Frame, version: Version) -> Result<Publish, Ending> {
    let mut reader = Reader::new(&frame.body, "PUBLISH");
    let topic = reader.text()?.into();
    let (qos, is_repeated) = ((frame.flags >> 1) & 3, frame.flags & 8 != 0);
    let sureness = match qos {
        0 if is_repeated => return Err(Ending::malformed("a publish of QoS 0 is never repeated")),
        0 => Sureness::Unanswered,
        1 => Sureness::Puback(id(&mut reader)?),
        2 => Sureness::Pubrec(id(&mut reader)?),
        _ => return Err(Ending::malformed("there is no QoS 3")),
    };
    let properties = match version {
        Version::V3 => Properties::new(),
        Version::V5 => reader.properties(PUBLISH_ALLOWED)?,
    };
    let rest = reader.rest();
    // As a slice it keeps the whole packet, while what waits is counted by its own bytes.
    let payload = if frame.body.len() > SLICED_MAX && rest.len() < frame.body.len() / 2 {
        Bytes::copy_from_slice(rest)
    } else {
        frame.body.slice_ref(rest)
    };
    Ok(Publish {
        topic,
        sureness,
        payload,
        properties,
    })
}

fn id(reader: &mut Reader<'_>) -> Result<NonZeroU16, Ending> {
    NonZeroU16::new(reader.number()?).ok_or_else(|| Ending::malformed("a packet id is never 0"))
}

/// Reads a packet that has an id, and in version 5 perhaps a code and properties that change nothing here.
fn acknowledged(
    body: &Bytes,
    version: Version,
    packet: &'static str,
) -> Result<NonZeroU16, Ending> {
    let mut reader = Reader::new(body, packet);
    let id = id(&mut reader)?;
    if version == Version::V3 {
        reader.end()?;
    }
    Ok(id)
}

fn subscribe(body: &Bytes, version: Version) -> Result<Packet, Ending> {
    let found = |error| Ending::found(error, "SUBSCRIBE");
    let (id, entries) = match version {
        Version::V3 => {
            let (packet, _) = v3_1_1::Subscribe::parse(body).map_err(found)?;
            (packet.packet_id(), packet.entries().clone())
        }
        Version::V5 => {
            let (packet, _) = v5_0::Subscribe::parse(body).map_err(found)?;
            if packet
                .props()
                .iter()
                .any(|property| matches!(property, Property::SubscriptionIdentifier(_)))
            {
                let code = DisconnectReasonCode::SubscriptionIdentifiersNotSupported;
                return Err(Ending::new(code, "subscriptions have no identifiers here"));
            }
            (packet.packet_id(), packet.entries().clone())
        }
    };
    let filter = |entry: &mqtt_protocol_core::mqtt::packet::SubEntry| Filter {
        topics: entry.topic_filter().into(),
        qos: entry.sub_opts().qos(),
    };
    Ok(Packet::Subscribe {
        id: not_zero(id)?,
        filters: entries.iter().map(filter).collect(),
    })
}

fn unsubscribe(body: &Bytes, version: Version) -> Result<Packet, Ending> {
    let found = |error| Ending::found(error, "UNSUBSCRIBE");
    let (id, entries) = match version {
        Version::V3 => {
            let (packet, _) = v3_1_1::Unsubscribe::parse(body).map_err(found)?;
            (packet.packet_id(), packet.entries().clone())
        }
        Version::V5 => {
            let (packet, _) = v5_0::Unsubscribe::parse(body).map_err(found)?;
            (packet.packet_id(), packet.entries().clone())
        }
    };
    Ok(Packet::Unsubscribe {
        id: not_zero(id)?,
        filters: entries.iter().map(|entry| entry.as_str().into()).collect(),
    })
}

fn not_zero(id: u16) -> Result<NonZeroU16, Ending> {
    NonZeroU16::new(id).ok_or_else(|| Ending::malformed("a packet id is never 0"))
}

fn disconnect(body: &Bytes, version: Version) -> Result<Packet, Ending> {
    match version {
        Version::V3 => {
            Reader::new(body, "DISCONNECT").end()?;
            Ok(Packet::Disconnect { with_will: false })
        }
        Version::V5 => {
            let (packet, _) = v5_0::Disconnect::parse(body)
                .map_err(|error| Ending::found(error, "DISCONNECT"))?;
            let code = packet.reason_code();
            let is_plain =
                code.is_none_or(|code| code == DisconnectReasonCode::NormalDisconnection);
            Ok(Packet::Disconnect {
                with_will: !is_plain,
            })
        }
    }
}

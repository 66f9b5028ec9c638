//! Reads a CONNECT packet of either version.
//!
//! Strict where a mistake would be dangerous (flags, texts, what follows the end); who the device is, and whether it is let
//! in, is decided elsewhere.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::{
    packet::{Properties, Property},
    result_code::{ConnectReasonCode, DisconnectReasonCode},
};

use super::{
    ending::{Ending, Refusal},
    reader::{Reader, bits},
    version::Version,
};

/// Properties of CONNECT: session expiry, authentication, problem and response information, receive maximum, topic alias
/// maximum, user properties, maximum packet size.
const ALLOWED: u64 = bits(&[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]);
/// Properties of a will: format, expiry, content type, response topic, correlation, delay, user properties.
const WILL_ALLOWED: u64 = bits(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26]);

const RESERVED: u8 = 0b0000_0001;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USER_NAME: u8 = 0b1000_0000;

/// What a client says when it connects.
pub(super) struct Connect {
    /// Its version.
    pub(super) version: Version,
    /// What it calls itself.
    pub(super) client_id: Box<str>,
    /// Seconds within which it says something; 0 is never.
    pub(super) keep_alive: u16,
    /// Its password.
    pub(super) password: Option<Bytes>,
    /// What it would have said if it can say no more.
    pub(super) will: Option<Will>,
    /// What it can take.
    pub(super) capacity: Capacity,
    /// Whether it would have the session outlive the connection.
    pub(super) wants_to_resume: bool,
}

/// What a client can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Publishes on their way to it at the same time.
    pub(super) receive_max: u16,
    /// Bytes of one packet.
    pub(super) packet_bytes_max: u32,
    /// Whether answers may say more than a code.
    pub(super) wants_reasons: bool,
}

/// A last will.
pub(super) struct Will {
    /// Where it would be published.
    pub(super) topic: Box<str>,
    /// What.
    pub(super) payload: Bytes,
    /// Its properties; none in version 3.1.1.
    pub(super) properties: Properties,
}

/// Why there is no CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It does not speak MQTT: it would not understand an answer.
    NotMqtt,
    /// It would understand this one, in this version.
    Refused(Version, Refusal),
}

/// Reads the body of a CONNECT packet.
pub(super) fn read(body: &Bytes) -> Result<Connect, Unreadable> {
    let mut reader = Reader::new(body, "CONNECT");
    let name = reader.text().map_err(|_ending| Unreadable::NotMqtt)?;
    let level = reader.byte().map_err(|_ending| Unreadable::NotMqtt)?;
    let version = match (name, level) {
        ("MQTT", 4) => Version::V3,
        ("MQTT", 5) => Version::V5,
        ("MQTT" | "MQIsdp", _) => {
            let text = "MQTT 3.1.1 and 5 are spoken here";
            let refusal = Refusal::new(ConnectReasonCode::UnsupportedProtocolVersion, text);
            // The answer of 3.1.1 is the one that most others understand.
            return Err(Unreadable::Refused(Version::V3, refusal));
        }
        _ => return Err(Unreadable::NotMqtt),
    };
    rest(&mut reader, version, body).map_err(|refusal| Unreadable::Refused(version, refusal))
}

fn rest(reader: &mut Reader<'_>, version: Version, body: &Bytes) -> Result<Connect, Refusal> {
    let flags = reader.byte()?;
    check(flags, version)?;
    let keep_alive = reader.number()?;
    let properties = properties(reader, version, ALLOWED)?;
    if properties
        .iter()
        .any(|property| matches!(property, Property::AuthenticationMethod(_)))
    {
        return Err(Refusal::new(
            ConnectReasonCode::BadAuthenticationMethod,
            "no method of authentication is known here: the password is an API key",
        ));
    }
    let client_id = reader.text()?.into();
    let will = (flags & WILL != 0)
        .then(|| will(reader, version, body))
        .transpose()?;
    if flags & USER_NAME != 0 {
        reader.text()?;
    }
    let password = (flags & PASSWORD != 0)
        .then(|| reader.bytes().map(|bytes| body.slice_ref(bytes)))
        .transpose()?;
    reader.end()?;
    Ok(Connect {
        version,
        client_id,
        keep_alive,
        password,
        will,
        capacity: capacity(&properties),
        wants_to_resume: properties
            .iter()
            .any(|property| matches!(property, Property::SessionExpiryInterval(expiry) if expiry.val() > 0)),
    })
}

fn check(flags: u8, version: Version) -> Result<(), Ending> {
    let will_qos = (flags & WILL_QOS) >> 3;
    let has_will = flags & WILL != 0;
    let is_wrong = flags & RESERVED != 0
        || will_qos == 3
        || (!has_will && flags & (WILL_QOS | WILL_RETAIN) != 0)
        // Version 5 allows a password without a user name.
        || (version == Version::V3 && flags & PASSWORD != 0 && flags & USER_NAME == 0);
    if is_wrong {
        return Err(Ending::malformed(
            "the flags of the CONNECT packet contradict each other",
        ));
    }
    Ok(())
}

fn will(reader: &mut Reader<'_>, version: Version, body: &Bytes) -> Result<Will, Ending> {
    Ok(Will {
        properties: properties(reader, version, WILL_ALLOWED)?,
        topic: reader.text()?.into(),
        payload: body.slice_ref(reader.bytes()?),
    })
}

fn properties(
    reader: &mut Reader<'_>,
    version: Version,
    allowed: u64,
) -> Result<Properties, Ending> {
    match version {
        Version::V3 => Ok(Properties::new()),
        Version::V5 => reader.properties(allowed),
    }
}

fn capacity(properties: &[Property]) -> Capacity {
    let mut capacity = Capacity {
        receive_max: u16::MAX,
        packet_bytes_max: u32::MAX,
        wants_reasons: true,
    };
    for property in properties {
        if let Property::ReceiveMaximum(max) = property {
            capacity.receive_max = max.val();
        } else if let Property::MaximumPacketSize(max) = property {
            capacity.packet_bytes_max = max.val();
        } else if let Property::RequestProblemInformation(wants) = property {
            capacity.wants_reasons = wants.val() == 1;
        }
    }
    capacity
}

impl From<Ending> for Refusal {
    fn from(ending: Ending) -> Refusal {
        let code = if ending.code == DisconnectReasonCode::MalformedPacket {
            ConnectReasonCode::MalformedPacket
        } else {
            ConnectReasonCode::ProtocolError
        };
        Refusal::new(code, ending.text)
    }
}

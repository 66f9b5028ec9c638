//! Why a connection is ended or refused, in the words of both versions of MQTT.
//!
//! Version 3.1.1 knows five reasons for a refusal and none for an end; version 5 is told the reason and a sentence.

use std::{borrow::Cow, fmt};

use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError,
};

/// Why the engine ends a connection: what DISCONNECT says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The reason in version 5.
    pub(super) code: DisconnectReasonCode,
    /// A sentence about it.
    pub(super) text: Cow<'static, str>,
}

/// Why a device is not let in: what CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason in version 5. That of version 3.1.1 follows from it.
    pub(super) code: ConnectReasonCode,
    /// A sentence about it.
    pub(super) text: Cow<'static, str>,
}

impl Ending {
    /// An end for this reason.
    pub(super) fn new(code: DisconnectReasonCode, text: impl Into<Cow<'static, str>>) -> Ending {
        Ending {
            code,
            text: text.into(),
        }
    }

    /// What came is no packet.
    pub(super) fn malformed(text: impl Into<Cow<'static, str>>) -> Ending {
        Ending::new(DisconnectReasonCode::MalformedPacket, text)
    }

    /// What came is a packet, but not one that may come here.
    pub(super) fn protocol(text: impl Into<Cow<'static, str>>) -> Ending {
        Ending::new(DisconnectReasonCode::ProtocolError, text)
    }

    /// Something that the parser of a packet found.
    pub(super) fn found(error: MqttError, packet: &str) -> Ending {
        let text = format!("the {packet} packet cannot be read: {error}");
        Ending::new(DisconnectReasonCode::from(error), text)
    }
}

impl Refusal {
    /// A refusal for this reason.
    pub(super) fn new(code: ConnectReasonCode, text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code,
            text: text.into(),
        }
    }

    /// The few words that version 3.1.1 has for it.
    pub(super) fn return_code(&self) -> ConnectReturnCode {
        match self.code {
            ConnectReasonCode::UnsupportedProtocolVersion => {
                ConnectReturnCode::UnacceptableProtocolVersion
            }
            ConnectReasonCode::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
            ConnectReasonCode::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
            ConnectReasonCode::ServerUnavailable
            | ConnectReasonCode::ServerBusy
            | ConnectReasonCode::QuotaExceeded
            | ConnectReasonCode::ConnectionRateExceeded
            | ConnectReasonCode::UseAnotherServer
            | ConnectReasonCode::ServerMoved => ConnectReturnCode::ServerUnavailable,
            ConnectReasonCode::Success
            | ConnectReasonCode::UnspecifiedError
            | ConnectReasonCode::MalformedPacket
            | ConnectReasonCode::ProtocolError
            | ConnectReasonCode::ImplementationSpecificError
            | ConnectReasonCode::NotAuthorized
            | ConnectReasonCode::Banned
            | ConnectReasonCode::BadAuthenticationMethod
            | ConnectReasonCode::TopicNameInvalid
            | ConnectReasonCode::PacketTooLarge
            | ConnectReasonCode::PayloadFormatInvalid
            | ConnectReasonCode::RetainNotSupported
            | ConnectReasonCode::QosNotSupported => ConnectReturnCode::NotAuthorized,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

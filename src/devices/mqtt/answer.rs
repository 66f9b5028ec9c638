//! Writes what is sent to a device, in its version.
//!
//! Decides nothing but the words. What is too large for the device is shortened if it can be, and left out if not.

use std::num::NonZeroU16;

use mqtt_protocol_core::mqtt::{
    packet::{
        GenericPacketTrait, MaximumPacketSize, Properties, Property, Qos, ReasonString,
        ReceiveMaximum, RetainAvailable, SessionExpiryInterval, SharedSubscriptionAvailable,
        SubscriptionIdentifierAvailable, TopicAliasMaximum, WildcardSubscriptionAvailable, v3_1_1,
        v5_0,
    },
    result_code::{
        ConnectReasonCode, ConnectReturnCode, MqttError, PubackReasonCode, PubcompReasonCode,
        PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
    },
};

use super::{
    connect::Capacity,
    ending::{Ending, Refusal},
    topics::TOPIC_ALIAS_MAX,
    version::Version,
};

/// Bytes of a sentence that goes with a reason.
const REASON_BYTES_MAX: usize = 512;

/// How one device is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    /// The device's version.
    pub(super) version: Version,
    /// What it can take.
    pub(super) capacity: Capacity,
}

/// What CONNACK tells a device of version 5.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Publishes that may be on their way from it.
    pub(super) receive_max: u16,
    /// Bytes of one packet from it.
    pub(super) packet_bytes_max: u32,
    /// Whether it has to hear that its session ends with the connection.
    pub(super) ends_session: bool,
}

impl Answers {
    /// The device is in.
    pub(super) fn accepted(self, offer: Offer) -> Vec<u8> {
        if self.version == Version::V3 {
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::Accepted);
            return written(packet.build());
        }
        let mut properties: Properties = vec![
            made(ReceiveMaximum::new(offer.receive_max)),
            made(MaximumPacketSize::new(offer.packet_bytes_max)),
            made(TopicAliasMaximum::new(TOPIC_ALIAS_MAX)),
            made(RetainAvailable::new(0)),
            made(WildcardSubscriptionAvailable::new(0)),
            made(SubscriptionIdentifierAvailable::new(0)),
            made(SharedSubscriptionAvailable::new(0)),
        ];
        if offer.ends_session {
            properties.push(made(SessionExpiryInterval::new(0)));
        }
        let packet = v5_0::Connack::builder()
            .session_present(false)
            .reason_code(ConnectReasonCode::Success)
            .props(properties);
        written(packet.build())
    }

    /// PUBACK of something that is durable.
    pub(super) fn puback(self, id: NonZeroU16) -> Vec<u8> {
        match self.version {
            Version::V3 => written(v3_1_1::Puback::builder().packet_id(id.get()).build()),
            Version::V5 => written(v5_0::Puback::builder().packet_id(id.get()).build()),
        }
    }

    /// PUBREC of something that is durable.
    pub(super) fn pubrec(self, id: NonZeroU16) -> Vec<u8> {
        match self.version {
            Version::V3 => written(v3_1_1::Pubrec::builder().packet_id(id.get()).build()),
            Version::V5 => written(v5_0::Pubrec::builder().packet_id(id.get()).build()),
        }
    }

    /// PUBACK of something that is refused. Only version 5 has it.
    pub(super) fn puback_refused(
        self,
        id: NonZeroU16,
        code: PubackReasonCode,
        text: &str,
    ) -> Vec<u8> {
        self.fitting(text, |reasons| {
            let packet = v5_0::Puback::builder()
                .packet_id(id.get())
                .reason_code(code);
            match reasons {
                Some(reasons) => packet.props(reasons).build(),
                None => packet.build(),
            }
        })
    }

    /// PUBREC of something that is refused. Only version 5 has it.
    pub(super) fn pubrec_refused(
        self,
        id: NonZeroU16,
        code: PubrecReasonCode,
        text: &str,
    ) -> Vec<u8> {
        self.fitting(text, |reasons| {
            let packet = v5_0::Pubrec::builder()
                .packet_id(id.get())
                .reason_code(code);
            match reasons {
                Some(reasons) => packet.props(reasons).build(),
                None => packet.build(),
            }
        })
    }

    /// PUBCOMP, the end of a publish of QoS 2. `is_known` says whether there was one.
    pub(super) fn pubcomp(self, id: NonZeroU16, is_known: bool) -> Vec<u8> {
        match self.version {
            Version::V3 => written(v3_1_1::Pubcomp::builder().packet_id(id.get()).build()),
            Version::V5 => {
                let packet = v5_0::Pubcomp::builder().packet_id(id.get());
                let unknown = PubcompReasonCode::PacketIdentifierNotFound;
                written(if is_known {
                    packet.build()
                } else {
                    packet.reason_code(unknown).build()
                })
            }
        }
    }

    /// SUBACK: for each filter the QoS that it gets, or why it gets none.
    pub(super) fn suback(
        self,
        id: NonZeroU16,
        granted: &[Result<Qos, SubackReasonCode>],
        text: &str,
    ) -> Vec<u8> {
        if self.version == Version::V3 {
            let codes = granted.iter().map(|granted| match granted {
                Ok(Qos::AtMostOnce) => SubackReturnCode::SuccessMaximumQos0,
                Ok(Qos::AtLeastOnce) => SubackReturnCode::SuccessMaximumQos1,
                Ok(Qos::ExactlyOnce) => SubackReturnCode::SuccessMaximumQos2,
                Err(_code) => SubackReturnCode::Failure,
            });
            let packet = v3_1_1::Suback::builder()
                .packet_id(id.get())
                .return_codes(codes.collect());
            return written(packet.build());
        }
        let codes = granted.iter().map(|granted| match granted {
            Ok(Qos::AtMostOnce) => SubackReasonCode::GrantedQos0,
            Ok(Qos::AtLeastOnce) => SubackReasonCode::GrantedQos1,
            Ok(Qos::ExactlyOnce) => SubackReasonCode::GrantedQos2,
            Err(code) => *code,
        });
        let codes: Vec<_> = codes.collect();
        self.fitting(text, |reasons| {
            let packet = v5_0::Suback::builder()
                .packet_id(id.get())
                .reason_codes(codes.clone());
            match reasons {
                Some(reasons) => packet.props(reasons).build(),
                None => packet.build(),
            }
        })
    }

    /// UNSUBACK: for each filter whether there was such a subscription.
    pub(super) fn unsuback(self, id: NonZeroU16, were_there: &[bool]) -> Vec<u8> {
        match self.version {
            Version::V3 => written(v3_1_1::Unsuback::builder().packet_id(id.get()).build()),
            Version::V5 => {
                let codes = were_there.iter().map(|was_there| {
                    if *was_there {
                        UnsubackReasonCode::Success
                    } else {
                        UnsubackReasonCode::NoSubscriptionExisted
                    }
                });
                let packet = v5_0::Unsuback::builder()
                    .packet_id(id.get())
                    .reason_codes(codes.collect());
                written(packet.build())
            }
        }
    }

    /// PINGRESP.
    pub(super) fn pong(self) -> Vec<u8> {
        match self.version {
            Version::V3 => v3_1_1::Pingresp::new().to_continuous_buffer(),
            Version::V5 => v5_0::Pingresp::new().to_continuous_buffer(),
        }
    }

    /// Publishes to the device, with QoS 1 if there is an id. `None` if it is more than the device takes.
    pub(super) fn publish(
        self,
        topic: &str,
        id: Option<NonZeroU16>,
        payload: &str,
    ) -> Option<Vec<u8>> {
        let qos = id.map_or(Qos::AtMostOnce, |_| Qos::AtLeastOnce);
        let id = id.map(NonZeroU16::get);
        let bytes = match self.version {
            Version::V3 => {
                let packet = v3_1_1::Publish::builder()
                    .topic_name(topic)
                    .map(|packet| packet.qos(qos).packet_id(id).payload(payload).build());
                written(packet.and_then(|packet| packet))
            }
            Version::V5 => {
                let packet = v5_0::Publish::builder()
                    .topic_name(topic)
                    .map(|packet| packet.qos(qos).packet_id(id).payload(payload).build());
                written(packet.and_then(|packet| packet))
            }
        };
        self.fits(&bytes).then_some(bytes)
    }

    /// DISCONNECT with a reason. Version 3.1.1 has none: its connection is just closed.
    pub(super) fn disconnect(self, ending: &Ending) -> Option<Vec<u8>> {
        if self.version == Version::V3 {
            return None;
        }
        let build = |text: Option<&str>| {
            let packet = v5_0::Disconnect::builder().reason_code(ending.code);
            written(match text {
                Some(text) => packet.props(reasons(text)).build(),
                None => packet.build(),
            })
        };
        let bytes = build(Some(&ending.text));
        Some(if self.fits(&bytes) {
            bytes
        } else {
            build(None)
        })
    }

    /// A packet with a sentence, or without it if the device does not want it or cannot take it.
    fn fitting<P: GenericPacketTrait>(
        self,
        text: &str,
        build: impl Fn(Option<Properties>) -> Result<P, MqttError>,
    ) -> Vec<u8> {
        if self.capacity.wants_reasons && !text.is_empty() {
            let bytes = written(build(Some(reasons(text))));
            if self.fits(&bytes) {
                return bytes;
            }
        }
        written(build(None))
    }

    fn fits(self, bytes: &[u8]) -> bool {
        u32::try_from(bytes.len()).is_ok_and(|length| length <= self.capacity.packet_bytes_max)
    }
}

/// The device is not let in.
pub(super) fn refused(version: Version, refusal: &Refusal) -> Vec<u8> {
    match version {
        Version::V3 => {
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(refusal.return_code());
            written(packet.build())
        }
        Version::V5 => {
            let packet = v5_0::Connack::builder()
                .session_present(false)
                .reason_code(refusal.code)
                .props(reasons(&refusal.text));
            written(packet.build())
        }
    }
}

fn reasons(text: &str) -> Properties {
    let end = text.floor_char_boundary(REASON_BYTES_MAX);
    vec![made(ReasonString::new(&text[..end]))]
}

fn made<P: Into<Property>>(property: Result<P, MqttError>) -> Property {
    property
        .expect("values are within the bounds of their properties")
        .into()
}

fn written<P: GenericPacketTrait>(packet: Result<P, MqttError>) -> Vec<u8> {
    packet
        .expect("what is answered has all that its kind needs")
        .to_continuous_buffer()
}

//! CONNECT, PUBLISH and the rest, byte by byte.

use bytes::Bytes;
use domain::{device::CommandName, time::Timestamp};
use mqtt_protocol_core::mqtt::{
    packet::Qos,
    result_code::{ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, SubackReasonCode},
};

use crate::devices::mqtt::{
    answer::{self, Answers, Offer},
    connect::{self, Capacity, Connect, Unreadable},
    ending::{Ending, Refusal},
    flow::{Arrived, Arriving, Leaving},
    frame::{Frame, Kind},
    packet::{self, Packet, Publish, Sureness},
    topics::Aliases,
    version::Version,
};

fn id(number: u16) -> std::num::NonZeroU16 {
    number.try_into().unwrap()
}

fn read(body: &[u8]) -> Result<Connect, Unreadable> {
    connect::read(&Bytes::copy_from_slice(body))
}

fn refused(body: &[u8]) -> (Version, ConnectReasonCode) {
    match read(body).map(|_connect| ()).unwrap_err() {
        Unreadable::NotMqtt => panic!("it is MQTT"),
        Unreadable::Refused(version, refusal) => (version, refusal.code),
    }
}

fn publish(flags: u8, body: &[u8], version: Version) -> Result<Publish, Ending> {
    let frame = Frame {
        kind: Kind::Publish,
        flags,
        body: Bytes::copy_from_slice(body),
    };
    let Packet::Publish(publish) = packet::read(&frame, version)? else {
        panic!("it is a PUBLISH");
    };
    Ok(publish)
}

fn answers(version: Version, packet_bytes_max: u32) -> Answers {
    Answers {
        version,
        capacity: Capacity {
            receive_max: 10,
            packet_bytes_max,
            wants_reasons: true,
        },
    }
}

fn command(number: u32, deadline: i64) -> domain::device::Command {
    domain::device::Command {
        id: format!("cmd_{number}").into(),
        name: CommandName::PrivacyGet,
        args: Bytes::from_static(b"{}"),
        deadline: Timestamp::from_micros(deadline),
    }
}

#[test]
fn both_versions_connect() {
    let old = read(b"\0\x04MQTT\x04\xc2\0\x3c\0\x04dev1\0\x01u\0\x02pw").unwrap();
    assert_eq!((old.version, old.keep_alive), (Version::V3, 60));
    assert_eq!(
        (&*old.client_id, old.password.as_deref()),
        ("dev1", Some(&b"pw"[..]))
    );
    assert!(old.will.is_none() && !old.wants_to_resume);
    // Session expiry, receive maximum, maximum packet size, and no user name.
    let properties = b"\x0d\x11\0\0\0\x05\x21\0\x03\x27\0\0\x10\0";
    let body = [
        &b"\0\x04MQTT\x05\x42\0\0"[..],
        properties,
        b"\0\x04dev1\0\x02pw",
    ]
    .concat();
    let new = read(&body).unwrap();
    assert_eq!((new.version, new.keep_alive), (Version::V5, 0));
    assert!(new.wants_to_resume);
    assert_eq!(
        (new.capacity.receive_max, new.capacity.packet_bytes_max),
        (3, 4_096)
    );
    assert_eq!(new.password.as_deref(), Some(&b"pw"[..]));
}

#[test]
fn a_topic_alias_maximum_of_0_is_a_valid_wish() {
    let body = b"\0\x04MQTT\x05\x02\0\0\x03\x22\0\0\0\x04dev1";
    assert_eq!(&*read(body).unwrap().client_id, "dev1");
}

#[test]
fn a_will_comes_with_the_connect() {
    let body = b"\0\x04MQTT\x05\x06\0\0\0\0\x04dev1\x05\x18\0\0\0\x01\0\x0bevents/gone\0\x02{}";
    let will = read(body).unwrap().will.unwrap();
    assert_eq!(
        (&*will.topic, &will.payload[..]),
        ("events/gone", &b"{}"[..])
    );
}

#[test]
fn other_versions_hear_which_are_spoken_and_others_nothing() {
    let unknown = ConnectReasonCode::UnsupportedProtocolVersion;
    assert_eq!(
        refused(b"\0\x06MQIsdp\x03\x02\0\0\0\x01a"),
        (Version::V3, unknown)
    );
    assert_eq!(
        refused(b"\0\x04MQTT\x06\x02\0\0\0\x01a"),
        (Version::V3, unknown)
    );
    for body in [
        &b"GET / HTTP/1.1"[..],
        b"",
        b"\0\x04MQTT",
        b"\0\x04AMQP\x04",
    ] {
        assert!(matches!(read(body), Err(Unreadable::NotMqtt)), "{body:?}");
    }
}

#[test]
fn a_connect_that_contradicts_itself_is_malformed() {
    let malformed = (Version::V3, ConnectReasonCode::MalformedPacket);
    // The reserved flag; the will's QoS 3, and 1 without a will; a password without a user name.
    for flags in [0x03, 0x1e, 0x0a, 0x42] {
        let body = [
            &b"\0\x04MQTT\x04"[..],
            &[flags],
            b"\0\0\0\x01a\0\x01t\0\x01p",
        ]
        .concat();
        assert_eq!(refused(&body), malformed, "{flags:x}");
    }
    assert_eq!(refused(b"\0\x04MQTT\x04\x02\0\0\0\x01a rest"), malformed);
    assert_eq!(refused(b"\0\x04MQTT\x04\x02\0\0\0\x02\xff\xfe"), malformed);
    assert_eq!(refused(b"\0\x04MQTT\x04\x02\0\0\0\x01\0"), malformed);
}

#[test]
fn properties_that_may_not_be_there_or_come_twice_are_errors() {
    let error = (Version::V5, ConnectReasonCode::ProtocolError);
    let twice = b"\0\x04MQTT\x05\x02\0\0\x06\x21\0\x01\x21\0\x01\0\x01a";
    assert_eq!(refused(twice), error);
    let foreign = b"\0\x04MQTT\x05\x02\0\0\x03\x23\0\x01\0\x01a";
    assert_eq!(refused(foreign), error);
    let method = b"\0\x04MQTT\x05\x02\0\0\x04\x15\0\x01x\0\x01a";
    assert_eq!(
        refused(method).1,
        ConnectReasonCode::BadAuthenticationMethod
    );
}

#[test]
fn a_publish_says_where_how_surely_and_what() {
    let old = publish(0b0010, b"\0\x01t\0\x07payload", Version::V3).unwrap();
    assert_eq!(old.sureness, Sureness::Puback(id(7)));
    assert_eq!((&*old.topic, &old.payload[..]), ("t", &b"payload"[..]));
    let new = publish(0b0100, b"\0\0\0\x07\x03\x23\0\x02rest", Version::V5).unwrap();
    assert_eq!(new.sureness, Sureness::Pubrec(id(7)));
    assert_eq!((new.alias(), &new.payload[..]), (Some(2), &b"rest"[..]));
}

#[test]
fn publishes_that_cannot_be_are_malformed() {
    for (flags, body) in [
        (0b0110, &b"\0\x01t\0\x01"[..]),
        (0b0010, b"\0\x01t\0\0"),
        (0b1000, b"\0\x01t"),
        (0b0000, b"\0\x05t"),
        (0b0000, b"\0\x01\0"),
    ] {
        let ending = publish(flags, body, Version::V3).unwrap_err();
        assert_eq!(
            ending.code,
            DisconnectReasonCode::MalformedPacket,
            "{body:?}"
        );
    }
}

#[test]
fn an_alias_stands_for_the_topic_that_it_came_with() {
    let mut aliases = Aliases::default();
    let with = |body: &[u8]| publish(0, body, Version::V5).unwrap();
    let unknown = aliases.resolve(&with(b"\0\0\x03\x23\0\x01")).unwrap_err();
    assert_eq!(unknown.code, DisconnectReasonCode::TopicAliasInvalid);
    assert_eq!(
        &*aliases.resolve(&with(b"\0\x01t\x03\x23\0\x01")).unwrap(),
        "t"
    );
    assert_eq!(
        &*aliases.resolve(&with(b"\0\0\x03\x23\0\x01")).unwrap(),
        "t"
    );
    assert!(aliases.resolve(&with(b"\0\x01t\x03\x23\0\x11")).is_err());
    assert!(aliases.resolve(&with(b"\0\0\0")).is_err());
}

#[test]
fn a_publish_of_qos_2_is_new_once() {
    let mut arriving = Arriving::new(2);
    assert_eq!(arriving.exactly_once(id(1)), Ok(Arrived::New));
    assert_eq!(arriving.exactly_once(id(1)), Ok(Arrived::OnItsWay));
    assert!(
        !arriving.released(id(1)),
        "the device was not told that it is durable"
    );
    arriving.received(id(1));
    assert_eq!(arriving.exactly_once(id(1)), Ok(Arrived::Durable));
    assert!(arriving.released(id(1)));
    assert!(!arriving.released(id(1)));
    assert_eq!(arriving.exactly_once(id(1)), Ok(Arrived::New));
}

#[test]
fn more_than_may_be_without_an_answer_is_an_error() {
    let mut arriving = Arriving::new(2);
    assert_eq!(arriving.at_least_once(), Ok(()));
    assert_eq!(arriving.exactly_once(id(1)), Ok(Arrived::New));
    let ending = arriving.at_least_once().unwrap_err();
    assert_eq!(ending.code, DisconnectReasonCode::ReceiveMaximumExceeded);
    arriving.acknowledged();
    assert_eq!(arriving.at_least_once(), Ok(()));
}

#[test]
fn commands_wait_for_room_and_not_beyond_their_deadlines() {
    let now = Timestamp::from_micros(10);
    let mut leaving = Leaving::new(1);
    for (number, deadline) in [(1, 20), (2, 10), (3, 20)] {
        assert!(leaving.push(command(number, deadline), now).is_none());
    }
    let (first, first_id) = leaving.next(true, now).unwrap();
    assert_eq!((&*first.id, first_id), ("cmd_1", Some(id(1))));
    assert!(
        leaving.next(true, now).is_none(),
        "the device takes one at a time"
    );
    assert!(leaving.acknowledged(id(1)));
    assert!(!leaving.acknowledged(id(1)));
    let (next, _) = leaving.next(true, now).unwrap();
    assert_eq!(&*next.id, "cmd_3");
}

#[test]
fn the_oldest_command_gives_way_when_too_many_wait() {
    let now = Timestamp::from_micros(10);
    let mut leaving = Leaving::new(1);
    for number in 0..256 {
        assert!(leaving.push(command(number, 20), now).is_none());
    }
    assert_eq!(&*leaving.push(command(256, 20), now).unwrap().id, "cmd_0");
}

#[test]
fn version_5_hears_what_it_may_do() {
    let offer = Offer {
        receive_max: 64,
        packet_bytes_max: 1_024,
        ends_session: true,
    };
    assert_eq!(answers(Version::V3, 100).accepted(offer), b"\x20\x02\0\0");
    let bytes = answers(Version::V5, 100).accepted(offer);
    assert_eq!(
        &bytes[..4],
        &[0x20, u8::try_from(bytes.len() - 2).unwrap(), 0, 0]
    );
    for property in [
        &b"\x21\0\x40"[..],
        b"\x27\0\0\x04\0",
        b"\x22\0\x10",
        b"\x25\0",
        b"\x28\0",
        b"\x29\0",
        b"\x2a\0",
        b"\x11\0\0\0\0",
    ] {
        let is_there = bytes
            .windows(property.len())
            .any(|window| window == property);
        assert!(is_there, "{property:x?}");
    }
}

#[test]
fn a_refusal_has_the_words_of_each_version() {
    let refusal = Refusal::new(ConnectReasonCode::ConnectionRateExceeded, "come back");
    assert_eq!(refusal.return_code(), ConnectReturnCode::ServerUnavailable);
    assert_eq!(answer::refused(Version::V3, &refusal), b"\x20\x02\0\x03");
    let words = answer::refused(Version::V5, &refusal);
    assert_eq!(words, b"\x20\x0f\0\x9f\x0c\x1f\0\x09come back");
}

#[test]
fn reasons_are_left_out_when_a_device_cannot_take_them() {
    let ending = Ending::protocol("no");
    let whole = answers(Version::V5, 100).disconnect(&ending).unwrap();
    assert_eq!(whole, b"\xe0\x07\x82\x05\x1f\0\x02no");
    assert_eq!(
        answers(Version::V5, 8).disconnect(&ending).unwrap(),
        b"\xe0\x01\x82"
    );
    assert_eq!(answers(Version::V3, 100).disconnect(&ending), None);
}

#[test]
fn subscriptions_are_granted_or_refused_one_by_one() {
    let granted = [Ok(Qos::AtLeastOnce), Err(SubackReasonCode::NotAuthorized)];
    let old = answers(Version::V3, 100).suback(id(3), &granted, "only commands");
    assert_eq!(old, b"\x90\x04\0\x03\x01\x80");
    let new = answers(Version::V5, 100).suback(id(3), &granted, "");
    assert_eq!(new, b"\x90\x05\0\x03\0\x01\x87");
}

#[test]
fn what_a_device_cannot_take_is_not_published_to_it() {
    let small = answers(Version::V5, 20);
    assert!(small.publish("commands", Some(id(1)), "{}").is_some());
    assert!(
        small
            .publish("commands", Some(id(1)), "{\"a\":\"long one\"}")
            .is_none()
    );
}

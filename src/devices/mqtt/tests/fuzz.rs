//! Nothing that can be sent makes a reader panic.

use bytes::BytesMut;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::devices::mqtt::{
    connect,
    frame::{self, Kind},
    message,
    packet::{self, Packet},
    topics::{Aliases, Topic},
    version::Version,
};

const CASES: u64 = 10_000;

/// Packets as devices send them, to be spoilt.
const WHOLE: &[(u8, &[u8])] = &[
    (0x10, b"\0\x04MQTT\x04\x02\0\x3c\0\x04dev1"),
    (
        0x10,
        b"\0\x04MQTT\x05\xc6\0\x3c\x06\x21\0\x14\x22\0\0\0\x04dev1\0\0\x0bevents/gone\0\x02{}\0\x01u\0\x01p",
    ),
    (0x32, b"\0\x0cevents/a.b.c\0\x01{}"),
    (0x34, b"\0\x0cevents/a.b.c\0\x01\x03\x23\0\x01{}"),
    (0x30, b"\0\x0cevents/a.b.c\x0c\x26\0\x02id\0\x05frame{}"),
    (0x82, b"\0\x01\0\x08commands\x01"),
    (0x82, b"\0\x01\0\0\x08commands\x01"),
    (0xa2, b"\0\x01\0\x08commands"),
    (0x40, b"\0\x01"),
    (0x62, b"\0\x01\x92\0"),
    (0xe0, b"\x04\0"),
    (0xc0, b""),
];

/// A packet with its head.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(body.len()).unwrap()], body].concat()
}

/// Reads everything that there is, as a connection would, without answering.
fn read_all(bytes: &[u8], version: Version) {
    let mut inbox = BytesMut::from(bytes);
    let mut aliases = Aliases::default();
    while let Ok(Some(frame)) = frame::take(&mut inbox, 4_096) {
        drop(connect::read(&frame.body).map(|connect| connect.will.as_ref().map(message::will)));
        let Ok(Packet::Publish(publish)) = packet::read(&frame, version) else {
            continue;
        };
        let topic = aliases
            .resolve(&publish)
            .unwrap_or_else(|_| "events/a.b".into());
        if let Some(Topic::Event(kind)) = Topic::named(&topic) {
            drop(message::event(kind, &publish.payload, &publish.properties));
        }
        drop(message::result(&publish.payload));
    }
}

#[test]
fn random_bytes_are_read_without_a_panic() {
    for seed in 0..CASES {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(1..300)];
        random.fill(&mut bytes[..]);
        read_all(&bytes, Version::V3);
        read_all(&bytes, Version::V5);
    }
}

#[test]
fn random_bytes_in_whole_packets_are_read_without_a_panic() {
    for seed in 0..CASES {
        let mut random = StdRng::seed_from_u64(seed);
        let mut body = vec![0; random.random_range(0..100)];
        random.fill(&mut body[..]);
        for first in [0x10, 0x32, 0x34, 0x3b, 0x40, 0x62, 0x82, 0xa2, 0xc0, 0xe0] {
            let bytes = packet(first, &body);
            read_all(&bytes, Version::V3);
            read_all(&bytes, Version::V5);
        }
    }
}

#[test]
fn spoilt_packets_are_read_without_a_panic() {
    for seed in 0..CASES {
        let mut random = StdRng::seed_from_u64(seed);
        let (first, body) = WHOLE[random.random_range(0..WHOLE.len())];
        let mut bytes = packet(first, body);
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(1..bytes.len());
            bytes[place] = random.random();
        }
        read_all(&bytes, Version::V3);
        read_all(&bytes, Version::V5);
        bytes.truncate(random.random_range(1..=bytes.len()));
        read_all(&bytes, Version::V5);
    }
}

#[test]
fn the_packets_to_be_spoilt_are_whole() {
    for (first, body) in WHOLE {
        let frame = frame::take(&mut BytesMut::from(&packet(*first, body)[..]), 4_096);
        let frame = frame.unwrap().unwrap();
        let reads = |version| packet::read(&frame, version).is_ok();
        let is_whole = if frame.kind == Kind::Connect {
            connect::read(&frame.body).is_ok()
        } else {
            reads(Version::V3) || reads(Version::V5)
        };
        assert!(is_whole, "{body:x?}");
    }
}

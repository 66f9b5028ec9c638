//! Input that is wrong: it ends its own connection, with the reason, and nothing else.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use super::{connected, device, engine, settings};
use crate::harness::{
    Engine,
    mqtt::{Connect, Mqtt, port, publish},
};

/// Byte strings of nonsense.
const NONSENSE: u64 = 10_000;
/// How many are sent at the same time.
const TOGETHER: usize = 32;

fn nonsense(seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; random.random_range(1..200)];
    random.fill(&mut bytes[..]);
    // Half of it looks like a CONNECT at first.
    if seed.is_multiple_of(2) {
        let length = u8::try_from((bytes.len() - 1).min(127)).expect("it is less");
        let head = [
            0x10,
            length,
            0,
            4,
            b'M',
            b'Q',
            b'T',
            b'T',
            4 + (seed % 4 / 2) as u8,
        ];
        let count = head.len().min(bytes.len());
        bytes[..count].copy_from_slice(&head[..count]);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_ends_its_own_connection_and_nothing_else() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    let port = port(&engine).await;
    let mut running = JoinSet::new();
    for seed in 0..NONSENSE {
        if running.len() >= TOGETHER {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(async move {
            let mut client = Mqtt::open(port).await;
            client.send(&nonsense(seed)).await;
            client.finish().await;
            let said = client.closed().await;
            assert!(
                said.iter()
                    .all(|(first, body)| *first == 0x20 && body[1] != 0),
                "{said:x?}"
            );
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    mqtt.send(&publish("events/a.b", 1, 1, Some(&[]), b"1"))
        .await;
    mqtt.expect(0x40).await;
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_of_a_device_that_was_let_in_ends_its_connection_and_nothing_else() {
    let engine = engine().await;
    let (client, port) = (engine.client(), port(&engine).await);
    let mut running = JoinSet::new();
    for number in 0..40_u64 {
        let id = device(&client).await;
        let key = engine.key().to_owned();
        running.spawn(async move {
            for seed in 0..8 {
                let level = 4 + u8::try_from(seed % 2).unwrap();
                let connect = Connect::new(level, &id, &key);
                let (mut mqtt, code) = Mqtt::try_connect(port, &connect).await;
                assert_eq!(code, 0);
                let mut random = StdRng::seed_from_u64(1_000 * number + seed);
                let mut bytes = vec![0; random.random_range(1..400)];
                random.fill(&mut bytes[..]);
                mqtt.send(&bytes).await;
                mqtt.finish().await;
                mqtt.closed().await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    let (_, mut mqtt) = connected(&engine, 5).await;
    mqtt.send(&publish("events/a.b", 1, 1, Some(&[]), b"1"))
        .await;
    mqtt.expect(0x40).await;
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

#[tokio::test]
async fn version_5_hears_what_was_wrong() {
    let engine = engine().await;
    for (bytes, code, word) in [
        (&b"\x36\x05\0\x01t\0\x01"[..], 0x81, "QoS 3"),
        (b"\x80\x05\0\x01\0\x01t", 0x81, "flags"),
        (b"\xc0\x01\0", 0x81, "PINGREQ"),
        (b"\x30\xff\xff\xff\xff\x01", 0x81, "length"),
        (b"\x32\x07\0\x01t\0\0\0a", 0x81, "packet id"),
        (b"\x20\x02\0\0", 0x82, "server"),
        (b"\xf0\x00", 0x82, "authentication"),
        (b"\x30\x0b\0\x01t\x07\x0b\x01\x26\0\0\0\0", 0x82, "PUBLISH"),
        (b"\x82\x09\0\x01\x02\x0b\x01\0\x01t\0", 0xa1, "identifiers"),
    ] {
        let (_, mut mqtt) = connected(&engine, 5).await;
        mqtt.send(bytes).await;
        let (found, why) = mqtt.disconnected().await;
        assert_eq!(found, code, "{bytes:x?}: {why}");
        assert!(why.contains(word), "{bytes:x?}: {why}");
    }
    let (id, mut mqtt) = connected(&engine, 5).await;
    mqtt.send(&Connect::new(5, &id, engine.key()).bytes()).await;
    assert_eq!(mqtt.disconnected().await.0, 0x82);
}

#[tokio::test]
async fn a_packet_that_is_too_large_is_refused_before_it_is_read() {
    let settings = settings().with("TRUNKLINE__MQTT__PACKET_BYTES_MAX", "10000");
    let engine = Engine::start_with(settings).await;
    let large = publish("events/a.b", 1, 1, Some(&[]), &[b'1'; 10_000]);
    let (_, mut mqtt) = connected(&engine, 5).await;
    // Its head alone is enough.
    mqtt.send(&large[..10]).await;
    let (code, why) = mqtt.disconnected().await;
    assert_eq!(code, 0x95);
    assert!(why.contains("10000"), "{why}");
    let (_, mut mqtt) = connected(&engine, 5).await;
    mqtt.send(&large).await;
    assert_eq!(
        mqtt.disconnected().await.0,
        0x95,
        "heard in spite of what is still sent"
    );
    let (_, mut mqtt) = connected(&engine, 4).await;
    mqtt.send(&large).await;
    assert_eq!(mqtt.closed().await, []);
}

#[tokio::test]
async fn more_publishes_than_may_be_without_an_answer_end_the_connection() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    // Those of QoS 2 stay without their last answer as long as the device does not release them.
    for id in 1..=64 {
        mqtt.send(&publish("events/a.b", 2, id, Some(&[]), b"1"))
            .await;
        mqtt.expect(0x50).await;
    }
    mqtt.send(&publish("events/a.b", 2, 65, Some(&[]), b"1"))
        .await;
    assert_eq!(mqtt.disconnected().await.0, 0x93);
}

#[tokio::test]
async fn what_is_no_mqtt_is_not_answered() {
    let engine = engine().await;
    let port = port(&engine).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\x10\x0c\0\x04AMQP\x04\x02\0\0\0\0",
        b"\xc0\0",
    ] {
        let mut client = Mqtt::open(port).await;
        client.send(bytes).await;
        assert_eq!(client.closed().await, [], "{bytes:x?}");
    }
}

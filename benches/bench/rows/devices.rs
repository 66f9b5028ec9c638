//! Rows 12 and 13: memory of one connected device that is silent, and how long devices wait for acknowledgements.
//!
//! Kernel buffers of sockets are not in the memory; they are the same for any server. The waits are taken from the moment at
//! which a frame was due, so that a device that is held up counts in full.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    device_wire::{GatewayWire, open_mqtt},
    engine::Engine,
    machine::settled_bytes,
    report::{Line, Wanted},
    rounds::Side,
    rows::Bench,
    stats::{Latencies, per_second},
    wire::{self, Wire},
};

const DEVICE_KB_MAX: f64 = 50.0;
/// Files that a process has open that are not a device's socket.
const OTHER_FILES: usize = 300;
/// Devices that are made or connected at the same time.
const AT_ONCE: usize = 32;
/// Each sending device sends so often.
const SEND_EVERY: Duration = Duration::from_millis(100);
/// Of the rate that is asked for, so much must be reached.
const RATE_SHARE_MIN: f64 = 0.99;

/// Row 12.
pub(super) async fn idle(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let count = bench.scale.idle_devices.min(sockets_max());
    let gateways = idle_kb(bench, Transport::WebSocket, count).await?;
    let mqtt = idle_kb(bench, Transport::Mqtt, count).await?;
    let line = |name, figure| {
        let name = format!("memory of one of {count} idle {name} devices");
        let side = Side::of(vec![figure]);
        Line::alone(row, name, "KB", side, Wanted::AtMost(DEVICE_KB_MAX))
    };
    Ok(vec![line("WebSocket", gateways), line("MQTT", mqtt)])
}

/// Row 13.
pub(super) async fn sending(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let scale = bench.scale;
    let engine = bench.engines.start(&settings("off")).await?;
    let devices = make(&engine, scale.sending_devices).await?;
    let wires = connect(&devices, |device| {
        GatewayWire::open(engine.address, &engine.key, device)
    })
    .await?;
    let began_at = Instant::now();
    let until = began_at + scale.latency;
    let mut tasks = JoinSet::new();
    for (number, wire) in wires.into_iter().enumerate() {
        let share = u32::try_from(number)? * SEND_EVERY / u32::try_from(scale.sending_devices)?;
        tasks.spawn(send_all(wire, number, began_at + share, until));
    }
    let mut waits = Latencies::default();
    while let Some(sent) = tasks.join_next().await {
        waits.merge(sent.context("a device's task broke")??);
    }
    let took = began_at.elapsed();
    engine.stop().await?;
    let events = u64::try_from(waits.len())?;
    let side = Side {
        rounds: vec![per_second(events, took)],
        p50_us: waits.quantile(500),
        p99_us: waits.quantile(990),
    };
    let count = f64::from(u32::try_from(scale.sending_devices)?);
    let wanted = count / SEND_EVERY.as_secs_f64() * RATE_SHARE_MIN;
    let name = format!(
        "{} devices, 10 events/s each, frame to ack",
        scale.sending_devices
    );
    let line = Line::alone(row, name, "events/s", side, Wanted::AtLeast(wanted));
    Ok(vec![line])
}

#[derive(Clone, Copy)]
enum Transport {
    WebSocket,
    Mqtt,
}

/// Sockets that this process, and so each that it starts, may have open beside everything else.
fn sockets_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.map(usize::try_from);
    files.map_or(usize::MAX, |files| {
        files.unwrap_or(usize::MAX).saturating_sub(OTHER_FILES)
    })
}

async fn idle_kb(bench: &Bench, transport: Transport, count: usize) -> anyhow::Result<f64> {
    let scale = bench.scale;
    let mqtt = crate::engine::free_address().await?;
    let port = mqtt.port().to_string();
    let engine = bench.engines.start(&settings(&port)).await?;
    let process = engine.process_id()?;
    let devices = make(&engine, count).await?;
    let before = settled_bytes(process, scale.settle).await?;
    // Held until memory has been read.
    let connected = match transport {
        Transport::WebSocket => {
            let open = |device| GatewayWire::open(engine.address, &engine.key, device);
            Connected::WebSocket(connect(&devices, open).await?)
        }
        Transport::Mqtt => {
            let open = |device| open_mqtt(mqtt, &engine.key, device);
            Connected::Mqtt(connect(&devices, open).await?)
        }
    };
    let after = settled_bytes(process, scale.settle).await?;
    let live = engine.api.live_devices().await?;
    let count = connected.count();
    ensure!(
        live >= count,
        "only {live} of {count} devices are still connected"
    );
    drop(connected);
    engine.stop().await?;
    Ok((after - before) / f64::from(u32::try_from(count)?) / 1e3)
}

enum Connected {
    WebSocket(Vec<GatewayWire>),
    Mqtt(Vec<TcpStream>),
}

impl Connected {
    fn count(&self) -> usize {
        match self {
            Connected::WebSocket(wires) => wires.len(),
            Connected::Mqtt(streams) => streams.len(),
        }
    }
}

/// No silence is too long for a device that is measured.
fn settings(mqtt_port: &str) -> [(&str, &str); 4] {
    [
        ("TRUNKLINE__DEVICES__HEARTBEAT_SECONDS", "3600"),
        ("TRUNKLINE__MQTT__PORT", mqtt_port),
        ("TRUNKLINE__SERVER__CONNECTIONS_MAX", "50000"),
        ("TRUNKLINE__LOG__LEVEL", "warn"),
    ]
}

/// Makes devices and answers their ids.
async fn make(engine: &Engine, count: usize) -> anyhow::Result<Vec<String>> {
    let (address, key) = (engine.address, engine.key.as_str());
    let made = stream::iter(0..AT_ONCE).map(async |lane| {
        let mut wire = Wire::open(address).await.context("connect")?;
        let mut ids = Vec::new();
        for number in (lane..count).step_by(AT_ONCE) {
            let body = format!(r#"{{"name":"bench {number}"}}"#);
            let request = wire::post("/v1/devices", key, body.as_bytes());
            let status = wire.exchange(&request).await.context("make a device")?;
            let answer: Value = serde_json::from_slice(wire.body()).context("read a device")?;
            let id = answer["data"]["id"].as_str();
            ids.push(
                id.with_context(|| format!("{status}: {answer}"))?
                    .to_owned(),
            );
        }
        anyhow::Ok(ids)
    });
    let made: Vec<Vec<String>> = made.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(made.concat())
}

async fn connect<'a, W>(
    devices: &'a [String],
    open: impl AsyncFn(&'a str) -> std::io::Result<W>,
) -> anyhow::Result<Vec<W>> {
    let open = &open;
    let opening = stream::iter(devices).map(async |device| open(device.as_str()).await);
    let opened: std::io::Result<Vec<W>> = opening.buffer_unordered(AT_ONCE).try_collect().await;
    opened.context("connect a device (more than 20,000 need `ulimit -n 65536`)")
}

/// Sends one event each time it is due, and waits for its acknowledgement.
async fn send_all(
    mut wire: GatewayWire,
    number: usize,
    first_at: Instant,
    until: Instant,
) -> anyhow::Result<Latencies> {
    let mut waits = Latencies::default();
    let mut due_at = first_at;
    for event in 0_u32.. {
        if due_at >= until {
            break;
        }
        sleep_until(due_at).await;
        let frame = format!(
            r#"{{"kind":"event","id":"e{event}","type":"message.received","key":{{"chat":"chat-{number}","sender":"sender-{number}","id":"m{event}"}},"data":{{"text":"a message of the usual length, {event}"}}}}"#
        );
        wire.send(frame.as_bytes()).await?;
        let answer = wire.receive().await?;
        ensure!(
            answer.starts_with(br#"{"kind":"ack""#),
            "an event was answered {}",
            String::from_utf8_lossy(&answer)
        );
        waits.add(due_at.elapsed());
        due_at += SEND_EVERY;
    }
    Ok(waits)
}

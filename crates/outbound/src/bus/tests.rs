//! The bus on a real server of NATS.
//!
//! `requests` and `topics` share the one that `./test.sh` starts, under prefixes of their own; `outages` and `tls` have servers
//! of their own.

mod outages;
mod requests;
mod server;
mod tls;
mod topics;

use std::{env, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::{Bus, BusOptions, Connection, Handler};

/// Long enough never to be reached.
const LONG: Duration = Duration::from_secs(30);

/// A prefix that no other test has.
fn fresh_prefix() -> String {
    format!("test-{:016x}", rand::random::<u64>())
}

fn shared_server() -> String {
    env::var("TRUNKLINE_TEST_NATS").expect(
        "TRUNKLINE_TEST_NATS is not set: run ./test.sh, which starts the servers that tests need",
    )
}

fn begin(url: &str, prefix: &str) -> Bus {
    let options = BusOptions {
        url: url.to_owned(),
        authorities: None,
        name: "test".to_owned(),
        prefix: prefix.to_owned(),
        runtime: Handle::current(),
    };
    Bus::start(options).unwrap()
}

/// Waits until there is a connection, and returns its number.
async fn up(bus: &Bus) -> u64 {
    let mut connections = bus.connections();
    let is_up = |connection: &Connection| matches!(connection, Connection::Up(_));
    match *connections.wait_for(is_up).await.unwrap() {
        Connection::Up(number) => number,
        Connection::Away => unreachable!("it is up"),
    }
}

async fn away(bus: &Bus) {
    let mut connections = bus.connections();
    let is_away = |connection: &Connection| *connection == Connection::Away;
    connections.wait_for(is_away).await.unwrap();
}

/// A bus on the shared server, connected.
async fn connected(prefix: &str) -> Bus {
    let bus = begin(&shared_server(), prefix);
    up(&bus).await;
    bus
}

/// Answers with what was asked, in reverse.
fn reverse() -> Handler {
    std::sync::Arc::new(|request: Bytes| {
        let mut answer = request.to_vec();
        answer.reverse();
        async move { Bytes::from(answer) }.boxed()
    })
}

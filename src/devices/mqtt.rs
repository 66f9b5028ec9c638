//! MQTT 3.1.1 and 5, ended here: one connection is one device.
//!
//! Decides where devices come in, how many, and how it all ends. There is no broker inside: a device publishes its events and
//! is published its commands, and nothing goes from one device to another. `docs/devices/mqtt.md` says what devices see.

mod answer;
mod connect;
mod connection;
mod door;
mod ending;
mod flow;
mod frame;
mod listen;
mod message;
mod over;
mod packet;
mod reader;
mod refused;
mod stream;
mod talk;
mod topics;
mod turns;
mod version;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_rt::Arbiter;
use actors::Engine;
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

use self::connection::{Entrance, Limits, Shared};
use super::sessions::Sessions;
use crate::{
    config::{self, Port, Settings},
    shutdown::Stopping,
    tls::{self, TlsError},
};

/// What is needed to let devices in.
pub(crate) struct MqttOptions {
    /// The settings in force.
    pub(crate) settings: Arc<Settings>,
    /// The engine.
    pub(crate) engine: Engine,
    /// The devices of this node.
    pub(crate) sessions: Sessions,
    /// Tells that the node ends.
    pub(crate) stopping: Stopping,
}

/// Where devices come in. It goes on until the node ends; dropping it breaks all connections off.
pub(crate) struct Mqtt {
    addresses: Vec<String>,
    arbiters: Vec<Arbiter>,
    places: Arc<Semaphore>,
    places_max: u32,
}

/// Why devices cannot come in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MqttError {
    /// The address is not to be had.
    #[error("cannot listen on {address} for MQTT: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There are no threads to be had.
    #[error("cannot start the threads for MQTT: {0}")]
    Threads(io::Error),
    /// The certificate or its key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// One port.
struct Opened {
    listener: TcpListener,
    entrance: Entrance,
}

impl Mqtt {
    /// Opens the ports that are wanted, and lets devices in.
    pub(crate) fn start(options: MqttOptions) -> Result<Mqtt, MqttError> {
        let MqttOptions {
            settings,
            engine,
            sessions,
            stopping,
        } = options;
        let (opened, addresses) = open(&settings)?;
        let places_max = u32::try_from(settings.server.connections_max.get())
            .unwrap_or(u32::MAX)
            .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        let mut mqtt = Mqtt {
            addresses,
            arbiters: Vec::new(),
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
        };
        if opened.is_empty() {
            return Ok(mqtt);
        }
        let shared = Arc::new(Shared {
            engine,
            sessions,
            limits: Limits::of(&settings),
        });
        for _ in 0..config::threads(settings.server.workers) {
            let arbiter = Arbiter::try_new().map_err(MqttError::Threads)?;
            for Opened { listener, entrance } in &opened {
                let door = listen::Door {
                    // Each thread accepts by itself: whoever has time takes the next one.
                    listener: listener.try_clone().map_err(MqttError::Threads)?,
                    entrance: entrance.clone(),
                    places: Arc::clone(&mqtt.places),
                    shared: Arc::clone(&shared),
                    stopping: stopping.clone(),
                };
                arbiter.spawn_fn(move || {
                    actix_rt::spawn(door.keep());
                });
            }
            mqtt.arbiters.push(arbiter);
        }
        Ok(mqtt)
    }

    /// Where devices come in, as addresses to type in; none if nobody wants it.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Waits until the last device is gone, but not longer than this. The engine says goodbye to them.
    pub(crate) async fn end(self, within: Duration) {
        let all = self.places.acquire_many(self.places_max);
        if timeout(within, all).await.is_err() {
            let left = self.places_max as usize - self.places.available_permits();
            tracing::warn!("{left} MQTT connections were still open: they are broken off");
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Takes the ports. Nobody is let in yet.
fn open(settings: &Settings) -> Result<(Vec<Opened>, Vec<String>), MqttError> {
    let host = settings.mqtt.host.unwrap_or(settings.server.host);
    let (mut opened, mut addresses) = (Vec::new(), Vec::new());
    let mut add = |scheme: &str, port, entrance| {
        let address = SocketAddr::new(host, port);
        let failed = |source| MqttError::Listen { address, source };
        let (listener, address) = listen::open(address).map_err(failed)?;
        addresses.push(format!("{scheme}://{address}"));
        opened.push(Opened { listener, entrance });
        Ok::<(), MqttError>(())
    };
    if let Port::On(port) = settings.mqtt.port {
        add("mqtt", port, Entrance::Plain)?;
    }
    if let Port::On(port) = settings.mqtt.tls_port
        && let Some((cert, key)) = settings.server.tls()
    {
        let mut config = tls::load(cert, key)?;
        // There is one protocol on this port, whatever a client calls it.
        config.alpn_protocols = Vec::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        add("mqtts", port, Entrance::Tls(acceptor))?;
    }
    Ok((opened, addresses))
}

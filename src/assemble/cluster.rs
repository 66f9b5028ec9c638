//! How a node stands among others: its name, how long it is trusted without a word, and the bus to the others.
//!
//! Decides nothing that the configuration leaves open. A node whose stores are in its own folder has no others.

use std::{fs, path::Path, sync::Arc, time::Duration};

use actors::{
    device::Peers,
    placement::{Cluster, SharedOptions, Wire},
};
use outbound::{Bus, BusOptions, Outside};

use super::AssembleError;
use crate::config::{Nats, Settings};

/// What every subject of ours begins with.
const PREFIX: &str = "trunkline";
/// Where Linux says what the machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// How the node stands, and the bus if there is one. The bus comes up by itself: others need not be there yet.
pub(super) fn cluster(
    settings: &Settings,
    outside: &Outside,
) -> Result<(Cluster, Option<Bus>), AssembleError> {
    if !settings.storage.database_url.is_shared() {
        return Ok((Cluster::Alone, None));
    }
    let node = node_name(settings);
    let bus = match &settings.cluster.nats_url {
        Nats::None => None,
        Nats::Servers(url) => Some(
            Bus::start(BusOptions {
                url: url.reveal().to_owned(),
                authorities: settings.cluster.nats_ca().map(Path::to_owned),
                name: node.clone(),
                prefix: PREFIX.to_owned(),
                runtime: outside.handle(),
            })
            .map_err(AssembleError::Bus)?,
        ),
    };
    let wire = bus.clone().map(|bus| Arc::new(bus) as Arc<dyn Wire>);
    let lease = Duration::from_secs(settings.cluster.lease_seconds.get().into());
    let peers = bus.clone().map(|bus| Arc::new(bus) as Arc<dyn Peers>);
    let options = SharedOptions {
        node,
        lease,
        wire,
        peers,
    };
    Ok((Cluster::Shared(options), bus))
}

/// The configured name, or one that no other process of this installation has.
fn node_name(settings: &Settings) -> String {
    let configured = [&settings.cluster.name, &settings.server.instance_id];
    if let Some(name) = configured.into_iter().find(|name| !name.is_empty()) {
        return name.clone();
    }
    let host = fs::read_to_string(HOST_NAME).unwrap_or_default();
    let host = match host.trim() {
        "" => "node",
        host => host,
    };
    format!("{host}-{}", std::process::id())
}

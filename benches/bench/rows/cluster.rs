//! Row 11: three nodes against one, on the same cores and the same PostgreSQL: what a cluster costs.
//!
//! Three tenants. Once every client talks to the node that holds its tenant, as behind a balancer that keeps a key at a node;
//! once every client talks to any node, so that two requests of three are carried to another one.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::{
    bodies,
    engine::Engine,
    load::{Load, Stop},
    report::Line,
    rounds::{Round, alternate},
    rows::Bench,
    servers::{self, Servers},
    wire,
};

/// A cluster may cost a quarter.
const AT_LEAST: f64 = 0.75;
const NODES: usize = 3;
/// Connections of all clients together.
const CONNECTIONS: usize = 63;

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let servers = Servers::start(bench.data_root())?;
    let (single_db, cluster_db) = (
        servers.database("single").await?,
        servers.database("cluster").await?,
    );
    let single = bench
        .engines
        .start(&servers::settings(&single_db, None, "single"))
        .await?;
    let nats = Some(servers.nats.as_str());
    let first = bench
        .engines
        .start(&servers::settings(&cluster_db, nats, "node-0"))
        .await?;
    let mut nodes = Vec::new();
    for name in ["node-1", "node-2"] {
        let settings = servers::settings(&cluster_db, nats, name);
        nodes.push(bench.engines.join(&first.key, &settings).await?);
    }
    nodes.insert(0, first);

    let single_keys = tenants(&single).await?;
    let keys = tenants(&nodes[0]).await?;
    let one: Vec<Load> = loads(single_keys.iter().map(|key| (single.address, key)));
    let at_home: Vec<Load> = loads(nodes.iter().map(|node| node.address).zip(&keys));
    let anywhere: Vec<Load> = loads(
        keys.iter()
            .flat_map(|key| nodes.iter().map(move |node| (node.address, key))),
    );
    // Whoever asks a node first for a tenant that nobody holds has it there.
    all(&at_home, Stop::After(bench.scale.warm_up)).await?;
    all(&one, Stop::After(bench.scale.warm_up)).await?;
    let mut lines = Vec::new();
    for (name, cluster) in [
        ("three nodes, clients at their tenant's node", &at_home),
        ("three nodes, clients anywhere", &anywhere),
    ] {
        let stop = Stop::After(bench.scale.round);
        let rounds = alternate(
            bench.scale.rounds,
            async || all(cluster, stop).await,
            async || all(&one, stop).await,
        )
        .await
        .context(name)?;
        lines.push(Line::compared(row, name, "events/s", rounds, AT_LEAST));
    }
    for engine in nodes.into_iter().chain([single]) {
        engine.stop().await?;
    }
    Ok(lines)
}

/// Makes a tenant for each node; answers their keys.
async fn tenants(engine: &Engine) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    for number in 0..NODES {
        keys.push(engine.api.create_tenant(&format!("bench-{number}")).await?);
    }
    Ok(keys)
}

/// Shares out the connections.
fn loads<'a>(clients: impl Iterator<Item = (SocketAddr, &'a String)>) -> Vec<Load> {
    let body = bodies::event("bench.cluster");
    let clients: Vec<_> = clients.collect();
    let connections = CONNECTIONS / clients.len();
    let load = |(to, key): (SocketAddr, &String)| Load {
        to,
        connections,
        request: Bytes::from(wire::post("/v1/events", key, &body)),
        events: 1,
    };
    clients.into_iter().map(load).collect()
}

/// All loads at once; their rates together.
async fn all(loads: &[Load], stop: Stop) -> anyhow::Result<Round> {
    let samples = try_join_all(loads.iter().map(|load| load.flat_out(stop))).await?;
    Ok(samples
        .iter()
        .map(crate::load::Sample::rate)
        .sum::<f64>()
        .into())
}

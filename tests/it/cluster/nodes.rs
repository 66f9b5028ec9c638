//! The nodes, the servers that they share, and the lines between them.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Client, Engine, NatsServer, PostgresServer, Proxy, Settings, Store, client::text,
    engine::Tenant, postgres::Database, process, until,
};

/// How many nodes there are.
pub(super) const NODES: usize = 3;
/// Short, because tests wait for it; long enough for a busy machine to renew in time.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// Nodes that share a database share the master key. Whatever 64 hex digits do.
const MASTER_KEY: &str = "6d61737465722d6b65792d6f662d74686520656e67696e652d756e6465722d74";
/// How long an operator waits for a node that may be frozen.
const OPERATORS_PATIENCE: Duration = Duration::from_secs(5);

/// Three nodes and their servers. Everything ends when it is dropped.
#[derive(Debug)]
pub(super) struct Cluster {
    // Before the servers that they use.
    nodes: Vec<Node>,
    /// The one NATS.
    pub(super) nats: NatsServer,
    /// The one PostgreSQL.
    postgres: Postgres,
}

/// One node, and its lines to the servers.
#[derive(Debug)]
pub(super) struct Node {
    /// The process.
    pub(super) engine: Engine,
    /// Its line to PostgreSQL.
    pub(super) to_postgres: Proxy,
    /// Its line to NATS.
    pub(super) to_nats: Proxy,
}

#[derive(Debug)]
enum Postgres {
    /// A database on the server that all tests share.
    Common(Database),
    /// A server that this test may stop.
    Own(PostgresServer),
}

impl Cluster {
    /// Starts the nodes on a database of the common server.
    pub(super) async fn start() -> Cluster {
        Cluster::start_on(Postgres::Common(Database::fresh())).await
    }

    /// The same on a server of the test's own.
    pub(super) async fn start_on_own_postgres() -> Cluster {
        Cluster::start_on(Postgres::Own(PostgresServer::start().await)).await
    }

    async fn start_on(postgres: Postgres) -> Cluster {
        let nats = NatsServer::start().await;
        let first = Lines::draw(&postgres, &nats).await;
        let engine = Engine::start_with(first.settings(&postgres, 0)).await;
        let key = engine.key().to_owned();
        let mut nodes = vec![first.node(engine)];
        for number in 1..NODES {
            let lines = Lines::draw(&postgres, &nats).await;
            let engine = Engine::join(lines.settings(&postgres, number), &key).await;
            nodes.push(lines.node(engine));
        }
        Cluster {
            nodes,
            nats,
            postgres,
        }
    }

    /// One of the nodes.
    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// One of the nodes, to be stopped or started.
    pub(super) fn engine_mut(&mut self, number: usize) -> &mut Engine {
        &mut self.nodes[number].engine
    }

    /// The server, which must be the test's own.
    pub(super) fn postgres_mut(&mut self) -> &mut PostgresServer {
        match &mut self.postgres {
            Postgres::Own(server) => server,
            Postgres::Common(_) => panic!("other tests use this server too"),
        }
    }

    /// A client of one node with a tenant's key.
    pub(super) fn client(&self, node: usize, tenant: &Tenant) -> Client {
        self.nodes[node].engine.anonymous().with_key(&tenant.key)
    }

    /// A client of every node with a tenant's key.
    pub(super) fn clients(&self, tenant: &Tenant) -> Vec<Client> {
        (0..NODES).map(|node| self.client(node, tenant)).collect()
    }

    /// What a node is called among operators.
    pub(super) fn name(number: usize) -> String {
        format!("node-{number}")
    }

    /// The nodes on which a tenant's actor runs; those that do not answer are left out.
    pub(super) async fn homes_of(&self, tenant: &Tenant) -> Vec<usize> {
        let mut homes = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let list = node.engine.operator().get("/internal/actors?limit=500");
            let Ok(answer) = list.within(OPERATORS_PATIENCE).attempt().await else {
                continue;
            };
            let running = answer.ok(200).data();
            let mut running = running.as_array().expect("a list").iter();
            if running.any(|actor| actor["kind"] == "tenant" && text(actor, "key") == tenant.id) {
                homes.push(number);
            }
        }
        homes
    }

    /// Waits until a tenant has one home, and answers it.
    pub(super) async fn home_of(&self, tenant: &Tenant) -> usize {
        until("the tenant has one home", async || {
            match self.homes_of(tenant).await[..] {
                [home] => Some(home),
                _ => None,
            }
        })
        .await
    }

    /// Has an operator move a tenant, by way of any node, and waits until it has arrived.
    pub(super) async fn move_tenant(&self, tenant: &Tenant, to: usize) {
        let path = format!("/internal/tenants/{}/move", tenant.id);
        let body = json!({ "to": Cluster::name(to) });
        let operator = self.nodes[to].engine.operator();
        until("the move is taken", async || {
            let answer = operator.post(&path, &body).await;
            // Nobody has it, or it is on its way already: both pass.
            let is_taken = (200..300).contains(&answer.status);
            assert!(
                is_taken || matches!(answer.status, 409 | 503),
                "{} {}",
                answer.status,
                answer.text()
            );
            is_taken.then_some(())
        })
        .await;
        until("the tenant has arrived", async || {
            // An actor starts when it is asked.
            let send = json!({ "type": "moved", "payload": { "to": to } });
            self.client(to, tenant).post("/v1/events", &send).await;
            (self.homes_of(tenant).await == [to]).then_some(())
        })
        .await;
    }

    /// Waits until a node says whether it is ready.
    pub(super) async fn until_ready(&self, node: usize, is_ready: bool) {
        let probe = self.nodes[node].engine.anonymous();
        until("the node says whether it is ready", async || {
            let answer = probe.get("/ready").attempt().await.ok()?;
            ((answer.status == 200) == is_ready).then_some(())
        })
        .await;
    }

    /// Waits until every node takes events for every one of these tenants.
    pub(super) async fn until_whole(&self, tenants: &[Tenant]) {
        for tenant in tenants {
            for (node, client) in self.clients(tenant).iter().enumerate() {
                let event = json!({ "type": "whole", "payload": { "node": node } });
                until("the node takes events for the tenant", async || {
                    let answer = client.post("/v1/events", &event).attempt().await.ok()?;
                    (answer.status == 202).then_some(())
                })
                .await;
            }
        }
    }

    /// Stops a node where it is.
    pub(super) async fn freeze(&self, node: usize) {
        process::signal(self.nodes[node].engine.process_id(), "STOP").await;
    }

    /// Lets it go on.
    pub(super) async fn thaw(&self, node: usize) {
        process::signal(self.nodes[node].engine.process_id(), "CONT").await;
    }
}

impl Postgres {
    fn port(&self) -> u16 {
        match self {
            Postgres::Own(server) => server.port(),
            Postgres::Common(database) => {
                let url = database.url();
                let (_, rest) = url.rsplit_once(':').expect("a URL with a port");
                let port = rest.split('/').next().unwrap_or_default();
                port.parse().expect("a port is a number")
            }
        }
    }

    /// The address through a line that listens on this port.
    fn url_through(&self, port: u16) -> String {
        match self {
            Postgres::Own(_) => PostgresServer::url_through(port),
            Postgres::Common(database) => {
                let own = format!(":{}/", self.port());
                database.url().replace(&own, &format!(":{port}/"))
            }
        }
    }
}

/// The lines of a node that is yet to start.
struct Lines {
    to_postgres: Proxy,
    to_nats: Proxy,
}

impl Lines {
    async fn draw(postgres: &Postgres, nats: &NatsServer) -> Lines {
        Lines {
            to_postgres: Proxy::to(postgres.port()).await,
            to_nats: Proxy::to(nats.port()).await,
        }
    }

    fn settings(&self, postgres: &Postgres, number: usize) -> Settings {
        let nats = format!("nats://127.0.0.1:{}", self.to_nats.port());
        Settings::default()
            .on(Store::Given)
            .with(
                "DATABASE_URL",
                postgres.url_through(self.to_postgres.port()),
            )
            .with("NATS_URL", nats)
            .with("MASTER_KEY", MASTER_KEY)
            .with("INSTANCE_ID", Cluster::name(number))
            .with(
                "TRUNKLINE__CLUSTER__LEASE_SECONDS",
                LEASE.as_secs().to_string(),
            )
            .with(
                "TRUNKLINE__POSTGRES__STATEMENT_TIMEOUT_MS",
                (LEASE * 2 / 3).as_millis().to_string(),
            )
            .with("TRUNKLINE__REGIONS__ENABLED", "AU")
            .with("TRUNKLINE__MQTT__PORT", "0")
            .with("TRUNKLINE__SERVER__WORKERS", "1")
            .with("TRUNKLINE__ENGINE__ARBITERS", "1")
    }

    fn node(self, engine: Engine) -> Node {
        Node {
            engine,
            to_postgres: self.to_postgres,
            to_nats: self.to_nats,
        }
    }
}

//! `trunkline serve`: runs the engine until a signal comes.
//!
//! Decides the order in which things start and end. What each of them is decided elsewhere.

use std::{
    future::{Future, pending},
    io,
    sync::Arc,
    time::Duration,
};

use actix_web::web::ServiceConfig;
use anyhow::Context as _;
use clap::Args;
use outbound::Connection;
use tokio::time::Instant;

use super::{Failure, Global, print};
use crate::{
    assemble::{Given, Node},
    config::{self, Settings},
    devices::mqtt::{Mqtt, MqttError, MqttOptions},
    first_start::{self, Start},
    http::{
        carry::{Answering, AnsweringOptions, Carrier},
        routes, server,
    },
    logging,
    metrics::Metrics,
    scheduling,
    shutdown::{self, Open, Stopper, Stopping},
};

/// How long the log may take to be written at the end.
const LOG_ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a start waits for the way to other nodes. Without it the node begins with what it can do alone.
const BUS_UP_WITHIN: Duration = Duration::from_secs(2);
/// What the engine gets at the end even if requests took all the time that there was.
const ENGINE_ENDS_WITHIN_MIN: Duration = Duration::from_secs(1);

/// The arguments of `trunkline serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct Arguments {}

/// A node that listens.
pub(crate) struct Serving {
    /// The node.
    pub(crate) node: Node,
    /// The address that a client on this machine can call.
    pub(crate) url: String,
    servers: Vec<Open>,
    /// Among other nodes: what they ask of this one.
    answering: Option<Answering>,
    /// Where devices come in by MQTT.
    mqtt: Mqtt,
    stopper: Stopper,
    stopping: Stopping,
    within: Duration,
}

/// Serves.
pub(crate) fn run(global: &Global, _: &Arguments) -> Result<(), Failure> {
    let settings = global.load()?.settings;
    within_process(settings, |given, metrics| async move {
        let region = given.settings.regions.default;
        let serving = Serving::start(&given, metrics).await?;
        let start = first_start::make_tenant(&serving.node, region)
            .await
            .context("make what the first start makes")?;
        serving.wake().await?;
        print(&first_start::greeting(&start, &serving.url, &serving.node))?;
        if matches!(start, Start::First { .. }) {
            serving
                .node
                .folder
                .note_key_shown()
                .context("note that the key was shown")?;
        }
        serving.until_told().await
    })
}

/// Runs a server's work in a process that logs and counts, and writes the last lines at the end.
pub(crate) fn within_process<W: Future<Output = Result<(), Failure>>>(
    settings: Settings,
    work: impl FnOnce(Given, Metrics) -> W,
) -> Result<(), Failure> {
    // Before the first thread is started.
    scheduling::work_in_batches();
    let given = Given::new(settings);
    let logging = logging::start(&given.settings, &given.clock).context("start to log")?;
    let metrics = Metrics::install(given.clock.clone()).context("start to count")?;
    let outcome = actix_rt::System::new().block_on(work(given, metrics));
    logging.finish(LOG_ENDS_WITHIN);
    outcome
}

impl Serving {
    /// Opens everything and takes the ports. Nobody is answered before the servers are awaited.
    pub(crate) async fn start(given: &Given, metrics: Metrics) -> Result<Serving, Failure> {
        let node = Node::open(given).await.map_err(Failure::assemble)?;
        let (stopper, stopping) = shutdown::stopping();
        actix_rt::spawn(metrics.clone().keep_up());
        let options = server::ServerOptions {
            settings: Arc::clone(&given.settings),
            random: Arc::clone(&given.random),
            metrics,
            stopping: stopping.clone(),
        };
        let configure = configure(&node, &given.settings);
        let answering = answer_others(&node, &options, configure.clone())
            .context("start the threads that answer other nodes")?;
        find_others(&node).await;
        let listening = server::start(&options, configure).context("start the server")?;
        let url = first_start::url_to_call(listening.address, listening.has_tls);
        tracing::info!(
            url = url.as_str(),
            "requests are taken on {}",
            listening.url()
        );
        let mut servers = vec![listening.server];
        if let Some(metrics) =
            server::start_metrics(&options).context("start the server of metrics")?
        {
            tracing::info!("metrics are shown on {}/metrics", metrics.url());
            servers.push(metrics.server);
        }
        let mqtt = start_mqtt(&node, given, &stopping).context("start to take MQTT")?;
        let within = given.settings.server.shutdown_within();
        Ok(Serving {
            node,
            url,
            servers,
            answering,
            mqtt,
            stopper,
            stopping,
            within,
        })
    }

    /// Starts what must run unasked.
    pub(crate) async fn wake(&self) -> Result<(), Failure> {
        Ok(self
            .node
            .engine
            .wake()
            .await
            .context("look for deliveries to make")?)
    }

    /// Answers until a signal comes, then ends in order.
    pub(crate) async fn until_told(self) -> Result<(), Failure> {
        self.until(pending()).await
    }

    /// Answers until a signal comes or `end` names what else ends it, then ends in order.
    pub(crate) async fn until(
        self,
        end: impl Future<Output = &'static str>,
    ) -> Result<(), Failure> {
        let Serving {
            node,
            servers,
            answering,
            mqtt,
            stopper,
            mut stopping,
            within,
            ..
        } = self;
        let engine = node.engine.clone();
        // Requests and deliveries share the time that there is.
        let leaving = engine.clone();
        let began_at = actix_rt::spawn(async move {
            stopping.begun().await;
            // Others may take over from now on what is not in use here.
            leaving.leave();
            Instant::now()
        });
        let flush = async move {
            let began_at = began_at.await.unwrap_or_else(|_| Instant::now());
            let ends_at = began_at + within;
            mqtt.end(ends_at.saturating_duration_since(Instant::now()))
                .await;
            let left = ends_at.saturating_duration_since(Instant::now());
            Box::pin(engine.shut_down(left.max(ENGINE_ENDS_WITHIN_MIN))).await;
            // Until here other nodes were told which tenants do not live here any more.
            if let Some(answering) = answering {
                answering.end(ENGINE_ENDS_WITHIN_MIN).await;
            }
        };
        let outcome = shutdown::run(servers, stopper, within, end, flush).await;
        node.end();
        Ok(outcome.context("serve")?)
    }
}

/// Waits for the way to other nodes, so that the first requests for what they hold are not refused.
async fn find_others(node: &Node) {
    let Some(bus) = &node.bus else {
        if node.engine.node().is_some() {
            tracing::warn!(
                "the stores are on PostgreSQL and cluster.nats_url is empty: this has to be the only node there, because no other one can reach it"
            );
        }
        return;
    };
    let mut connections = bus.connections();
    let up = connections.wait_for(|connection| matches!(connection, Connection::Up(_)));
    if tokio::time::timeout(BUS_UP_WITHIN, up).await.is_err() {
        tracing::warn!("there is no way to other nodes yet: serving what this node can do alone");
    }
}

/// Adds the routes, and whatever they need, to the handlers of one thread.
fn configure(
    node: &Node,
    settings: &Arc<Settings>,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + use<> {
    let state = node.handler_state(settings);
    let is_among_others = node.engine.node().is_some();
    let carrier = is_among_others.then(|| Carrier::new(node.bus.clone(), settings));
    move |app| {
        state.add_to(app);
        routes::configure_among(app, carrier.as_ref());
    }
}

/// Lets devices in by MQTT, and says where.
fn start_mqtt(node: &Node, given: &Given, stopping: &Stopping) -> Result<Mqtt, MqttError> {
    let mqtt = Mqtt::start(MqttOptions {
        settings: Arc::clone(&given.settings),
        engine: node.engine.clone(),
        sessions: node.sessions.clone(),
        stopping: stopping.clone(),
    })?;
    for address in mqtt.addresses() {
        tracing::info!("MQTT is taken on {address}");
    }
    Ok(mqtt)
}

/// Answers other nodes, if there is a way to them.
fn answer_others(
    node: &Node,
    options: &server::ServerOptions,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Option<Answering>> {
    let Some(bus) = node.bus.clone() else {
        return Ok(None);
    };
    let answering = AnsweringOptions {
        server: options.clone(),
        bus,
        session: node.engine.session(),
        threads: config::threads(options.settings.server.workers),
    };
    Answering::start(answering, configure).map(Some)
}

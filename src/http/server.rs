//! Puts the HTTP server together: sockets, limits and the layer around all handlers.
//!
//! Knows no route: those come in as a function. Ends no process: that is `shutdown`.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, Error, HttpServer,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    web::{self, ServiceConfig},
};
use rand::rngs::StdRng;
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    body::{BodyLimit, BodyRules},
    context::{Arrival, RequestLayer, RequestLayerOptions},
    cors::Cors,
    operations,
    problem::{Code, Problem},
};
use crate::{
    config::{self, Port, Settings, seconds},
    metrics::Metrics,
    shutdown::{Open, Stopping},
    tls::{self, TlsError},
};

/// Bytes that the kernel keeps for a client that does not read: more would only hide that it is slow.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long a client may leave sent bytes unread or unacknowledged before the kernel gives it up.
const UNREAD_FOR: Duration = Duration::from_secs(60);
/// Bytes of an answer that are gathered before they are written. Every piece of a tail is larger, so this costs it nothing.
const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// How long a TLS handshake may take.
const TLS_HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection that is being closed may take to acknowledge it.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What a server is made of.
#[derive(Clone)]
pub(crate) struct ServerOptions {
    /// The settings in force.
    pub(crate) settings: Arc<Settings>,
    /// Makes each worker's own generator of randomness.
    pub(crate) random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    /// What `GET /metrics` shows.
    pub(crate) metrics: Metrics,
    /// Told to handlers that would otherwise go on for ever.
    pub(crate) stopping: Stopping,
}

/// A server that listens. It serves while it is awaited; see `shutdown::run`.
pub(crate) struct Listening {
    /// The server.
    pub(crate) server: Open,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Whether it speaks TLS.
    pub(crate) has_tls: bool,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The address is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Listening {
    /// The address to type into a browser.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Starts to listen. `configure` adds the routes and whatever they need; it runs once in each worker.
pub(crate) fn start(
    options: &ServerOptions,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Result<Listening, ServerError> {
    let settings = &options.settings.server;
    let tls = settings
        .tls()
        .map(|(cert, key)| tls::load(cert, key))
        .transpose()?;
    let has_tls = tls.is_some();
    let (listener, address) = listen(SocketAddr::new(settings.host, settings.port))?;
    let workers = config::threads(settings.workers);
    let layer = Arc::new(layer_options(options, has_tls));
    let shared = options.clone();
    let server = HttpServer::new(move || app(&shared, &layer, configure.clone()))
        .workers(workers)
        .max_connections(settings.connections_max.get().div_ceil(workers))
        .backlog(BACKLOG.unsigned_abs())
        .tcp_nodelay(true)
        // A client that has closed its half is gone: without this its tail would stay until the next heartbeat.
        .h1_allow_half_closed(false)
        // A reader that does not read holds what is written here, and the buffer doubles as it grows.
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .keep_alive(seconds(settings.keep_alive_seconds))
        .client_request_timeout(seconds(settings.head_seconds))
        .client_disconnect_timeout(DISCONNECT_WITHIN)
        .tls_handshake_timeout(TLS_HANDSHAKE_WITHIN)
        .shutdown_timeout(settings.shutdown_within().as_secs())
        .disable_signals();
    let failed = |source| ServerError::Listen { address, source };
    let door = listener.try_clone().map_err(failed)?;
    let bound = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    let server = bound.map_err(failed)?.run();
    Ok(Listening {
        server: Open {
            server,
            door: Some(door),
        },
        address,
        has_tls,
    })
}

/// All handlers of one thread, with the layer around them.
pub(crate) fn app<C: FnOnce(&mut ServiceConfig)>(
    options: &ServerOptions,
    layer: &Arc<RequestLayerOptions>,
    configure: C,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    > + use<C>,
> {
    App::new()
        .wrap(RequestLayer::new(Arc::clone(layer)))
        .app_data(body_rules(&options.settings))
        .app_data(web::Data::new(options.metrics.clone()))
        .app_data(web::Data::new(options.stopping.clone()))
        .configure(configure)
        .default_service(web::to(no_route))
}

/// The layer around handlers that requests from other nodes come to: what the first node has done is not done twice.
pub(crate) fn carried_layer_options(options: &ServerOptions) -> RequestLayerOptions {
    RequestLayerOptions {
        cors: Cors::new(&[]),
        trusted_proxies: Vec::new(),
        arrival: Arrival::Carried,
        ..layer_options(options, false)
    }
}

/// Starts the second listener, which shows metrics and nothing else, if it is wanted.
pub(crate) fn start_metrics(options: &ServerOptions) -> Result<Option<Listening>, ServerError> {
    let Port::On(port) = options.settings.metrics.port else {
        return Ok(None);
    };
    let (listener, address) = listen(SocketAddr::new(options.settings.server.host, port))?;
    let metrics = options.metrics.clone();
    let server = HttpServer::new(move || {
        let metrics = web::Data::new(metrics.clone());
        App::new()
            .app_data(metrics)
            .configure(operations::configure)
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)
    .map_err(|source| ServerError::Listen { address, source })?;
    Ok(Some(Listening {
        server: Open {
            server: server.run(),
            door: None,
        },
        address,
        has_tls: false,
    }))
}

fn layer_options(options: &ServerOptions, has_tls: bool) -> RequestLayerOptions {
    let Settings {
        server, log, otel, ..
    } = &*options.settings;
    RequestLayerOptions {
        cors: Cors::new(&server.cors_origins),
        trusted_proxies: server.trusted_proxies.clone(),
        header_bytes_max: server.header_bytes_max.get(),
        has_tls,
        is_recording: log.requests || otel.endpoint.is_wanted(),
        sample_ratio: otel.sample_ratio.0,
        arrival: Arrival::Direct,
        stopping: options.stopping.clone(),
        random: Arc::clone(&options.random),
    }
}

fn body_rules(settings: &Settings) -> BodyRules {
    BodyRules {
        limit: BodyLimit(settings.server.body_bytes_max.get()),
        batch_limit: BodyLimit(settings.ingest.batch_bytes_max.get()),
        within: seconds(settings.server.body_seconds),
    }
}

/// Answers what no route takes.
async fn no_route() -> Result<&'static str, Problem> {
    Err(Problem::new(
        Code::NotFound,
        "there is nothing at this path",
    ))
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    open(address).map_err(|source| ServerError::Listen { address, source })
}

/// Connections inherit what is set on the socket that accepts them.
fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Else a restart would have to wait until the connections of the last run are forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD_FOR))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

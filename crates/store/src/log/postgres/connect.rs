//! Opens connections: where to, how secured, with which settings, and how many for whom.
//!
//! Writers and readers have pools of their own, so that no crowd of readers keeps a commit waiting. Connections live on the
//! runtime on which the log was opened, whoever asks for them. Runs no statement of the log itself.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use domain::region::Region;
use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    failure::store_error,
    names::Names,
    tls::{Mode, Security},
};
use crate::{PostgresOptions, StoreError};

/// A writer that commits and one that sweeps or probes.
const WRITERS_MIN: u32 = 2;
/// One connection in so many is a writer's.
const WRITERS_SHARE: u32 = 4;
/// How long a commit may pause between its statements. A node that is cut off in the middle of one holds its tenants' rows for
/// so long, and whoever takes them over has to wait for it.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a silent connection is left alone, and how often it is asked afterwards, before it counts as dead.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// A server, and the region's schema in it.
pub(super) struct Server {
    config: Config,
    tls: MakeRustlsConnect,
    pub(super) options: PostgresOptions,
    pub(super) schema: String,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commits, sweeps, probes.
    Writing,
    /// Everything else.
    Reading,
}

impl Server {
    /// Reads the options; opens nothing.
    pub(super) fn new(options: &PostgresOptions, region: Region) -> Result<Server, StoreError> {
        let (url, security) = split_url(&options.url)?;
        let mut config: Config = url.parse().map_err(|error: Error| {
            StoreError::Unavailable(format!("the database's URL cannot be read: {error}"))
        })?;
        config
            .ssl_mode(security.negotiation())
            .connect_timeout(options.connect_timeout)
            .tcp_user_timeout(options.statement_timeout + options.connect_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        if config.get_application_name().is_none() {
            config.application_name(format!("trunkline {region}"));
        }
        Ok(Server {
            config,
            tls: MakeRustlsConnect::new(security.client_config()?),
            options: options.clone(),
            schema: format!("region_{}", region.name().to_ascii_lowercase()),
        })
    }

    /// Opens one connection beside the pools, without a limit on its statements.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = in_time(self.options.connect_timeout, connecting)
            .await?
            .map_err(store_error)?;
        // It ends when the client is dropped; what ends it earlier, the client is told too.
        drop(tokio::spawn(connection));
        Ok(client)
    }

    /// How long a commit or a question may take from end to end.
    pub(super) fn patience(&self) -> Duration {
        self.options.statement_timeout + self.options.connect_timeout
    }

    /// A pool; it opens no connection before one is needed.
    pub(super) fn pool(&self, purpose: Purpose, names: Arc<Names>) -> Result<Pool, StoreError> {
        let writers = (self.options.pool_size / WRITERS_SHARE).max(WRITERS_MIN);
        let size = match purpose {
            Purpose::Writing => writers,
            Purpose::Reading => self.options.pool_size.saturating_sub(writers).max(1),
        };
        let connect = OnRuntime {
            runtime: Handle::current(),
            tls: self.tls.clone(),
        };
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(self.config.clone(), connect, recycling);
        let settings: Arc<str> = settings(purpose, &self.schema, &self.options).into();
        let wait = self.options.connect_timeout;
        Pool::builder(manager)
            .max_size(usize::try_from(size).unwrap_or(usize::MAX))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = Arc::clone(&settings);
                // Behind a new connection there may be another server, which gave numbers of its own.
                names.clear();
                Box::pin(async move {
                    let set = client.batch_execute(&settings).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

/// Waits for an answer, but not for longer than it may take: a server may be there and say nothing.
pub(super) async fn in_time<T>(
    patience: Duration,
    answer: impl Future<Output = T>,
) -> Result<T, StoreError> {
    tokio::time::timeout(patience, answer)
        .await
        .map_err(|_elapsed| {
            StoreError::Unavailable(format!(
                "the database did not answer within {} ms",
                patience.as_millis()
            ))
        })
}

/// What a session has to know.
///
/// Every statement of the log finds its rows by a key, so the planner is kept from guessing; and a plan over all months takes
/// far longer to make than to run, so it is made once.
fn settings(purpose: Purpose, schema: &str, options: &PostgresOptions) -> String {
    let timeout = options.statement_timeout.as_millis().max(1);
    let (own, idle_max) = match purpose {
        Purpose::Writing => ("SET synchronous_commit = on", PAUSE_MAX),
        Purpose::Reading => (
            "SET default_transaction_read_only = on",
            options.statement_timeout,
        ),
    };
    let idle = idle_max.min(options.statement_timeout).as_millis().max(1);
    format!(
        "SET search_path = {schema};
         SET default_transaction_isolation = 'read committed';
         SET statement_timeout = {timeout};
         SET idle_in_transaction_session_timeout = {idle};
         SET client_min_messages = warning;
         SET jit = off;
         SET plan_cache_mode = force_generic_plan;
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         {own}"
    )
}

/// Connects on one runtime, so that the connection outlives whoever asked for it.
struct OnRuntime {
    runtime: Handle,
    tls: MakeRustlsConnect,
}

impl Connect for OnRuntime {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let (config, tls) = (config.clone(), self.tls.clone());
        let runtime = self.runtime.clone();
        let connecting = self.runtime.spawn(async move {
            let (client, connection) = config.connect(tls).await?;
            let task = runtime.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            Ok((client, task))
        });
        Box::pin(async move {
            match connecting.await {
                Ok(connected) => connected,
                // The runtime has ended: nobody will connect any more, and the pool's time limit says so.
                Err(_ended) => std::future::pending().await,
            }
        })
    }
}

/// Takes out of a URL what its client does not understand.
fn split_url(url: &str) -> Result<(String, Security), StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut security = Security::default();
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => security.mode = Mode::parse(mode)?,
            // Our authorities are those of the system that it was built on.
            Some(("sslrootcert", "system")) => {}
            Some(("sslrootcert", path)) => security.roots = Some(decode(path)?.into()),
            _other => kept.push(pair),
        }
    }
    let joint = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{base}{joint}{}", kept.join("&")), security))
}

/// Resolves `%41` and the like.
fn decode(text: &str) -> Result<String, StoreError> {
    let unreadable =
        || StoreError::Unavailable("the database's URL has a bad escape in sslrootcert".to_owned());
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or_else(unreadable)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_not_hex| unreadable())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_not_text| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_does_not_understand_is_taken_out_of_the_url() {
        let (url, security) = split_url(
            "postgres://u:p%40@h/db?sslmode=verify-full&options=-c%20x&sslrootcert=/a%20b",
        )
        .unwrap();
        assert_eq!(url, "postgres://u:p%40@h/db?options=-c%20x");
        assert_eq!(security.mode, Mode::VerifyFull);
        assert_eq!(security.roots, Some("/a b".into()));
        let (url, security) = split_url("postgres://h/db?sslmode=disable").unwrap();
        assert_eq!((&*url, security.mode), ("postgres://h/db", Mode::Disable));
        assert_eq!(split_url("postgres://h").unwrap().1, Security::default());
        assert!(split_url("postgres://h?sslmode=maybe").is_err());
        assert!(split_url("postgres://h?sslrootcert=%4").is_err());
    }

    #[test]
    fn the_error_of_a_bad_url_does_not_show_its_password() {
        let options = PostgresOptions::new("postgres://u:hunter2@h:notaport/db");
        let error = Server::new(&options, Region::Au).map(|_| ()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

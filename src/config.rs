//! The settings: what there is, where a value comes from, and what is wrong with it.
//!
//! Defaults stand in `config.toml`, which is compiled in, and nowhere else. A key that nobody knows and a value that does
//! not fit stop the start. What a setting does is decided by who reads it.

mod check;
mod error;
mod kinds;
mod layers;
mod show;
mod urls;

#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{plan::Plans, region::Region};
use ipnet::IpNet;
use serde::Deserialize;
use store::PostgresOptions;

pub(crate) use error::{ConfigError, ConfigErrors};
pub(crate) use kinds::{LogFormat, LogLevel, Origin, OtelEndpoint, Port, Ratio, Secret};
pub(crate) use show::Shown;
pub(crate) use urls::{Database, Nats, RegionDatabase, ServerUrl};

use layers::Layers;

/// The file that is read when none is named.
const FILE_BY_DEFAULT: &str = "config.toml";

/// Every setting. The meaning of each stands in `config.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: Server,
    pub(crate) storage: Storage,
    pub(crate) postgres: Postgres,
    pub(crate) cluster: Cluster,
    pub(crate) regions: Regions,
    pub(crate) engine: Engine,
    pub(crate) ingest: Ingest,
    pub(crate) plans: Plans,
    pub(crate) webhooks: Webhooks,
    pub(crate) devices: Devices,
    pub(crate) mqtt: Mqtt,
    pub(crate) outbound: Outbound,
    pub(crate) signup: Signup,
    pub(crate) security: Security,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
    pub(crate) otel: Otel,
}

/// `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) workers: u16,
    pub(crate) instance_id: String,
    pub(crate) tls_cert: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) cors_origins: Vec<Origin>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) connections_max: NonZeroUsize,
    pub(crate) header_bytes_max: NonZeroUsize,
    pub(crate) body_bytes_max: NonZeroUsize,
    pub(crate) head_seconds: NonZeroU32,
    pub(crate) body_seconds: NonZeroU32,
    pub(crate) keep_alive_seconds: NonZeroU32,
    pub(crate) shutdown_seconds: NonZeroU32,
}

/// `[storage]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    pub(crate) data_dir: PathBuf,
    pub(crate) database_url: Database,
}

/// `[regions]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Regions {
    pub(crate) enabled: Vec<Region>,
    pub(crate) default: Region,
    au: RegionPlace,
    us: RegionPlace,
    eu: RegionPlace,
    apac: RegionPlace,
}

/// `[regions.XX]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionPlace {
    url: RegionDatabase,
}

/// `[postgres]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Postgres {
    pub(crate) pool_size: NonZeroU32,
    pub(crate) statement_timeout_ms: NonZeroU64,
    pub(crate) connect_timeout_ms: NonZeroU64,
}

/// `[cluster]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    pub(crate) nats_url: Nats,
    nats_ca: PathBuf,
    pub(crate) lease_seconds: NonZeroU32,
    pub(crate) name: String,
}

/// `[engine]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Engine {
    pub(crate) arbiters: u16,
    pub(crate) tenant_in_flight_max: NonZeroUsize,
    pub(crate) ask_timeout_ms: NonZeroU64,
    pub(crate) passivate_after_seconds: NonZeroU64,
    pub(crate) ring_events_max: NonZeroUsize,
    pub(crate) ring_bytes_max: NonZeroUsize,
    pub(crate) dedup_ids_max: NonZeroUsize,
    pub(crate) retention_every_seconds: NonZeroU64,
    pub(crate) faults: bool,
}

/// `[ingest]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ingest {
    pub(crate) payload_bytes_max: NonZeroUsize,
    pub(crate) batch_events_max: NonZeroUsize,
    pub(crate) batch_bytes_max: NonZeroUsize,
    pub(crate) depth_max: NonZeroUsize,
}

/// `[webhooks]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) connect_timeout_ms: NonZeroU64,
    pub(crate) per_host_in_flight_max: NonZeroUsize,
    pub(crate) idle_per_host_max: usize,
    pub(crate) breaker_failures_max: NonZeroU32,
    pub(crate) breaker_open_seconds: NonZeroU64,
    pub(crate) breaker_openings_max: NonZeroU32,
}

/// `[devices]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Devices {
    pub(crate) heartbeat_seconds: NonZeroU32,
    pub(crate) command_timeout_ms: NonZeroU64,
    pub(crate) frames_in_flight: NonZeroUsize,
}

/// `[mqtt]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mqtt {
    #[serde(deserialize_with = "kinds::address")]
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: Port,
    pub(crate) tls_port: Port,
    pub(crate) connect_seconds: NonZeroU32,
    pub(crate) packet_bytes_max: NonZeroU32,
}

/// `[outbound]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outbound {
    pub(crate) allow: Vec<IpNet>,
    pub(crate) threads: NonZeroUsize,
}

/// `[signup]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signup {
    pub(crate) enabled: bool,
    pub(crate) per_address_per_hour: NonZeroU32,
}

/// `[security]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    #[serde(deserialize_with = "kinds::token")]
    pub(crate) internal_token: Secret,
    #[serde(deserialize_with = "kinds::master_key")]
    pub(crate) master_key: Secret,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
    pub(crate) requests: bool,
    pub(crate) queue_bytes_max: NonZeroUsize,
}

/// `[metrics]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) port: Port,
}

/// `[otel]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otel {
    pub(crate) endpoint: OtelEndpoint,
    pub(crate) service_name: String,
    pub(crate) sample_ratio: Ratio,
}

/// The settings that are in force, and where each comes from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The settings.
    pub(crate) settings: Settings,
    layers: Layers,
}

impl Loaded {
    /// Reads every layer: the compiled-in file, the named one or else `config.toml` in the working folder, `variables`.
    pub(crate) fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        let mut errors = Vec::new();
        let mut layers = Layers::reference();
        let by_default = Path::new(FILE_BY_DEFAULT);
        match file {
            Some(path) => layers.add_file(path, &mut errors),
            None if by_default.is_file() => layers.add_file(by_default, &mut errors),
            None => {}
        }
        layers.add_variables(variables, &mut errors);
        let settings = layers.settings();
        check::check_together(&settings, &layers, &mut errors);
        if errors.is_empty() {
            Ok(Loaded { settings, layers })
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// What is in force, for people and scripts. Secrets are hidden.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        show::shown(&self.layers)
    }
}

impl Settings {
    /// Where a region's log is kept.
    pub(crate) fn database_of(&self, region: Region) -> &Database {
        match &self.regions.place_of(region).url {
            RegionDatabase::Same => &self.storage.database_url,
            RegionDatabase::Own(database) => database,
        }
    }
}

impl Regions {
    fn place_of(&self, region: Region) -> &RegionPlace {
        match region {
            Region::Au => &self.au,
            Region::Us => &self.us,
            Region::Eu => &self.eu,
            Region::Apac => &self.apac,
        }
    }
}

impl Postgres {
    /// How a server of PostgreSQL is reached.
    pub(crate) fn options(&self, url: &ServerUrl) -> PostgresOptions {
        PostgresOptions {
            url: url.reveal().to_owned(),
            pool_size: self.pool_size.get(),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms.get()),
            connect_timeout: Duration::from_millis(self.connect_timeout_ms.get()),
        }
    }
}

impl Cluster {
    /// The file with the authorities that servers of NATS are to be trusted by, if it is not the public ones.
    pub(crate) fn nats_ca(&self) -> Option<&Path> {
        let path = self.nats_ca.as_path();
        (!path.as_os_str().is_empty()).then_some(path)
    }
}

impl Devices {
    /// How often a device has to say something.
    pub(crate) fn heartbeat(&self) -> Duration {
        seconds(self.heartbeat_seconds)
    }

    /// How long a device may take to carry out a command.
    pub(crate) fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms.get())
    }
}

impl Server {
    /// The files of the certificate and its key, if TLS is wanted.
    pub(crate) fn tls(&self) -> Option<(&Path, &Path)> {
        let wanted = !self.tls_cert.as_os_str().is_empty();
        wanted.then_some((&self.tls_cert, &self.tls_key))
    }

    /// How long what is in flight may take at the end.
    pub(crate) fn shutdown_within(&self) -> Duration {
        seconds(self.shutdown_seconds)
    }
}

/// A setting in seconds as a duration.
pub(crate) fn seconds(number: NonZeroU32) -> Duration {
    Duration::from_secs(u64::from(number.get()))
}

/// A number of threads, where 0 stands for one for each core.
pub(crate) fn threads(number: u16) -> usize {
    match number {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => usize::from(threads),
    }
}

//! Opens the databases that the configuration names: the control plane, and each region's log.
//!
//! Decides where each is, and refuses a master key or a list of regions that what is stored does not fit. Writes nothing but
//! what makes the schemas up to date.

use std::{collections::HashMap, io, path::Path, sync::Arc, time::Duration};

use actors::region::RegionLogs;
use domain::{region::Region, seal::MasterKey};
use outbound::Outside;
use store::{
    StoreError,
    checkpoints::SignedCheckpoints,
    control::Control,
    log::{RegionLog, postgres::PostgresLog, sqlite::SqliteLog},
};
use tokio::runtime::Handle;

use super::{AssembleError, DataFolder, KeyOrigin};
use crate::config::{Database, Settings};

/// Threads that drive the connections to servers.
const THREADS: usize = 1;
/// How long the last of what they do may hold up the end.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The runtime on which connections to servers live: no actor and no request ever keeps it busy.
pub(crate) struct StoreRuntime(Option<Outside>);

/// The control plane, with the key to its secrets.
pub(super) struct OpenControl {
    pub(super) control: Control,
    pub(super) master_key: MasterKey,
    pub(super) key_origin: KeyOrigin,
}

impl StoreRuntime {
    /// Starts it, if there is a server to connect to.
    pub(super) fn start(settings: &Settings) -> Result<StoreRuntime, AssembleError> {
        let has_server = Region::ALL
            .iter()
            .map(|&region| settings.database_of(region))
            .chain([&settings.storage.database_url])
            .any(Database::is_shared);
        let started: io::Result<Option<Outside>> =
            has_server.then(|| Outside::start(THREADS)).transpose();
        started.map(StoreRuntime).map_err(AssembleError::Thread)
    }

    /// Ends it, after everything was written.
    pub(super) fn end(self) {
        if let Some(runtime) = self.0 {
            runtime.shutdown(ENDS_WITHIN);
        }
    }

    /// Opens something where its connections shall live.
    async fn open<T: Send + 'static>(
        &self,
        opening: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let handle = self
            .0
            .as_ref()
            .map_or_else(Handle::current, Outside::handle);
        match handle.spawn(opening).await {
            Ok(outcome) => outcome,
            Err(_ended) => Err(StoreError::Unavailable("its thread has ended".to_owned())),
        }
    }
}

/// Opens the control plane, which exists if `folder` is one that a server has made.
pub(super) async fn open_control(
    settings: &Settings,
    folder: &DataFolder,
    runtime: &StoreRuntime,
    (master_key, key_origin): (MasterKey, KeyOrigin),
) -> Result<OpenControl, AssembleError> {
    let (what, opened) = match &settings.storage.database_url {
        Database::Embedded => {
            let path = folder.control_path();
            let opened = Control::open(&control_url(folder.path())).await;
            (path.display().to_string(), opened)
        }
        Database::Postgres(url) => {
            let options = settings.postgres.options(url);
            let opening = async move { Control::open_postgres(&options).await };
            (url.to_string(), runtime.open(opening).await)
        }
    };
    let control = opened.map_err(|source| AssembleError::Store {
        what: what.clone(),
        source,
    })?;
    check(&control, &master_key, &settings.regions.enabled, what).await?;
    Ok(OpenControl {
        control,
        master_key,
        key_origin,
    })
}

/// Where the control plane is, in words.
pub(super) fn place(settings: &Settings, folder: &DataFolder) -> String {
    match &settings.storage.database_url {
        Database::Embedded => folder.path().display().to_string(),
        Database::Postgres(url) => url.to_string(),
    }
}

/// The URL of the embedded control plane.
pub(super) fn control_url(folder: &Path) -> String {
    format!("sqlite:{}", DataFolder::control_path_in(folder).display())
}

/// The master key of a server: where nodes share the control plane, none of them can make it for all.
pub(super) fn master_key(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<(MasterKey, KeyOrigin), AssembleError> {
    let given = &settings.security.master_key;
    if settings.storage.database_url.is_shared() && given.reveal().is_none() {
        return Err(AssembleError::MasterKeyNotGiven);
    }
    folder.master_key(given)
}

/// The same for commands of operators, which make nothing.
pub(super) fn kept_master_key(
    settings: &Settings,
    folder: &DataFolder,
) -> Result<(MasterKey, KeyOrigin), AssembleError> {
    if settings.storage.database_url.is_shared() {
        return master_key(settings, folder);
    }
    let key = folder.kept_master_key(&settings.security.master_key)?;
    Ok((key, KeyOrigin::Kept))
}

/// Opens the log of each region that this node serves.
pub(super) async fn open_logs(
    settings: &Settings,
    folder: &DataFolder,
    runtime: &StoreRuntime,
) -> Result<RegionLogs, AssembleError> {
    let mut logs: HashMap<Region, Arc<dyn RegionLog>> = HashMap::new();
    for &region in &settings.regions.enabled {
        let (place, opened) = open_log(settings, folder, runtime, region).await;
        let log = opened.map_err(|source| AssembleError::Store {
            what: format!("the log of region {region} in {place}"),
            source,
        })?;
        logs.insert(region, log);
    }
    Ok(RegionLogs::new(logs))
}

async fn open_log(
    settings: &Settings,
    folder: &DataFolder,
    runtime: &StoreRuntime,
    region: Region,
) -> (String, Result<Arc<dyn RegionLog>, StoreError>) {
    match settings.database_of(region) {
        Database::Embedded => {
            let opened = SqliteLog::open(folder.path(), region).await;
            let log = opened.map(|log| Arc::new(log) as Arc<dyn RegionLog>);
            (folder.path().display().to_string(), log)
        }
        Database::Postgres(url) => {
            let options = settings.postgres.options(url);
            // Of the control plane's server it is known that it is one.
            let is_another = settings.database_of(region) != &settings.storage.database_url;
            let opening = async move {
                if is_another {
                    PostgresLog::refuse_lent_connections(&options).await?;
                }
                PostgresLog::open(&options, region).await
            };
            let opened = runtime.open(opening).await;
            let log = opened.map(|log| Arc::new(log) as Arc<dyn RegionLog>);
            (url.to_string(), log)
        }
    }
}

/// Opens what was signed last.
pub(super) fn open_checkpoints(folder: &DataFolder) -> Result<SignedCheckpoints, AssembleError> {
    let path = folder.checkpoints_path();
    let what = path.display().to_string();
    SignedCheckpoints::open(path).map_err(|source| AssembleError::Store { what, source })
}

/// Refuses a master key or a list of regions that the stored tenants do not fit.
async fn check(
    control: &Control,
    master_key: &MasterKey,
    served: &[Region],
    place: String,
) -> Result<(), AssembleError> {
    let failed = |source| AssembleError::Store {
        what: "the list of tenants".to_owned(),
        source,
    };
    let page = control.tenants(None, 1).await.map_err(failed)?;
    if let Some(first) = page.first()
        && master_key.unwrap_key(&first.wrapped_key, first.id).is_err()
    {
        return Err(AssembleError::OtherMasterKey { place });
    }
    for region in Region::ALL {
        if served.contains(&region) {
            continue;
        }
        if let Some(tenant) = control.a_tenant_of(region).await.map_err(failed)? {
            return Err(AssembleError::RegionLeftOut {
                region,
                tenant: tenant.slug,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::Loaded;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let pairs = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("empty.toml");
        std::fs::write(&file, "").unwrap();
        Loaded::load(Some(&file), pairs).unwrap().settings
    }

    #[test]
    fn nodes_that_share_a_store_must_be_given_its_master_key() {
        let home = TempDir::new().unwrap();
        let folder = DataFolder::make(&home.path().join("data")).unwrap();
        let url = ("DATABASE_URL", "postgres://user:s3cret@host/db");
        let refused = master_key(&settings(&[url]), &folder).err();
        assert!(matches!(refused, Some(AssembleError::MasterKeyNotGiven)));
        let key = "ab".repeat(32);
        let settings = settings(&[url, ("MASTER_KEY", &key)]);
        let (found, origin) = master_key(&settings, &folder).unwrap();
        assert_eq!(
            (found.to_hex().as_str(), origin),
            (key.as_str(), KeyOrigin::Configured)
        );
        assert!(!folder.master_key_path().exists());
        assert_eq!(
            place(&settings, &folder),
            "postgres://user:(hidden)@host/db"
        );
    }

    #[test]
    fn threads_for_servers_are_started_only_if_there_is_a_server() {
        let has_threads = |variables| {
            StoreRuntime::start(&settings(variables))
                .unwrap()
                .0
                .is_some()
        };
        assert!(!has_threads(&[]));
        assert!(has_threads(&[("DATABASE_URL", "postgres://h/d")]));
        assert!(has_threads(&[(
            "TRUNKLINE__REGIONS__EU__URL",
            "postgres://h/d"
        )]));
    }

    #[test]
    fn a_store_that_is_not_there_yet_is_not_made_by_a_migration() {
        let home = TempDir::new().unwrap();
        let path = home.path().join("none");
        let settings = settings(&[("DATA_DIR", path.to_str().unwrap())]);
        let refused = super::super::migrations(&settings).err();
        assert!(matches!(refused, Some(AssembleError::NoStore { .. })));
        assert!(!path.exists());
    }
}

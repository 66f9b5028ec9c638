//! The embedded installation: what it consists of, and whether this program can read it.
//!
//! Opens every file for reading only; the logs are opened as a server does, which keeps other processes out.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use domain::{
    ids::{TenantId, WorkspaceId},
    position::Position,
    region::Region,
    seal::MasterKey,
    time::Timestamp,
};
use sqlx::{
    ConnectOptions as _, Row as _, SqliteConnection,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{CarryOverError, Side};
use crate::{
    StoreError,
    log::{RegionLog as _, sqlite::SqliteLog},
};

static CONTROL: Migrator = sqlx::migrate!("../../migrations/control");
static REGION: Migrator = sqlx::migrate!("../../migrations/region/sqlite");

/// The whole installation.
pub(super) struct Source {
    pub(super) control: SqliteConnection,
    /// In the order in which they were made: there is one, and the first names the installation.
    pub(super) tenants: Vec<Tenant>,
    pub(super) logs: Vec<SourceLog>,
}

/// A tenant of the control plane.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    wrapped_key: String,
    region: String,
}

/// One region's log.
pub(super) struct SourceLog {
    pub(super) region: Region,
    pub(super) log: SqliteLog,
    /// For what can only be read in bulk.
    pub(super) rows: SqliteConnection,
    pub(super) tenants: Vec<Writer>,
}

/// A tenant that has a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) no: i64,
    pub(super) id: TenantId,
    pub(super) head: Position,
    /// Everything up to here is gone: it has outlived its retention.
    pub(super) removed: Position,
}

impl Writer {
    /// How many events are kept.
    pub(super) fn events(self) -> u64 {
        self.head.get() - self.removed.get()
    }
}

impl Source {
    /// Opens everything that is there.
    pub(super) async fn open(folder: &Path, control: &Path) -> Result<Source, CarryOverError> {
        let mut connection = open(control, &CONTROL).await?;
        let tenants = tenants(&mut connection).await?;
        let mut logs = Vec::new();
        for region in Region::ALL {
            let path = folder.join(format!("{region}.db"));
            if path.exists() {
                logs.push(SourceLog::open(folder, &path, region).await?);
            } else if let Some(tenant) = tenants.iter().find(|one| one.region == region.name()) {
                let tenant = tenant.id;
                return Err(CarryOverError::LogMissing { path, tenant });
            }
        }
        Ok(Source {
            control: connection,
            tenants,
            logs,
        })
    }

    /// Refuses a master key that does not open the tenants' keys.
    pub(super) fn check_keys(&self, master_key: &MasterKey) -> Result<(), CarryOverError> {
        for Tenant {
            id, wrapped_key, ..
        } in &self.tenants
        {
            if master_key.unwrap_key(wrapped_key, *id).is_err() {
                return Err(CarryOverError::OtherMasterKey { tenant: *id });
            }
        }
        Ok(())
    }

    /// By what an installation is known again: its first tenant, which never goes.
    pub(super) fn name(&self) -> String {
        self.tenants
            .first()
            .map_or_else(String::new, |tenant| tenant.id.to_string())
    }

    /// How many events there are.
    pub(super) fn events(&self) -> u64 {
        let writers = self.logs.iter().flat_map(|log| &log.tenants);
        writers.map(|writer| writer.events()).sum()
    }

    /// Who has a log in a region.
    pub(super) fn writers(&self, region: Region) -> HashSet<TenantId> {
        let log = self.logs.iter().find(|log| log.region == region);
        let writers = log.into_iter().flat_map(|log| &log.tenants);
        writers.map(|writer| writer.id).collect()
    }
}

impl SourceLog {
    async fn open(folder: &Path, path: &Path, region: Region) -> Result<SourceLog, CarryOverError> {
        const TENANTS: &str = "SELECT no, id FROM tenants ORDER BY no";

        let what = |what: &str| format!("{what} {}", path.display());
        let mut rows = open(path, &REGION).await?;
        let log = SqliteLog::open(folder, region)
            .await
            .map_err(CarryOverError::store(Side::Source, what("opening")))?;
        let found = sqlx::query(TENANTS)
            .fetch_all(&mut rows)
            .await
            .map_err(CarryOverError::source(what("reading the tenants of")))?;
        let mut tenants = Vec::with_capacity(found.len());
        for row in &found {
            let id = TenantId::from_uuid(uuid(row, 1)?);
            let failed = || CarryOverError::store(Side::Source, what("reading heads of"));
            let head = log.head(id).await.map_err(failed())?;
            let oldest = log.oldest(id).await.map_err(failed())?;
            tenants.push(Writer {
                no: row
                    .try_get(0)
                    .map_err(CarryOverError::source(what("reading")))?,
                id,
                head,
                removed: oldest.map_or(head, Position::prev),
            });
        }
        Ok(SourceLog {
            region,
            log,
            rows,
            tenants,
        })
    }

    /// The workspaces that a tenant has ever written to.
    pub(super) async fn workspaces(
        &mut self,
        writer: Writer,
    ) -> Result<Vec<WorkspaceId>, CarryOverError> {
        const STREAMS: &str = "SELECT id FROM streams WHERE tenant_no = ?1 ORDER BY no";

        let found = sqlx::query(STREAMS)
            .bind(writer.no)
            .fetch_all(&mut self.rows)
            .await
            .map_err(CarryOverError::source("reading the workspaces"))?;
        let ids = found.iter().map(|row| uuid(row, 0));
        ids.map(|id| id.map(WorkspaceId::from_uuid)).collect()
    }

    /// When the first and the last events of the region were received.
    pub(super) async fn extent(&self) -> Result<Option<(Timestamp, Timestamp)>, CarryOverError> {
        let mut extent: Option<(Timestamp, Timestamp)> = None;
        for writer in &self.tenants {
            let first = writer.removed.next();
            let ends = self.log.read_many(writer.id, &[first, writer.head]).await;
            let ends = ends.map_err(CarryOverError::store(Side::Source, "reading a log's ends"))?;
            for at in ends.iter().map(|event| event.received_at) {
                let (oldest, newest) = extent.unwrap_or((at, at));
                extent = Some((oldest.min(at), newest.max(at)));
            }
        }
        Ok(extent)
    }
}

/// Opens a file for reading if this program knows its schema.
async fn open(path: &Path, migrations: &Migrator) -> Result<SqliteConnection, CarryOverError> {
    const LAST: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";

    let failed = || CarryOverError::source(format!("opening {}", path.display()));
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed())?;
    let found: i64 = sqlx::query_scalar(LAST)
        .fetch_one(&mut connection)
        .await
        .map_err(failed())?;
    let wanted = migrations.iter().map(|one| one.version).max();
    let (wanted, path) = (wanted.unwrap_or(0), PathBuf::from(path));
    match found.cmp(&wanted) {
        std::cmp::Ordering::Less => Err(CarryOverError::Older {
            path,
            found,
            wanted,
        }),
        std::cmp::Ordering::Equal => Ok(connection),
        std::cmp::Ordering::Greater => Err(CarryOverError::Newer { path, found }),
    }
}

async fn tenants(connection: &mut SqliteConnection) -> Result<Vec<Tenant>, CarryOverError> {
    const TENANTS: &str = "SELECT id, wrapped_key, region FROM tenants ORDER BY created_at, id";

    let failed = || CarryOverError::source("reading the tenants");
    let rows = sqlx::query(TENANTS)
        .fetch_all(connection)
        .await
        .map_err(failed())?;
    let read = |row: &SqliteRow| {
        let id: &str = row.try_get(0).map_err(failed())?;
        Ok(Tenant {
            id: id
                .parse()
                .map_err(|_unreadable| unreadable("the id of a tenant"))?,
            wrapped_key: row.try_get(1).map_err(failed())?,
            region: row.try_get(2).map_err(failed())?,
        })
    };
    rows.iter().map(read).collect()
}

fn uuid(row: &SqliteRow, column: usize) -> Result<uuid::Uuid, CarryOverError> {
    let bytes: &[u8] = row
        .try_get(column)
        .map_err(CarryOverError::source("reading an id"))?;
    uuid::Uuid::from_slice(bytes).map_err(|_length| unreadable("an id that has not 16 bytes"))
}

fn unreadable(what: &str) -> CarryOverError {
    CarryOverError::store(Side::Source, "reading")(StoreError::Corrupt(what.to_owned()))
}

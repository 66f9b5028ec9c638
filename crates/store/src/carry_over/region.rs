//! Carries one region's log over, tenant by tenant: the events, then everything that is known of their deliveries, readers and
//! devices, in one transaction a tenant.
//!
//! Fences of tenants are left behind with the leases: at the target both begin anew. Those of devices come along, because
//! connectors know them: what a device's connector keeps is kept under one.

use domain::region::Region;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    CarriedRegion, CarryOver, CarryOverError, Progress, Side, beginning,
    events::Logs,
    source::SourceLog,
    tables::{
        Kind::{Bytes, Flag, Id, Number, Text, TextAsBytes},
        Numbers, Table,
    },
    target::{Target, schema},
};
use crate::log::{RegionLog as _, postgres::PostgresLog};

/// Which rows are of a tenant's webhooks, in a table that is sorted by webhook.
const OF_WEBHOOKS: &str = "
    webhook_no IN (SELECT webhook_no FROM webhook_progress WHERE tenant_no = ?1) AND tenant_no = ?1";
const OF_TENANT: &str = "tenant_no = ?1";

/// Everything but events, tree nodes, and numbers.
pub(super) const TABLES: [Table; 9] = [
    Table {
        name: "idempotent_answers",
        columns: &[
            ("key_hash", Bytes),
            ("request_hash", Bytes),
            ("status", Number),
            ("expires_at", Number),
            ("body", Bytes),
        ],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "webhook_progress",
        columns: &[
            ("webhook_no", Number),
            ("cursor", Number),
            ("has_work", Flag),
            ("breaker", Text),
        ],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "exceptions",
        columns: &[
            ("webhook_no", Number),
            ("position", Number),
            ("state", Number),
            ("attempts", Number),
            ("at", Number),
            ("last_status", Number),
            ("last_error", TextAsBytes),
        ],
        of_tenant: OF_WEBHOOKS,
    },
    Table {
        name: "attempts",
        columns: &[
            ("webhook_no", Number),
            ("position", Number),
            ("attempt", Number),
            ("at", Number),
            ("duration_us", Number),
            ("status", Number),
            ("state", Number),
            ("error", TextAsBytes),
            ("response", Bytes),
        ],
        of_tenant: OF_WEBHOOKS,
    },
    Table {
        name: "consumers",
        columns: &[
            ("workspace", Bytes),
            ("name", TextAsBytes),
            ("cursor", Number),
            ("acked", Bytes),
        ],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "replays",
        columns: &[
            ("id", Id),
            ("webhook_no", Number),
            ("from_position", Number),
            ("to_position", Number),
            ("types", Text),
            ("only_failed", Flag),
            ("cursor", Number),
            ("total", Number),
            ("done", Number),
            ("failed", Number),
            ("state", Number),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "devices",
        columns: &[("device", Id), ("fence", Number)],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "device_credentials",
        columns: &[
            ("device", Id),
            ("fence", Number),
            ("at", Number),
            ("sealed", Bytes),
        ],
        of_tenant: OF_TENANT,
    },
    Table {
        name: "messages",
        columns: &[
            ("device", Id),
            ("id", Id),
            ("origin", Number),
            ("at", Number),
            ("changed_at", Number),
            ("state", Number),
            ("position", Number),
            ("edited", Number),
            ("deleted", Number),
            ("chat", TextAsBytes),
            ("sender", TextAsBytes),
            ("network_id", TextAsBytes),
            ("error_code", TextAsBytes),
            ("error", TextAsBytes),
            ("body", Bytes),
        ],
        of_tenant: OF_TENANT,
    },
];

/// What must be equally many at both ends, beside the rows of [`TABLES`].
const COUNTED: [&str; 4] = ["tenants", "streams", "events", "tree_nodes"];

/// Carries it over, and checks it.
pub(super) async fn carry(
    work: &CarryOver<'_>,
    source: &mut SourceLog,
    target: &mut Target,
) -> Result<CarriedRegion, CarryOverError> {
    let region = source.region;
    let log = PostgresLog::open(work.target, region)
        .await
        .map_err(CarryOverError::store(
            Side::Target,
            format!("opening the log of region {region}"),
        ))?;
    if let Some((oldest, newest)) = source.extent().await? {
        log.make_months(oldest, newest).await;
    }
    let mut carried = CarriedRegion {
        region,
        tenants: source.tenants.len() as u64,
        events: 0,
        workspaces: 0,
        rows: 0,
    };
    for writer in source.tenants.clone() {
        (work.watch)(Progress::Tenant(region, writer.id));
        let workspaces = source.workspaces(writer).await?;
        let schema = schema(region);
        let target_no = target.tenant_no(&schema, writer.id, &workspaces).await?;
        let logs = Logs {
            region,
            tenant: writer.id,
            removed: writer.removed,
            source: &source.log,
            target: &log,
            watch: work.watch,
        };
        let numbers = Numbers {
            source: writer.no,
            target: target_no,
        };
        let base = logs.base(Side::Source, &workspaces).await?;
        let at = (numbers, writer.removed);
        beginning::carry(region, &mut source.rows, target, at, &base).await?;
        logs.carry(&workspaces, base).await?;
        carried.rows += rows(region, &mut source.rows, target, numbers).await?;
        logs.verify(&workspaces).await?;
        carried.events += writer.events();
        carried.workspaces += workspaces.len() as u64;
    }
    log.close().await;
    source.log.close().await;
    count(source, target).await?;
    Ok(carried)
}

/// Puts a tenant's other rows in the place of what an earlier run may have left, and answers how many they are.
async fn rows(
    region: Region,
    source: &mut SqliteConnection,
    target: &mut Target,
    numbers: Numbers,
) -> Result<u64, CarryOverError> {
    const DISPATCHED: &str = "SELECT position FROM dispatch WHERE tenant_no = ?1";

    let schema = schema(region);
    let failed = || CarryOverError::target("writing the rows of a tenant");
    let transaction = target.client.transaction().await.map_err(failed())?;
    let mut rows = 0;
    for table in &TABLES {
        table.clear(&schema, numbers.target, &transaction).await?;
        let copied = table
            .copy(&schema, Some(numbers), &mut *source, &transaction)
            .await?;
        let count = format!(
            "SELECT count(*) FROM {schema}.{} WHERE tenant_no = $1",
            table.name
        );
        let found = transaction.query_one(&count, &[&numbers.target]).await;
        let found: i64 = found.map_err(failed())?.get(0);
        if found != copied {
            return Err(CarryOverError::CountDiffers {
                place: format!("{} of a tenant of region {region}", table.name),
                wanted: copied,
                found,
            });
        }
        rows += u64::try_from(copied).unwrap_or_default();
    }
    let dispatched: Option<i64> = sqlx::query_scalar(DISPATCHED)
        .bind(numbers.source)
        .fetch_optional(&mut *source)
        .await
        .map_err(CarryOverError::source("reading dispatch"))?;
    let mark = format!("UPDATE {schema}.tenants SET dispatched = $2 WHERE no = $1");
    transaction
        .execute(&mark, &[&numbers.target, &dispatched])
        .await
        .map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(rows)
}

/// Compares whole tables: no row may belong to nobody.
async fn count(source: &mut SourceLog, target: &Target) -> Result<(), CarryOverError> {
    let schema = schema(source.region);
    for table in COUNTED.into_iter().chain(TABLES.iter().map(|one| one.name)) {
        let statement = format!("SELECT count(*) FROM {table}");
        let wanted: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .fetch_one(&mut source.rows)
            .await
            .map_err(CarryOverError::source(format!("counting {table}")))?;
        let statement = format!("SELECT count(*) FROM {schema}.{table}");
        let found = target.count(&statement).await?;
        if found != wanted {
            return Err(CarryOverError::CountDiffers {
                place: format!("{table} of region {}", source.region),
                wanted,
                found,
            });
        }
    }
    Ok(())
}

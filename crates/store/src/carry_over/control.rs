//! Carries the control plane over: all of it in one transaction, which also notes that the carry-over is done.
//!
//! Sessions and leases are left behind: they belong to processes, and every node begins its own. So do the columns of a
//! device that say who holds it.

use sqlx::AssertSqlSafe;

use super::{
    CarryOverError,
    source::Source,
    tables::{
        Kind::{Number, Text},
        Table,
    },
    target::{Target, check_no_tenants},
};

const SCHEMA: &str = "trunkline";

/// In an order in which every row finds what it refers to.
pub(super) const TABLES: [Table; 8] = [
    Table {
        name: "tenants",
        columns: &[
            ("id", Text),
            ("slug", Text),
            ("name", Text),
            ("plan", Text),
            ("region", Text),
            ("replicate_to", Text),
            ("wrapped_key", Text),
            ("suspended", Number),
            ("version", Number),
            ("created_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "workspaces",
        columns: &[
            ("id", Text),
            ("tenant", Text),
            ("slug", Text),
            ("name", Text),
            ("retention_days", Number),
            ("template", Text),
            ("version", Number),
            ("created_at", Number),
            ("updated_at", Number),
            ("deleted_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "api_keys",
        columns: &[
            ("id", Text),
            ("tenant", Text),
            ("workspace", Text),
            ("name", Text),
            ("key_hash", Text),
            ("prefix", Text),
            ("permissions", Text),
            ("tier", Text),
            ("ip_allow", Text),
            ("expires_at", Number),
            ("revoked_at", Number),
            ("grace_until", Number),
            ("last_used_at", Number),
            ("version", Number),
            ("created_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "webhooks",
        columns: &[
            ("id", Text),
            ("no", Number),
            ("tenant", Text),
            ("workspace", Text),
            ("url", Text),
            ("events", Text),
            ("description", Text),
            ("state", Text),
            ("headers", Text),
            ("timeout_ms", Number),
            ("retry", Text),
            ("max_in_flight", Number),
            ("rate_per_second", Number),
            ("ordered", Number),
            ("secret", Text),
            ("previous_secret", Text),
            ("previous_secret_until", Number),
            ("starts_after", Number),
            ("version", Number),
            ("created_at", Number),
            ("updated_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "devices",
        columns: &[
            ("id", Text),
            ("tenant", Text),
            ("workspace", Text),
            ("name", Text),
            ("connector", Text),
            ("settings", Text),
            ("state", Text),
            ("reason", Text),
            ("fence", Number),
            ("gateway", Text),
            ("last_seen_at", Number),
            ("version", Number),
            ("created_at", Number),
            ("updated_at", Number),
            ("is_leaving", Number),
            ("moved_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "counters",
        columns: &[("name", Text), ("value", Number)],
        of_tenant: "",
    },
    Table {
        name: "reservations",
        columns: &[
            ("tenant", Text),
            ("key_hash", Text),
            ("request_hash", Text),
            ("boot", Text),
            ("status", Number),
            ("body", Text),
            ("expires_at", Number),
        ],
        of_tenant: "",
    },
    Table {
        name: "audit_log",
        columns: &[
            ("tenant", Text),
            ("no", Number),
            ("at", Number),
            ("actor", Text),
            ("action", Text),
            ("resource_type", Text),
            ("resource_id", Text),
            ("meta", Text),
            ("ip", Text),
            ("user_agent", Text),
        ],
        of_tenant: "",
    },
];

/// Carries it over, and answers how many rows that were.
pub(super) async fn carry(source: &mut Source, target: &mut Target) -> Result<u64, CarryOverError> {
    // Whoever starts a server there meanwhile waits here for the outcome.
    const LOCK: &str = "LOCK TABLE trunkline.tenants IN ACCESS EXCLUSIVE MODE";
    const TENANTS: &str = "SELECT count(*) FROM trunkline.tenants";
    const DONE: &str = "
        UPDATE trunkline.carry_over
        SET    finished_at = (SELECT now FROM trunkline.database_clock)
        WHERE  source = $1";

    let failed = || CarryOverError::target("writing the control plane");
    let name = source.name();
    let transaction = target.client.transaction().await.map_err(failed())?;
    transaction.batch_execute(LOCK).await.map_err(failed())?;
    let tenants = transaction.query_one(TENANTS, &[]).await;
    check_no_tenants(tenants.map_err(failed())?.get(0))?;
    let mut rows = 0;
    for table in &TABLES {
        let clear = format!("DELETE FROM {SCHEMA}.{}", table.name);
        transaction.batch_execute(&clear).await.map_err(failed())?;
        table
            .copy(SCHEMA, None, &mut source.control, &transaction)
            .await?;
        let count = format!("SELECT count(*) FROM {}", table.name);
        let wanted: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .fetch_one(&mut source.control)
            .await
            .map_err(CarryOverError::source(format!("counting {}", table.name)))?;
        let count = format!("SELECT count(*) FROM {SCHEMA}.{}", table.name);
        let found = transaction.query_one(&count, &[]).await.map_err(failed())?;
        let found: i64 = found.get(0);
        if found != wanted {
            return Err(CarryOverError::CountDiffers {
                place: format!("{} of the control plane", table.name),
                wanted,
                found,
            });
        }
        rows += u64::try_from(found).unwrap_or_default();
    }
    transaction
        .execute(DONE, &[&name])
        .await
        .map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(rows)
}

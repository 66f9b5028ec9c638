//! Removes what has outlived its retention from the file, in pieces that hold up no commit for long.
//!
//! What goes is decided in [`crate::log::trim`]. Pages that become free are used again by what comes; the file does not shrink.

use async_trait::async_trait;
use domain::{
    ids::{TenantId, WorkspaceId},
    position::{POSITION_MAX, Position},
    retention::Retention,
    time::Timestamp,
};
use sqlx::{Arguments as _, sqlite::SqliteArguments};

use super::{
    SqliteLog, event_row::hash_in_body, failure::store_error, reader::Reader, upkeep::numbers,
};
use crate::{
    StoreError,
    log::{
        Cut, Oldest, OldestPage, Trim,
        stored::{place, position_of, signed, uuid},
        trim::{self, Candidate},
    },
};

/// Events, and bytes of payload, that go in one transaction: all commits wait for it.
const EVENTS_AT_ONCE: i64 = 500;
const BYTES_AT_ONCE: i64 = 4 * 1024 * 1024;
/// Rows of other tables that go in one transaction.
const ROWS_AT_ONCE: i64 = 500;

/// Removes the events between two places of one tenant. Parameters: first place, last place, number of the tenant, position.
///
/// The ends of chains are noted first, by which it is known which leaves are still needed.
const REMOVE: &str = concat!(
    "BEGIN IMMEDIATE;
     UPDATE streams
     SET    seq = gone.seq, hash = gone.hash
     FROM   (SELECT   stream_no, max(seq) AS seq, ",
    hash_in_body!(),
    " AS hash
             FROM     events NOT INDEXED
             WHERE    place BETWEEN ?1 AND ?2
             GROUP BY stream_no) AS gone
     WHERE  streams.no = gone.stream_no;
     INSERT OR IGNORE INTO tree_nodes (stream_no, level, idx, hash)
     SELECT e.stream_no, 0, e.seq - 1, ",
    hash_in_body!(),
    "
     FROM   events AS e NOT INDEXED
     CROSS JOIN streams AS s ON s.no = e.stream_no
     WHERE  e.place BETWEEN ?1 AND ?2 AND e.seq - 1 >= ((s.seq - 1) & ~255);
     DELETE FROM tree_nodes
     WHERE  (stream_no, level, idx) IN (
                SELECT n.stream_no, n.level, n.idx
                FROM   (SELECT DISTINCT stream_no
                        FROM   events NOT INDEXED
                        WHERE  place BETWEEN ?1 AND ?2) AS gone
                CROSS JOIN streams    AS s ON s.no = gone.stream_no
                CROSS JOIN tree_nodes AS n ON n.stream_no = gone.stream_no AND n.level = 0
                                              AND n.idx < ((s.seq - 1) & ~255));
     DELETE FROM events
     WHERE  place BETWEEN ?1 AND ?2;
     UPDATE tenants
     SET    removed = max(removed, ?4)
     WHERE  no = ?3;
     COMMIT"
);

/// Parameters of both: number of the tenant, position, rows.
const EXCEPTIONS: &str = "
    DELETE FROM exceptions
    WHERE  (webhook_no, position) IN (
               SELECT e.webhook_no, e.position
               FROM   webhook_progress AS w
               CROSS JOIN exceptions AS e ON e.webhook_no = w.webhook_no AND e.position <= ?2
               WHERE  w.tenant_no = ?1 AND +e.tenant_no = ?1
               LIMIT  ?3)";
const ATTEMPTS: &str = "
    DELETE FROM attempts
    WHERE  no IN (SELECT a.no
                  FROM   webhook_progress AS w
                  CROSS JOIN attempts AS a ON a.webhook_no = w.webhook_no AND a.position <= ?2
                  WHERE  w.tenant_no = ?1 AND a.tenant_no = ?1
                  LIMIT  ?3)";
const MESSAGES: &str = "DELETE FROM messages WHERE no IN (SELECT value FROM json_each(?1))";

/// A tenant, the workspace of its oldest event, and when that was received.
type OldestRow = (Vec<u8>, Option<Vec<u8>>, Option<i64>);

#[async_trait]
impl Trim for SqliteLog {
    async fn oldest_events(
        &self,
        after: Option<TenantId>,
        before: Timestamp,
        limit: u32,
    ) -> Result<OldestPage, StoreError> {
        self.reader.oldest_events(after, before, limit).await
    }

    async fn outlived(
        &self,
        tenant: TenantId,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Option<Cut>, StoreError> {
        let Some(no) = self.reader.tenant_no(tenant).await? else {
            return Ok(None);
        };
        let oldest = self.reader.candidates(no).await?;
        Ok(trim::cut(&oldest, retention, now, BYTES_AT_ONCE))
    }

    async fn forget_up_to(&self, tenant: TenantId, cut: Cut) -> Result<u64, StoreError> {
        let Some(no) = self.reader.tenant_no(tenant).await? else {
            return Ok(0);
        };
        let messages = self.reader.messages_up_to(no, cut).await?;
        if !messages.is_empty() {
            let list = serde_json::to_string(&messages).map_err(|error| {
                StoreError::Corrupt(format!("could not be written as JSON: {error}"))
            })?;
            let mut arguments = SqliteArguments::default();
            arguments
                .add(list)
                .expect("numbers, texts and bytes always have an encoding");
            return self.writer.lock().await.execute(MESSAGES, arguments).await;
        }
        for sql in [EXCEPTIONS, ATTEMPTS] {
            let arguments = numbers(&[no, signed(cut.upto.get()), ROWS_AT_ONCE]);
            let gone = self.writer.lock().await.execute(sql, arguments).await?;
            if gone > 0 {
                return Ok(gone);
            }
        }
        Ok(0)
    }

    async fn remove_up_to(&self, tenant: TenantId, cut: Cut) -> Result<u64, StoreError> {
        let Some(no) = self.reader.tenant_no(tenant).await? else {
            return Ok(0);
        };
        let Some(extent) = self.reader.extent(no).await? else {
            return Ok(0);
        };
        let last = place(no, cut.upto).min(extent.newest);
        if last < extent.oldest {
            return Ok(0);
        }
        let upto = signed(position_of(last).get());
        let arguments = numbers(&[place(no, Position::ZERO), last, no, upto]);
        self.writer
            .lock()
            .await
            .remove(REMOVE, arguments, no)
            .await?;
        self.checkpointer.note();
        // There are no holes.
        Ok(u64::try_from(last - extent.oldest + 1).unwrap_or_default())
    }
}

impl Reader {
    async fn oldest_events(
        &self,
        after: Option<TenantId>,
        before: Timestamp,
        limit: u32,
    ) -> Result<OldestPage, StoreError> {
        const OLDEST: &str = "
            SELECT   t.id, s.id, e.received_at
            FROM     (SELECT no, id FROM tenants WHERE id > ?1 ORDER BY id LIMIT ?2) AS t
            LEFT JOIN events AS e
                     ON e.place = (SELECT   place
                                   FROM     events
                                   WHERE    place BETWEEN t.no << 40 AND (t.no << 40) | 1099511627775
                                   ORDER BY place
                                   LIMIT    1)
            LEFT JOIN streams AS s ON s.no = e.stream_no
            ORDER BY t.id";

        let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
        let rows: Vec<OldestRow> = sqlx::query_as(OLDEST)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let mut page = OldestPage::default();
        for (tenant, workspace, at) in &rows {
            let tenant = TenantId::from_uuid(uuid(tenant)?);
            page.next = Some(tenant);
            let at = at.map(Timestamp::from_micros);
            if let (Some(workspace), Some(received_at)) = (workspace, at.filter(|at| *at < before))
            {
                page.found.push(Oldest {
                    tenant,
                    workspace: WorkspaceId::from_uuid(uuid(workspace)?),
                    received_at,
                });
            }
        }
        if rows.len() < limit as usize {
            page.next = None;
        }
        Ok(page)
    }

    /// The tenant's oldest events, as many as may go at once.
    async fn candidates(&self, tenant_no: i64) -> Result<Vec<Candidate>, StoreError> {
        const OLDEST: &str = "
            SELECT   e.place, s.id, e.received_at, length(e.payload)
            FROM     events AS e
            CROSS JOIN streams AS s ON s.no = e.stream_no
            WHERE    e.place BETWEEN ?1 AND ?2
            ORDER BY e.place
            LIMIT    ?3";

        let rows: Vec<(i64, Vec<u8>, i64, i64)> = sqlx::query_as(OLDEST)
            .bind(place(tenant_no, Position::ZERO))
            .bind(place(tenant_no, POSITION_MAX))
            .bind(EVENTS_AT_ONCE)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let candidates = rows.iter().map(|(place, workspace, at, bytes)| {
            Ok(Candidate {
                position: position_of(*place),
                workspace: WorkspaceId::from_uuid(uuid(workspace)?),
                received_at: Timestamp::from_micros(*at),
                bytes: *bytes,
            })
        });
        candidates.collect()
    }

    /// Messages of which nothing is kept beyond a cut, by their row; those that were sent through a device go by their time. The
    /// devices are found by leaping through the index.
    async fn messages_up_to(&self, tenant_no: i64, cut: Cut) -> Result<Vec<i64>, StoreError> {
        const FIND: &str = "
            WITH RECURSIVE devices (id) AS (
                SELECT min(device) FROM messages WHERE tenant_no = ?1
                UNION ALL
                SELECT (SELECT min(m.device) FROM messages AS m
                        WHERE  m.tenant_no = ?1 AND m.device > devices.id)
                FROM   devices
                WHERE  devices.id IS NOT NULL)
            SELECT m.no
            FROM   devices
            CROSS JOIN messages AS m INDEXED BY messages_by_id
                   ON m.tenant_no = ?1 AND m.device = devices.id AND m.id < ?4
            WHERE  (m.position IS NULL OR m.position <= ?2)
                   AND iif(m.origin = 0, m.at <= ?3, m.origin & 1099511627775 <= ?2)
            LIMIT  ?5";

        sqlx::query_scalar(FIND)
            .bind(tenant_no)
            .bind(signed(cut.upto.get()))
            .bind(cut.at.micros())
            .bind(&trim::first_id_after(cut.at).as_bytes()[..])
            .bind(ROWS_AT_ONCE)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

    use super::*;
    use crate::log::sqlite::open::MIGRATIONS;

    #[tokio::test]
    async fn no_statement_that_removes_goes_through_a_whole_table() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        MIGRATIONS
            .run_direct(None, &mut database, false)
            .await
            .unwrap();
        for text in [REMOVE, EXCEPTIONS, ATTEMPTS, MESSAGES] {
            let statements = text.split(';').map(str::trim);
            for statement in statements.filter(|one| !one.starts_with(['B', 'C'])) {
                let explain = format!("EXPLAIN QUERY PLAN {statement}");
                let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(AssertSqlSafe(explain))
                    .fetch_all(&mut database)
                    .await
                    .unwrap();
                for (_, _, _, step) in plan {
                    let is_scan = step.starts_with("SCAN")
                        && !["gone", "json_each", "subquery"]
                            .iter()
                            .any(|list| step.contains(list));
                    assert!(!is_scan, "{statement}: {step}");
                }
            }
        }
    }
}

//! Removes what has outlived its retention from the server, in pieces that hold up no commit for long.
//!
//! What goes is decided in [`crate::log::trim`]; whole months go in [`super::months`]. Rows that a commit may be changing are left
//! out: they are found again, and nobody waits for anybody in a circle.

use async_trait::async_trait;
use domain::{
    ids::{TenantId, WorkspaceId},
    position::{POSITION_MAX, Position},
    retention::Retention,
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    PostgresLog,
    event_row::hash_in_body,
    reader::{Reader, column},
};
use crate::{
    StoreError,
    log::{
        Cut, DropOutcome, MonthPage, MonthSum, Oldest, OldestPage, PastMonth, Trim,
        stored::{place, position_of, signed},
        trim::{self, Candidate},
    },
};

/// Events, and bytes of payload, that go in one transaction.
const EVENTS_AT_ONCE: i64 = 2_000;
const BYTES_AT_ONCE: i64 = 16 * 1024 * 1024;
/// Rows of other tables that go in one transaction.
const ROWS_AT_ONCE: i64 = 2_000;

/// Removes the events between two places of one tenant, all at once, and counts them by its rows.
const REMOVE: &str = concat!(
    "WITH gone AS (
         DELETE FROM events AS e
         WHERE  e.place BETWEEN $1 AND $2
         RETURNING e.stream_no, e.seq, ",
    hash_in_body!(),
    " AS hash),
     ends AS (
         SELECT   stream_no, (max(seq) - 1) & ~255::BIGINT AS needed
         FROM     gone
         GROUP BY stream_no),
     saved AS (
         INSERT INTO tree_nodes (stream_no, level, idx, hash)
         SELECT g.stream_no, 0, g.seq - 1, g.hash
         FROM   gone AS g
         JOIN   ends AS n ON n.stream_no = g.stream_no
         WHERE  g.seq - 1 >= n.needed
         ON CONFLICT (stream_no, level, idx) DO NOTHING),
     forgotten AS (
         DELETE FROM tree_nodes AS t
         USING  ends AS n
         WHERE  t.stream_no = n.stream_no AND t.level = 0 AND t.idx < n.needed)
     SELECT 1 FROM gone"
);

/// Parameters: number of the tenant, position, rows.
const EXCEPTIONS: &str = "
    DELETE FROM exceptions AS e
    USING  (SELECT x.webhook_no, x.position
            FROM   webhook_progress AS w
            JOIN   exceptions AS x ON x.tenant_no = w.tenant_no AND x.webhook_no = w.webhook_no
            WHERE  w.tenant_no = $1 AND x.position <= $2
            LIMIT  $3
            FOR UPDATE OF x SKIP LOCKED) AS old
    WHERE  e.tenant_no = $1 AND e.webhook_no = old.webhook_no AND e.position = old.position";
const ATTEMPTS: &str = "
    DELETE FROM attempts AS a
    USING  (SELECT x.webhook_no, x.position, x.attempt
            FROM   webhook_progress AS w
            JOIN   attempts AS x ON x.tenant_no = w.tenant_no AND x.webhook_no = w.webhook_no
            WHERE  w.tenant_no = $1 AND x.position <= $2
            LIMIT  $3
            FOR UPDATE OF x SKIP LOCKED) AS old
    WHERE  a.tenant_no = $1 AND a.webhook_no = old.webhook_no AND a.position = old.position
           AND a.attempt = old.attempt";

/// Messages of which nothing is kept beyond a cut; those that were sent through a device go by their time. The devices are found
/// by leaping through the index. Parameters: number of the tenant, position, time, first id that stays, rows.
const MESSAGES: &str = "
    WITH RECURSIVE devices (id) AS (
        (SELECT device FROM messages WHERE tenant_no = $1 ORDER BY device LIMIT 1)
        UNION ALL
        SELECT next.device
        FROM   devices AS d
        CROSS JOIN LATERAL (SELECT   m.device
                            FROM     messages AS m
                            WHERE    m.tenant_no = $1 AND m.device > d.id
                            ORDER BY m.device
                            LIMIT    1) AS next)
    DELETE FROM messages
    WHERE  ctid = ANY (ARRAY(
               SELECT m.ctid
               FROM   devices AS d
               JOIN   messages AS m ON m.tenant_no = $1 AND m.device = d.id AND m.id < $4
               WHERE  (m.position IS NULL OR m.position <= $2)
                      AND CASE m.origin WHEN 0 THEN m.at <= $3
                                        ELSE m.origin & 1099511627775 <= $2 END
               LIMIT  $5
               FOR UPDATE OF m SKIP LOCKED))";

#[async_trait]
impl Trim for PostgresLog {
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
        let (upto, at) = (signed(cut.upto.get()), cut.at.micros());
        let stays = trim::first_id_after(cut.at);
        let mut gone = self
            .writer
            .execute(MESSAGES, &[&no, &upto, &at, &stays, &ROWS_AT_ONCE])
            .await?;
        for sql in [EXCEPTIONS, ATTEMPTS] {
            if gone == 0 {
                gone = self
                    .writer
                    .execute(sql, &[&no, &upto, &ROWS_AT_ONCE])
                    .await?;
            }
        }
        Ok(gone)
    }

    async fn remove_up_to(&self, tenant: TenantId, cut: Cut) -> Result<u64, StoreError> {
        let Some(no) = self.reader.tenant_no(tenant).await? else {
            return Ok(0);
        };
        let (first, last) = (place(no, Position::ZERO), place(no, cut.upto));
        self.writer.execute(REMOVE, &[&first, &last]).await
    }

    async fn database_now(&self) -> Result<Option<Timestamp>, StoreError> {
        const NOW: &str = "SELECT (extract(epoch FROM now()) * 1000000)::BIGINT";

        let Some(row) = self.reader.row(NOW, &[]).await? else {
            return Ok(None);
        };
        Ok(Some(Timestamp::from_micros(column(&row, 0)?)))
    }

    async fn past_months(&self, before: Timestamp) -> Result<Vec<PastMonth>, StoreError> {
        self.find_past_months(before).await
    }

    async fn month_page(
        &self,
        month: &PastMonth,
        after: Option<u64>,
        limit: u32,
    ) -> Result<MonthPage, StoreError> {
        self.read_month_page(month, after, limit).await
    }

    async fn drop_month(
        &self,
        month: &PastMonth,
        found: MonthSum,
    ) -> Result<DropOutcome, StoreError> {
        self.drop_whole_month(month, found).await
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
            SELECT   t.id, s.id, o.received_at
            FROM     (SELECT   no, id, head
                      FROM     tenants
                      WHERE    $1::UUID IS NULL OR id > $1
                      ORDER BY id
                      LIMIT    $2) AS t
            LEFT JOIN LATERAL (SELECT   e.stream_no, e.received_at
                               FROM     events AS e
                               WHERE    e.place > t.no << 40 AND e.place <= (t.no << 40) + t.head
                               ORDER BY e.place
                               LIMIT    1) AS o ON TRUE
            LEFT JOIN streams AS s ON s.no = o.stream_no
            ORDER BY t.id";

        let after = after.map(TenantId::uuid);
        let rows = self.rows(OLDEST, &[&after, &i64::from(limit)]).await?;
        let mut page = OldestPage::default();
        for row in &rows {
            let tenant = TenantId::from_uuid(column(row, 0)?);
            let (workspace, at): (Option<Uuid>, Option<i64>) = (column(row, 1)?, column(row, 2)?);
            page.next = Some(tenant);
            let at = at.map(Timestamp::from_micros).filter(|at| *at < before);
            if let (Some(workspace), Some(received_at)) = (workspace, at) {
                page.found.push(Oldest {
                    tenant,
                    workspace: WorkspaceId::from_uuid(workspace),
                    received_at,
                });
            }
        }
        if rows.len() < limit as usize {
            page.next = None;
        }
        Ok(page)
    }

    /// The tenant's oldest events, as many as may go at once. The length of a payload is known without fetching it.
    async fn candidates(&self, tenant_no: i64) -> Result<Vec<Candidate>, StoreError> {
        const OLDEST: &str = "
            SELECT   e.place, s.id, e.received_at, octet_length(e.payload)::BIGINT
            FROM     events  AS e
            JOIN     streams AS s ON s.no = e.stream_no
            WHERE    e.place > $1 AND e.place <= $2
            ORDER BY e.place
            LIMIT    $3";

        let (first, last) = (
            place(tenant_no, Position::ZERO),
            place(tenant_no, POSITION_MAX),
        );
        let rows = self.rows(OLDEST, &[&first, &last, &EVENTS_AT_ONCE]).await?;
        let candidates = rows.iter().map(|row| {
            Ok(Candidate {
                position: position_of(column(row, 0)?),
                workspace: WorkspaceId::from_uuid(column(row, 1)?),
                received_at: Timestamp::from_micros(column(row, 2)?),
                bytes: column(row, 3)?,
            })
        });
        candidates.collect()
    }
}

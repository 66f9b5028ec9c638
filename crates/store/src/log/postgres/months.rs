//! Drops months of events that are everybody's past.
//!
//! Whether they are is decided by the caller, who is told what is in a month and whose it is. A month is locked against writers, who
//! have long gone on to others, and looked at once more before it goes; the lock that everybody would have to wait for is held
//! for a moment, and not waited for longer than that.

use std::time::Duration;

use domain::{
    ids::{TenantId, WorkspaceId},
    position::Seq,
    time::Timestamp,
};
use tokio_postgres::{Client, error::SqlState};
use tracing::{info, warn};

use super::{
    PostgresLog,
    connect::{Server, in_time},
    event_row::hash_in_body,
    failure::store_error,
    partitions::Month,
    reader::{Reader, column},
    schema,
};
use crate::{
    StoreError,
    log::{
        DropOutcome, InMonth, MonthPage, MonthSum, PastMonth,
        stored::{position_of, unsigned},
    },
};

/// Workspaces whose leaves are saved by one statement.
const STREAMS_AT_ONCE: usize = 200;
/// How long it may take until nobody else changes the schema: longer than the server waits.
const LOCKED_MAX: Duration = Duration::from_secs(70);

/// The workspaces in a stretch of time, found by leaping through the index, and what each has there. Parameters: the number after
/// which to begin, the stretch, how many.
const PAGE: &str = "
    WITH RECURSIVE found (stream_no, count) AS (
        (SELECT   e.stream_no, 1
         FROM     events AS e
         WHERE    e.stream_no > $1 AND e.received_at >= $2 AND e.received_at < $3
         ORDER BY e.stream_no, e.seq
         LIMIT    1)
        UNION ALL
        SELECT next.stream_no, f.count + 1
        FROM   found AS f
        CROSS JOIN LATERAL (SELECT   e.stream_no
                            FROM     events AS e
                            WHERE    e.stream_no > f.stream_no
                                     AND e.received_at >= $2 AND e.received_at < $3
                            ORDER BY e.stream_no, e.seq
                            LIMIT    1) AS next
        WHERE  f.count < $4)
    SELECT   f.stream_no, t.id, s.id, first.seq, last.seq, last.place, oldest.received_at >= $2
    FROM     found   AS f
    JOIN     streams AS s ON s.no = f.stream_no
    JOIN     tenants AS t ON t.no = s.tenant_no
    CROSS JOIN LATERAL (SELECT   e.seq
                        FROM     events AS e
                        WHERE    e.stream_no = f.stream_no
                                 AND e.received_at >= $2 AND e.received_at < $3
                        ORDER BY e.stream_no, e.seq
                        LIMIT    1) AS first
    CROSS JOIN LATERAL (SELECT   e.seq, e.place
                        FROM     events AS e
                        WHERE    e.stream_no = f.stream_no
                                 AND e.received_at >= $2 AND e.received_at < $3
                        ORDER BY e.stream_no DESC, e.seq DESC
                        LIMIT    1) AS last
    CROSS JOIN LATERAL (SELECT   e.received_at
                        FROM     events AS e
                        WHERE    e.place > t.no << 40 AND e.place <= (t.no << 40) + t.head
                        ORDER BY e.place
                        LIMIT    1) AS oldest
    ORDER BY f.stream_no";

/// Forgets the leaves that no proof asks for any more.
const FORGET_LEAVES: &str = "
    DELETE FROM tree_nodes AS t
    USING  unnest($1::BIGINT[], $2::BIGINT[]) AS gone (stream_no, last)
    WHERE  t.stream_no = gone.stream_no AND t.level = 0
           AND t.idx < (gone.last - 1) & ~255::BIGINT";

/// What the session that drops a month has to know.
fn settings(server: &Server) -> String {
    let timeout = server.options.statement_timeout.as_millis().max(1);
    let schema = &server.schema;
    format!(
        "SET client_min_messages = warning;
         SET search_path = {schema};
         SET statement_timeout = {timeout}"
    )
}

/// Takes a lock only if it is to be had at once, and loses it if we fall silent.
fn begin(server: &Server) -> String {
    let timeout = server.options.statement_timeout.as_millis().max(1);
    format!(
        "BEGIN;
         SET LOCAL lock_timeout = '300ms';
         SET LOCAL statement_timeout = {timeout};
         SET LOCAL idle_in_transaction_session_timeout = '5s'"
    )
}

/// The last seq of each workspace of a month: numbers and seqs.
type Ends = (Vec<i64>, Vec<i64>);

impl PostgresLog {
    /// Months that are over, oldest first.
    pub(super) async fn find_past_months(
        &self,
        before: Timestamp,
    ) -> Result<Vec<PastMonth>, StoreError> {
        const NAMES: &str = "
            SELECT c.relname::TEXT
            FROM   pg_inherits AS i
            JOIN   pg_class    AS c ON c.oid = i.inhrelid
            WHERE  i.inhparent = 'events'::REGCLASS";

        let rows = self.reader.rows(NAMES, &[]).await?;
        let mut months = Vec::new();
        for row in &rows {
            let name: String = column(row, 0)?;
            let Some((begins_at, ends_at)) = Month::named(&name).map(Month::bounds) else {
                continue;
            };
            if ends_at <= before {
                months.push(PastMonth {
                    name,
                    begins_at,
                    ends_at,
                });
            }
        }
        months.sort_by_key(|month| month.begins_at);
        Ok(months)
    }

    /// One page of a month's workspaces.
    pub(super) async fn read_month_page(
        &self,
        month: &PastMonth,
        after: Option<u64>,
        limit: u32,
    ) -> Result<MonthPage, StoreError> {
        let after = after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        self.reader.month_page(month, after, limit).await
    }

    /// Drops a month if it holds what was found in it.
    pub(super) async fn drop_whole_month(
        &self,
        month: &PastMonth,
        found: MonthSum,
    ) -> Result<DropOutcome, StoreError> {
        let Some(table) = Month::named(&month.name).map(Month::table) else {
            return Ok(DropOutcome::Changed);
        };
        let (server, patience) = (&self.server, self.server.patience());
        let client = server.connect().await?;
        let settings = settings(server);
        in_time(patience, client.batch_execute(&settings))
            .await?
            .map_err(store_error)?;
        // While the events are there, too, their leaves are the same ones twice.
        let ends = save_leaves(&client, patience, &table).await?;
        let drop = Box::pin(in_time(
            patience,
            drop_table(&client, server, &table, found),
        ));
        let dropped = Box::pin(schema::locked(&client, server, async { drop.await? }));
        let outcome = in_time(LOCKED_MAX + patience, dropped).await??;
        if outcome == DropOutcome::Gone {
            let schema = &server.schema;
            info!(partition = %table, events = found.events, "dropped the partition {schema}.{table} of events: all of them have outlived their retention");
            if let Err(error) = self.forget_leaves(&ends).await {
                warn!(partition = %table, %error, "leaves that no proof needs stay until more events go: {error}");
            }
        }
        Ok(outcome)
    }

    async fn forget_leaves(&self, (numbers, seqs): &Ends) -> Result<(), StoreError> {
        for (numbers, seqs) in numbers
            .chunks(STREAMS_AT_ONCE)
            .zip(seqs.chunks(STREAMS_AT_ONCE))
        {
            self.writer
                .execute(FORGET_LEAVES, &[&numbers, &seqs])
                .await?;
        }
        Ok(())
    }
}

impl Reader {
    async fn month_page(
        &self,
        month: &PastMonth,
        after: i64,
        limit: u32,
    ) -> Result<MonthPage, StoreError> {
        let (begins_at, ends_at) = (month.begins_at.micros(), month.ends_at.micros());
        // The recursion counts by 32 bits.
        let count = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = self
            .rows(PAGE, &[&after, &begins_at, &ends_at, &count])
            .await?;
        let mut page = MonthPage::default();
        for row in &rows {
            let stream_no: i64 = column(row, 0)?;
            page.next = Some(unsigned(stream_no)?);
            page.found.push(InMonth {
                tenant: TenantId::from_uuid(column(row, 1)?),
                workspace: WorkspaceId::from_uuid(column(row, 2)?),
                first: Seq::new(unsigned(column(row, 3)?)?),
                last: Seq::new(unsigned(column(row, 4)?)?),
                upto: position_of(column(row, 5)?),
                begins_here: column(row, 6)?,
            });
        }
        if rows.len() < limit as usize {
            page.next = None;
        }
        Ok(page)
    }
}

/// The last seqs of a table's workspaces, found by leaping through its index.
fn ends(table: &str) -> String {
    format!(
        "RECURSIVE ends (stream_no, last) AS (
             (SELECT stream_no, seq FROM {table} ORDER BY stream_no DESC, seq DESC LIMIT 1)
             UNION ALL
             SELECT next.stream_no, next.seq
             FROM   ends
             CROSS JOIN LATERAL (SELECT   e.stream_no, e.seq
                                 FROM     {table} AS e
                                 WHERE    e.stream_no < ends.stream_no
                                 ORDER BY e.stream_no DESC, e.seq DESC
                                 LIMIT    1) AS next)"
    )
}

/// Saves the leaves of a month's events that proofs of others will need.
async fn save_leaves(client: &Client, patience: Duration, table: &str) -> Result<Ends, StoreError> {
    let find = format!("WITH {} SELECT stream_no, last FROM ends", ends(table));
    let save = format!(
        concat!(
            "INSERT INTO tree_nodes (stream_no, level, idx, hash)
             SELECT e.stream_no, 0, e.seq - 1, ",
            hash_in_body!(),
            "
             FROM   unnest($1::BIGINT[], $2::BIGINT[]) AS ends (stream_no, last)
             JOIN   {table} AS e ON e.stream_no = ends.stream_no
                                    AND e.seq > (ends.last - 1) & ~255::BIGINT
             ON CONFLICT (stream_no, level, idx) DO NOTHING"
        ),
        table = table
    );
    let rows = in_time(patience, client.query(&find, &[])).await?;
    let mut ends = Ends::default();
    for row in &rows.map_err(store_error)? {
        ends.0.push(row.try_get(0).map_err(store_error)?);
        ends.1.push(row.try_get(1).map_err(store_error)?);
    }
    let chunks = ends.0.chunks(STREAMS_AT_ONCE);
    for (numbers, seqs) in chunks.zip(ends.1.chunks(STREAMS_AT_ONCE)) {
        in_time(patience, client.execute(&save, &[&numbers, &seqs]))
            .await?
            .map_err(store_error)?;
    }
    Ok(ends)
}

/// Drops a table in one transaction, or leaves everything as it is.
async fn drop_table(
    client: &Client,
    server: &Server,
    table: &str,
    found: MonthSum,
) -> Result<DropOutcome, StoreError> {
    let outcome = try_drop(client, server, table, found).await;
    if !matches!(outcome, Ok(DropOutcome::Gone)) {
        client
            .batch_execute("ROLLBACK")
            .await
            .map_err(store_error)?;
    }
    match outcome {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(DropOutcome::Busy),
        other => other.map_err(store_error),
    }
}

async fn try_drop(
    client: &Client,
    server: &Server,
    table: &str,
    found: MonthSum,
) -> Result<DropOutcome, tokio_postgres::Error> {
    client.batch_execute(&begin(server)).await?;
    // Nobody writes there from now on; whoever reads may.
    let lock = format!("LOCK TABLE {table} IN SHARE MODE");
    client.batch_execute(&lock).await?;
    let look = format!(
        "WITH {}
         SELECT count(*), coalesce(sum(ends.last + 1 - first.seq), 0)::BIGINT,
                coalesce(sum(ends.last), 0)::BIGINT
         FROM   ends
         CROSS JOIN LATERAL (SELECT   e.seq
                             FROM     {table} AS e
                             WHERE    e.stream_no = ends.stream_no
                             ORDER BY e.stream_no, e.seq
                             LIMIT    1) AS first",
        ends(table)
    );
    let row = client.query_one(&look, &[]).await?;
    let count = |column| {
        let number: Result<i64, _> = row.try_get(column);
        number.map(|number| u64::try_from(number).unwrap_or(u64::MAX))
    };
    let is = MonthSum {
        workspaces: count(0)?,
        events: count(1)?,
        seqs: count(2)?,
    };
    if is != found {
        return Ok(DropOutcome::Changed);
    }
    // With its end: from the first statement on everybody waits, and is not to wait for what we say next.
    let drop = format!("ALTER TABLE events DETACH PARTITION {table}; DROP TABLE {table}; COMMIT");
    client.batch_execute(&drop).await?;
    Ok(DropOutcome::Gone)
}

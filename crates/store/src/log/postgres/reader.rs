//! Reads events, and what a tenant's actor needs at its start, on connections of their own: never behind a writer.
//!
//! Searches are in `search`, proofs in `proof`, what concerns deliveries in `delivery`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use deadpool_postgres::{Object, Pool};
use domain::{
    event::Event,
    ids::{EventId, TenantId, WorkspaceId},
    position::{POSITION_MAX, Position},
    time::Timestamp,
};
use tokio_postgres::{
    Error, Row,
    types::{FromSql, ToSql},
};
use uuid::Uuid;

use super::{
    connect::in_time,
    event_row::{self, event_columns, id_in_body, text},
    failure::{is_lost, pool_error, store_error},
    names::Names,
};
use crate::{
    StoreError,
    log::{
        Consumer, ConsumerName, DedupEntry, IdempotentAnswer,
        fold::workspace_key,
        stored::{hash, narrow, place, position_of, read_positions, unsigned, uuid},
    },
};

/// What a statement is given.
pub(super) type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// Dedup ids that one question may find; it asks for those of one request.
const DEDUP_FOUND_MAX: i64 = 100_000;

/// The connections that only read.
pub(super) struct Reader {
    pub(super) pool: Pool,
    pub(super) names: Arc<Names>,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

/// The places of the first and the last event of a tenant that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) oldest: i64,
    pub(super) newest: i64,
}

impl Reader {
    /// Runs a statement. A connection that turns out to be dead is replaced once: reading twice does no harm.
    pub(super) async fn rows(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut is_last = false;
        loop {
            match self.try_rows(sql, parameters).await? {
                Ok(rows) => return Ok(rows),
                Err(error) if is_lost(&error) && !is_last => is_last = true,
                Err(error) => return Err(store_error(error)),
            }
        }
    }

    async fn try_rows(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Result<Vec<Row>, Error>, StoreError> {
        let client = self.pool.get().await.map_err(pool_error)?;
        let asking = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        };
        match in_time(self.patience, asking).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                // Whoever got this connection next would wait for the same answer.
                drop(Object::take(client));
                Err(error)
            }
        }
    }

    /// Runs a statement that finds one row at most.
    pub(super) async fn row(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, parameters).await?.pop())
    }

    /// The tenant's number, if it has ever written here.
    pub(super) async fn tenant_no(&self, tenant: TenantId) -> Result<Option<i64>, StoreError> {
        const FIND: &str = "SELECT no FROM tenants WHERE id = $1";

        if let Some(no) = self.names.tenant(tenant) {
            return if self.pool.is_closed() {
                Err(StoreError::Unavailable("the log is closed".to_owned()))
            } else {
                Ok(Some(no))
            };
        }
        let Some(row) = self.row(FIND, &[&tenant.uuid()]).await? else {
            return Ok(None);
        };
        let no = column(&row, 0)?;
        self.names.set_tenant(tenant, no);
        Ok(Some(no))
    }

    /// Where the tenant's log ends.
    pub(super) async fn head(&self, tenant_no: i64) -> Result<Position, StoreError> {
        const HEAD: &str = "SELECT head FROM tenants WHERE no = $1";

        match self.row(HEAD, &[&tenant_no]).await? {
            Some(row) => Ok(Position::new(unsigned(column(&row, 0)?)?)),
            None => Ok(Position::ZERO),
        }
    }

    /// Which places of the tenant are filled; there are no holes between them.
    pub(super) async fn extent(&self, tenant_no: i64) -> Result<Option<Extent>, StoreError> {
        const EXTENT: &str = "
            SELECT (SELECT   e.place
                    FROM     events AS e
                    WHERE    e.place BETWEEN $1 AND $2
                    ORDER BY e.place
                    LIMIT    1),
                   (SELECT   e.place
                    FROM     events AS e
                    WHERE    e.place BETWEEN $1 AND $2
                    ORDER BY e.place DESC
                    LIMIT    1)";

        let (first, last) = (
            place(tenant_no, Position::ZERO),
            place(tenant_no, POSITION_MAX),
        );
        let Some(row) = self.row(EXTENT, &[&first, &last]).await? else {
            return Ok(None);
        };
        Ok(match (column(&row, 0)?, column(&row, 1)?) {
            (Some(oldest), Some(newest)) => Some(Extent { oldest, newest }),
            _none => None,
        })
    }

    /// The newest events with a dedup id.
    pub(super) async fn recent_dedup_ids(
        &self,
        tenant_no: i64,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<DedupEntry>, StoreError> {
        const RECENT: &str = concat!(
            "SELECT   s.id, e.dedup_id, ",
            id_in_body!(),
            ", e.received_at
             FROM     events AS e
             JOIN     streams AS s ON s.no = e.stream_no
             WHERE    e.place > $1 AND e.place <= $2 AND e.received_at >= $3
                      AND e.dedup_id IS NOT NULL
             ORDER BY e.place DESC
             LIMIT    $4"
        );

        let Some(extent) = self.extent(tenant_no).await? else {
            return Ok(Vec::new());
        };
        let before = self.place_before(extent, since).await?;
        let rows = self
            .rows(
                RECENT,
                &[&before, &extent.newest, &since.micros(), &i64::from(limit)],
            )
            .await?;
        rows.iter().map(dedup_entry).collect()
    }

    /// Which of these dedup ids are there.
    pub(super) async fn find_dedup_ids(
        &self,
        tenant_no: i64,
        wanted: &[(WorkspaceId, Box<str>)],
        since: Timestamp,
    ) -> Result<Vec<DedupEntry>, StoreError> {
        let (workspaces, dedup_ids): (Vec<Uuid>, Vec<&[u8]>) = wanted
            .iter()
            .map(|(workspace, dedup_id)| (workspace.uuid(), dedup_id.as_bytes()))
            .unzip();
        let rows = self
            .rows(
                DEDUPED,
                &[
                    &workspaces,
                    &dedup_ids,
                    &tenant_no,
                    &since.micros(),
                    &DEDUP_FOUND_MAX,
                ],
            )
            .await?;
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        for row in &rows {
            let entry = dedup_entry(row)?;
            if seen.insert((entry.workspace, entry.dedup_id.clone())) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The answer kept for an idempotency key.
    pub(super) async fn idempotent_answer(
        &self,
        tenant_no: i64,
        key_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<IdempotentAnswer>, StoreError> {
        const FIND: &str = "
            SELECT request_hash, status, expires_at, body
            FROM   idempotent_answers
            WHERE  tenant_no = $1 AND key_hash = $2 AND expires_at > $3";

        let found = self
            .row(FIND, &[&tenant_no, &&key_hash[..], &now.micros()])
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let status: i32 = column(&row, 1)?;
        let body: Vec<u8> = column(&row, 3)?;
        Ok(Some(IdempotentAnswer {
            key_hash,
            request_hash: hash(column(&row, 0)?)?.0,
            status: narrow(status.into())?,
            body: body.into(),
            expires_at: Timestamp::from_micros(column(&row, 2)?),
        }))
    }

    /// Events after a position. The server stops where there are bytes enough, and does not fetch the payloads beyond.
    pub(super) async fn read_after(
        &self,
        tenant_no: i64,
        after: Position,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let (after, last) = (place(tenant_no, after), place(tenant_no, POSITION_MAX));
        let bytes_max = i64::try_from(bytes_max.max(1)).unwrap_or(i64::MAX);
        let rows = self
            .rows(AFTER, &[&after, &last, &i64::from(limit), &bytes_max])
            .await?;
        rows.iter().map(event_row::read).collect()
    }

    /// Events at given positions, in the order of their positions.
    pub(super) async fn read_many(
        &self,
        tenant_no: i64,
        positions: &[Position],
    ) -> Result<Vec<Event>, StoreError> {
        let mut places: Vec<i64> = positions
            .iter()
            .map(|position| place(tenant_no, *position))
            .collect();
        places.sort_unstable();
        places.dedup();
        let rows = self
            .rows(
                MANY,
                &[&places, &i64::try_from(places.len()).unwrap_or(i64::MAX)],
            )
            .await?;
        rows.iter().map(event_row::read).collect()
    }

    /// Where a consumer stands.
    pub(super) async fn consumer(
        &self,
        tenant_no: i64,
        name: &ConsumerName,
    ) -> Result<Option<Consumer>, StoreError> {
        const FIND: &str = "
            SELECT cursor, acked
            FROM   consumers
            WHERE  tenant_no = $1 AND workspace = $2 AND name = $3";

        let found = self
            .row(
                FIND,
                &[&tenant_no, &workspace_key(name), &name.name.as_bytes()],
            )
            .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        Ok(Some(Consumer {
            cursor: Position::new(unsigned(column(&row, 0)?)?),
            acked: read_positions(column(&row, 1)?)?,
        }))
    }
}

/// Events at places. The inner LIMIT has each place looked up, whatever the planner thinks of walking through all of them.
pub(super) const MANY: &str = concat!(
    "SELECT   ",
    event_columns!(),
    "
     FROM     unnest($1::BIGINT[]) AS wanted (place)
     CROSS JOIN LATERAL (SELECT * FROM events WHERE place = wanted.place LIMIT 1) AS e
     JOIN     streams AS s ON s.no = e.stream_no
     ORDER BY wanted.place
     LIMIT    $2"
);

/// Events with one of some dedup ids, the newest first. `OFFSET 0` keeps the planner from joining in another order.
pub(super) const DEDUPED: &str = concat!(
    "SELECT   s.id, e.dedup_id, ",
    id_in_body!(),
    ", e.received_at
     FROM     unnest($1::UUID[], $2::BYTEA[]) AS wanted (workspace, dedup_id)
     JOIN     streams AS s ON s.tenant_no = $3 AND s.id = wanted.workspace
     CROSS JOIN LATERAL (SELECT *
                         FROM   events
                         WHERE  stream_no = s.no AND dedup_id = wanted.dedup_id
                                AND received_at >= $4
                         OFFSET 0) AS e
     ORDER BY e.place DESC
     LIMIT    $5"
);

/// Events of a range of places, in order, until there are so many or so many bytes of payload.
pub(super) const AFTER: &str = concat!(
    "SELECT   place, id, seq, received_at, device, kind, category, project, actor_id, dedup_id, body,
              payload
     FROM     (SELECT   ",
    event_columns!(),
    ",
                        sum(octet_length(e.payload))
                            OVER (ORDER BY e.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                            AS bytes_before
               FROM     events  AS e
               JOIN     streams AS s ON s.no = e.stream_no
               WHERE    e.place > $1 AND e.place <= $2
               ORDER BY e.place
               LIMIT    $3) AS page
     WHERE    coalesce(bytes_before, 0) < $4
     ORDER BY place"
);

/// Reads a column.
pub(super) fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(store_error)
}

fn dedup_entry(row: &Row) -> Result<DedupEntry, StoreError> {
    Ok(DedupEntry {
        workspace: WorkspaceId::from_uuid(column(row, 0)?),
        dedup_id: text(column(row, 1)?)?,
        event: EventId::from_uuid(uuid(column(row, 2)?)?),
        received_at: Timestamp::from_micros(column(row, 3)?),
    })
}

/// The oldest position that is kept.
pub(super) fn oldest(extent: Extent) -> Position {
    position_of(extent.oldest)
}

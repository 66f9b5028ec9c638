//! Reads events, and what a tenant's actor needs at its start, on connections of their own: never behind the writer.
//!
//! Searches are in `search`, proofs in `proof`, what concerns deliveries in `delivery`.

use std::collections::{HashMap, HashSet};

use domain::{
    event::Event,
    ids::{EventId, TenantId, WorkspaceId},
    position::{POSITION_MAX, Position},
    time::Timestamp,
};
use futures_util::TryStreamExt as _;
use parking_lot::RwLock;
use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};

use super::{
    event_row::{self, event_columns, id_in_body},
    failure::store_error,
};
use crate::{
    StoreError,
    log::{
        Consumer, ConsumerName, DedupEntry, IdempotentAnswer,
        fold::workspace_key,
        stored::{hash, narrow, place, position_of, read_positions, unsigned, uuid},
    },
};

/// So many tenants' numbers are remembered; then all are forgotten. About 40 bytes each.
const TENANTS_MAX: usize = 65_536;

/// The connections that only read.
pub(super) struct Reader {
    pub(super) pool: SqlitePool,
    /// Numbers are given once and for all, so whatever has been read stays true.
    tenants: RwLock<HashMap<TenantId, i64>>,
}

/// The places of the first and the last event of a tenant that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) oldest: i64,
    pub(super) newest: i64,
}

impl Reader {
    /// Reads through a pool.
    pub(super) fn new(pool: SqlitePool) -> Reader {
        Reader {
            pool,
            tenants: RwLock::default(),
        }
    }

    /// The tenant's number, if it has ever written here.
    pub(super) async fn tenant_no(&self, tenant: TenantId) -> Result<Option<i64>, StoreError> {
        const FIND: &str = "SELECT no FROM tenants WHERE id = ?1";

        if let Some(no) = self.tenants.read().get(&tenant) {
            return Ok(Some(*no));
        }
        let found: Option<i64> = sqlx::query_scalar(FIND)
            .bind(&tenant.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        if let Some(no) = found {
            let mut tenants = self.tenants.write();
            if tenants.len() >= TENANTS_MAX {
                tenants.clear();
            }
            tenants.insert(tenant, no);
        }
        Ok(found)
    }

    /// Where the tenant's log ends, whether its last event is kept or not.
    pub(super) async fn head(&self, tenant_no: i64) -> Result<Position, StoreError> {
        const HEAD: &str = "
            SELECT (SELECT   e.place
                    FROM     events AS e
                    WHERE    e.place BETWEEN t.no << 40 AND (t.no << 40) | 1099511627775
                    ORDER BY e.place DESC
                    LIMIT    1),
                   t.removed
            FROM   tenants AS t
            WHERE  t.no = ?1";

        let ends: Option<(Option<i64>, i64)> = sqlx::query_as(HEAD)
            .bind(tenant_no)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        match ends {
            Some((Some(newest), _)) => Ok(position_of(newest)),
            Some((None, removed)) => Ok(Position::new(unsigned(removed)?)),
            None => Ok(Position::ZERO),
        }
    }

    /// Which places of the tenant are filled; there are no holes between them.
    pub(super) async fn extent(&self, tenant_no: i64) -> Result<Option<Extent>, StoreError> {
        const EXTENT: &str = "
            SELECT (SELECT place FROM events WHERE place BETWEEN ?1 AND ?2
                    ORDER BY place      LIMIT 1),
                   (SELECT place FROM events WHERE place BETWEEN ?1 AND ?2
                    ORDER BY place DESC LIMIT 1)";

        let ends: (Option<i64>, Option<i64>) = sqlx::query_as(EXTENT)
            .bind(place(tenant_no, Position::ZERO))
            .bind(place(tenant_no, POSITION_MAX))
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)?;
        Ok(match ends {
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
             FROM     events AS e INDEXED BY events_deduped
             CROSS JOIN streams AS s ON s.no = e.stream_no
             WHERE    e.place >> 40 = ?1 AND e.dedup_id IS NOT NULL
             ORDER BY e.place DESC
             LIMIT    ?2"
        );

        let mut rows = sqlx::query(RECENT)
            .bind(tenant_no)
            .bind(limit)
            .fetch(&self.pool);
        let mut entries = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(store_error)? {
            let entry = dedup_entry(&row)?;
            // Events stand in the order in which they were received: nothing newer follows.
            if entry.received_at < since {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Which of these dedup ids are there.
    pub(super) async fn find_dedup_ids(
        &self,
        tenant_no: i64,
        wanted: &[(WorkspaceId, Box<str>)],
        since: Timestamp,
    ) -> Result<Vec<DedupEntry>, StoreError> {
        const FIND: &str = concat!(
            "SELECT   s.id, e.dedup_id, ",
            id_in_body!(),
            ", e.received_at
             FROM     json_each(?1) AS wanted
             CROSS JOIN streams AS s
                      ON s.tenant_no = ?2 AND s.id = unhex(wanted.value ->> 0)
             CROSS JOIN events AS e INDEXED BY events_by_dedup
                      ON e.stream_no = s.no AND e.dedup_id = wanted.value ->> 1
             WHERE    e.dedup_id IS NOT NULL AND e.received_at >= ?3
             ORDER BY e.place DESC
             LIMIT    100000"
        );

        let list: Vec<(String, &str)> = wanted
            .iter()
            .map(|(workspace, dedup_id)| (workspace.uuid().simple().to_string(), &**dedup_id))
            .collect();
        let list = serde_json::to_string(&list).map_err(|error| {
            StoreError::Corrupt(format!("could not be written as JSON: {error}"))
        })?;
        let rows = sqlx::query(FIND)
            .bind(list)
            .bind(tenant_no)
            .bind(since.micros())
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
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
            WHERE  tenant_no = ?1 AND key_hash = ?2 AND expires_at > ?3";

        let row: Option<(Vec<u8>, i64, i64, Vec<u8>)> = sqlx::query_as(FIND)
            .bind(tenant_no)
            .bind(&key_hash[..])
            .bind(now.micros())
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        row.map(|(request_hash, status, expires_at, body)| {
            Ok(IdempotentAnswer {
                key_hash,
                request_hash: hash(&request_hash)?.0,
                status: narrow(status)?,
                body: body.into(),
                expires_at: Timestamp::from_micros(expires_at),
            })
        })
        .transpose()
    }

    /// Events after a position.
    pub(super) async fn read_after(
        &self,
        tenant_no: i64,
        after: Position,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<Event>, StoreError> {
        const AFTER: &str = concat!(
            "SELECT   ",
            event_columns!(),
            "
             FROM     events AS e
             CROSS JOIN streams AS s ON s.no = e.stream_no
             WHERE    e.place > ?1 AND e.place <= ?2
             ORDER BY e.place
             LIMIT    ?3"
        );

        let mut rows = sqlx::query(AFTER)
            .bind(place(tenant_no, after))
            .bind(place(tenant_no, POSITION_MAX))
            .bind(limit)
            .fetch(&self.pool);
        let mut events = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.try_next().await.map_err(store_error)? {
            let event = event_row::read(&row)?;
            bytes += event.payload.len();
            events.push(event);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(events)
    }

    /// Events at given positions, in the order of their positions.
    pub(super) async fn read_many(
        &self,
        tenant_no: i64,
        positions: &[Position],
    ) -> Result<Vec<Event>, StoreError> {
        const MANY: &str = concat!(
            "SELECT   ",
            event_columns!(),
            "
             FROM     json_each(?1) AS wanted
             CROSS JOIN events  AS e ON e.place = wanted.value
             CROSS JOIN streams AS s ON s.no = e.stream_no
             ORDER BY wanted.key
             LIMIT    ?2"
        );

        let list = place_list(tenant_no, positions);
        let rows = sqlx::query(MANY)
            .bind(list)
            .bind(i64::try_from(positions.len()).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
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
            WHERE  tenant_no = ?1 AND workspace = ?2 AND name = ?3";

        let row: Option<(i64, Vec<u8>)> = sqlx::query_as(FIND)
            .bind(tenant_no)
            .bind(workspace_key(name))
            .bind(&*name.name)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        let Some((cursor, acked)) = row else {
            return Ok(None);
        };
        Ok(Some(Consumer {
            cursor: Position::new(unsigned(cursor)?),
            acked: read_positions(&acked)?,
        }))
    }
}

/// Places of positions as a JSON list, ascending, each once.
fn place_list(tenant_no: i64, positions: &[Position]) -> String {
    let mut places: Vec<i64> = positions
        .iter()
        .map(|position| place(tenant_no, *position))
        .collect();
    places.sort_unstable();
    places.dedup();
    let texts: Vec<String> = places.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

fn dedup_entry(row: &SqliteRow) -> Result<DedupEntry, StoreError> {
    let dedup_id: &str = row.try_get(1).map_err(store_error)?;
    Ok(DedupEntry {
        workspace: WorkspaceId::from_uuid(uuid(row.try_get(0).map_err(store_error)?)?),
        dedup_id: dedup_id.into(),
        event: EventId::from_uuid(uuid(row.try_get(2).map_err(store_error)?)?),
        received_at: Timestamp::from_micros(row.try_get(3).map_err(store_error)?),
    })
}

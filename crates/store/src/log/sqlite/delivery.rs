//! Reads how deliveries stand: progress of webhooks, exceptions, attempts, dead letters, replays.
//!
//! Every query names the tenant, so that a webhook's number from elsewhere finds nothing. `+tenant_no` keeps the planner on
//! the rows of the webhook, instead of all those of its tenant.

use std::time::Duration;

use domain::{
    ids::{ReplayId, TenantId},
    position::Position,
    time::Timestamp,
};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{failure::store_error, reader::Reader};
use crate::{
    StoreError,
    log::{
        Attempt, DeliveryState, Exception, Replay, WebhookNo, WebhookProgress,
        stored::{from_json, narrow, position, replay_state, signed, state, unsigned, uuid},
    },
};

/// Columns of an exception, as [`exception`] reads them.
macro_rules! exception_columns {
    () => {
        "webhook_no, position, state, attempts, at, last_status, last_error"
    };
}
pub(super) use exception_columns;

/// More webhooks than any plan allows.
const WEBHOOKS_MAX: i64 = 1_000_000;
/// More than a webhook can have in flight at once.
const SETTLED_MAX: i64 = 1_000_000;

impl Reader {
    /// How far the tenant's webhooks have been matched.
    pub(super) async fn dispatched(&self, tenant_no: i64) -> Result<Option<Position>, StoreError> {
        const FIND: &str = "SELECT position FROM dispatch WHERE tenant_no = ?1";

        let found: Option<i64> = sqlx::query_scalar(FIND)
            .bind(tenant_no)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        found.map(position).transpose()
    }

    /// Tenants with a webhook that has work, or with events that have not been matched.
    pub(super) async fn tenants_with_work(&self) -> Result<Vec<TenantId>, StoreError> {
        const FIND: &str = "
            SELECT t.id
            FROM   tenants AS t
            LEFT JOIN dispatch AS d ON d.tenant_no = t.no
            WHERE  EXISTS (SELECT 1 FROM webhook_progress AS w
                           WHERE  w.tenant_no = t.no AND w.has_work = 1)
                   OR EXISTS (SELECT 1 FROM events AS e
                              WHERE  e.place > (t.no << 40) + coalesce(d.position, 0)
                                     AND e.place < (t.no + 1) << 40)
            LIMIT  ?1";

        let ids: Vec<Vec<u8>> = sqlx::query_scalar(FIND)
            .bind(i64::MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        ids.iter()
            .map(|bytes| uuid(bytes).map(TenantId::from_uuid))
            .collect()
    }

    /// Where every webhook of the tenant stands.
    pub(super) async fn webhook_progress(
        &self,
        tenant_no: i64,
    ) -> Result<Vec<WebhookProgress>, StoreError> {
        const FIND: &str = "
            SELECT   webhook_no, cursor, has_work, breaker
            FROM     webhook_progress
            WHERE    tenant_no = ?1
            ORDER BY webhook_no
            LIMIT    ?2";

        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(FIND)
            .bind(tenant_no)
            .bind(WEBHOOKS_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.into_iter().map(progress).collect()
    }

    /// Where one webhook of the tenant stands.
    pub(super) async fn webhook_progress_of(
        &self,
        tenant_no: i64,
        webhook: WebhookNo,
    ) -> Result<Option<WebhookProgress>, StoreError> {
        const FIND: &str = "
            SELECT webhook_no, cursor, has_work, breaker
            FROM   webhook_progress
            WHERE  webhook_no = ?1 AND +tenant_no = ?2";

        let row: Option<(i64, i64, i64, String)> = sqlx::query_as(FIND)
            .bind(signed(webhook.0))
            .bind(tenant_no)
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        row.map(progress).transpose()
    }

    /// Positions above a cursor that are settled.
    pub(super) async fn settled_above(
        &self,
        tenant_no: i64,
        webhook: WebhookNo,
        above: Position,
    ) -> Result<Vec<Position>, StoreError> {
        const FIND: &str = "
            SELECT   position
            FROM     (SELECT position FROM attempts
                      WHERE  webhook_no = ?1 AND tenant_no = ?2 AND position > ?3
                             AND state IN (2, 3)
                      UNION
                      SELECT position FROM exceptions
                      WHERE  webhook_no = ?1 AND +tenant_no = ?2 AND position > ?3 AND state = 3
                      EXCEPT
                      SELECT position FROM exceptions
                      WHERE  webhook_no = ?1 AND +tenant_no = ?2 AND position > ?3 AND state = 1)
            ORDER BY position
            LIMIT    ?4";

        let found: Vec<i64> = sqlx::query_scalar(FIND)
            .bind(signed(webhook.0))
            .bind(tenant_no)
            .bind(signed(above.get()))
            .bind(SETTLED_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        found.into_iter().map(position).collect()
    }

    /// Deliveries that wait for another attempt, soonest first.
    pub(super) async fn retrying(
        &self,
        tenant_no: i64,
        webhook: WebhookNo,
        limit: u32,
    ) -> Result<Vec<Exception>, StoreError> {
        const FIND: &str = concat!(
            "SELECT   ",
            exception_columns!(),
            "
             FROM     exceptions INDEXED BY exceptions_retrying
             WHERE    webhook_no = ?1 AND tenant_no = ?2 AND state = 1
             ORDER BY at, position
             LIMIT    ?3"
        );

        let rows = sqlx::query(FIND)
            .bind(signed(webhook.0))
            .bind(tenant_no)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.iter().map(exception).collect()
    }

    /// How positions stand over all webhooks. Dead outranks retrying, and that delivered.
    pub(super) async fn standings(
        &self,
        tenant_no: i64,
        positions: &[Position],
    ) -> Result<Vec<(Position, DeliveryState)>, StoreError> {
        const FIND: &str = "
            SELECT   wanted.position,
                     coalesce((SELECT max(e.state)
                               FROM   webhook_progress AS w
                               CROSS JOIN exceptions AS e
                                      ON e.webhook_no = w.webhook_no
                                         AND e.position = wanted.position
                               WHERE  w.tenant_no = ?2 AND +e.tenant_no = ?2),
                              (SELECT 2
                               FROM   webhook_progress AS w
                               CROSS JOIN attempts AS a
                                      ON a.webhook_no = w.webhook_no
                                         AND a.position = wanted.position
                               WHERE  w.tenant_no = ?2 AND a.tenant_no = ?2 AND a.state = 2
                               LIMIT  1)) AS state
            FROM     (SELECT DISTINCT value AS position FROM json_each(?1)) AS wanted
            ORDER BY wanted.position
            LIMIT    ?3";

        let list: Vec<u64> = positions.iter().map(|position| position.get()).collect();
        let list = serde_json::to_string(&list).map_err(|error| {
            StoreError::Corrupt(format!("could not be written as JSON: {error}"))
        })?;
        let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(FIND)
            .bind(list)
            .bind(tenant_no)
            .bind(i64::try_from(positions.len()).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.into_iter()
            .filter_map(|(at, number)| Some((at, number?)))
            .map(|(at, number)| Ok((position(at)?, state(number)?)))
            .collect()
    }

    /// Replays, newest first.
    pub(super) async fn replays(
        &self,
        tenant_no: i64,
        unfinished_only: bool,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        const FIND: &str = "
            SELECT   id, webhook_no, from_position, to_position, types, only_failed, cursor, total,
                     done, failed, state, created_at, updated_at
            FROM     replays
            WHERE    tenant_no = ?1 AND (?2 = 0 OR state = 0)
            ORDER BY created_at DESC, id DESC
            LIMIT    ?3";

        let rows = sqlx::query(FIND)
            .bind(tenant_no)
            .bind(i64::from(unfinished_only))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.iter().map(replay).collect()
    }
}

/// Reads a column.
pub(super) fn column<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(index).map_err(store_error)
}

/// Reads an HTTP status that may be missing.
pub(super) fn status(row: &SqliteRow, index: usize) -> Result<Option<u16>, StoreError> {
    let status: Option<i64> = column(row, index)?;
    status.map(narrow).transpose()
}

/// Reads an exception that was selected with [`exception_columns`].
pub(super) fn exception(row: &SqliteRow) -> Result<Exception, StoreError> {
    let last_error: Option<&str> = column(row, 6)?;
    Ok(Exception {
        webhook: WebhookNo(unsigned(column(row, 0)?)?),
        position: position(column(row, 1)?)?,
        state: state(column(row, 2)?)?,
        attempts: narrow(column(row, 3)?)?,
        at: Timestamp::from_micros(column(row, 4)?),
        last_status: status(row, 5)?,
        last_error: last_error.map(Box::from),
    })
}

/// Reads an attempt: position, attempt, at, duration, status, state, error, response.
pub(super) fn attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    let error: Option<&str> = column(row, 6)?;
    let response: Vec<u8> = column(row, 7)?;
    Ok(Attempt {
        position: position(column(row, 0)?)?,
        attempt: narrow(column(row, 1)?)?,
        at: Timestamp::from_micros(column(row, 2)?),
        duration: Duration::from_micros(unsigned(column(row, 3)?)?),
        status: status(row, 4)?,
        error: error.map(Box::from),
        response: response.into(),
        state: state(column(row, 5)?)?,
    })
}

fn progress(
    (webhook, cursor, has_work, breaker): (i64, i64, i64, String),
) -> Result<WebhookProgress, StoreError> {
    Ok(WebhookProgress {
        webhook: WebhookNo(unsigned(webhook)?),
        cursor: position(cursor)?,
        has_work: has_work != 0,
        breaker: from_json(&breaker)?,
    })
}

fn replay(row: &SqliteRow) -> Result<Replay, StoreError> {
    let only_failed: i64 = column(row, 5)?;
    Ok(Replay {
        id: ReplayId::from_uuid(uuid(column(row, 0)?)?),
        webhook: WebhookNo(unsigned(column(row, 1)?)?),
        from: position(column(row, 2)?)?,
        to: position(column(row, 3)?)?,
        types: from_json(column(row, 4)?)?,
        only_failed: only_failed != 0,
        cursor: position(column(row, 6)?)?,
        total: unsigned(column(row, 7)?)?,
        done: unsigned(column(row, 8)?)?,
        failed: unsigned(column(row, 9)?)?,
        state: replay_state(column(row, 10)?)?,
        created_at: Timestamp::from_micros(column(row, 11)?),
        updated_at: Timestamp::from_micros(column(row, 12)?),
    })
}

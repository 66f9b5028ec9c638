//! Reads how deliveries stand: progress of webhooks, exceptions, attempts, replays.
//!
//! Every key begins with the tenant, so that a webhook's number from elsewhere finds nothing.

use std::time::Duration;

use domain::{
    ids::{ReplayId, TenantId},
    position::Position,
    time::Timestamp,
};
use tokio_postgres::Row;

use super::{
    event_row::maybe_text,
    reader::{Reader, column},
};
use crate::{
    StoreError,
    log::{
        Attempt, DeliveryState, Exception, Replay, WebhookNo, WebhookProgress,
        stored::{from_json, narrow, position, replay_state, signed, state, unsigned},
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
        const FIND: &str = "SELECT dispatched FROM tenants WHERE no = $1";

        let Some(row) = self.row(FIND, &[&tenant_no]).await? else {
            return Ok(None);
        };
        let mark: Option<i64> = column(&row, 0)?;
        mark.map(position).transpose()
    }

    /// Tenants with a webhook that has work, or with events that have not been matched.
    pub(super) async fn tenants_with_work(&self) -> Result<Vec<TenantId>, StoreError> {
        const FIND: &str = "
            SELECT id
            FROM   tenants
            WHERE  head > coalesce(dispatched, 0)
            UNION
            SELECT t.id
            FROM   (SELECT DISTINCT tenant_no FROM webhook_progress WHERE has_work) AS busy
            JOIN   tenants AS t ON t.no = busy.tenant_no
            LIMIT  $1";

        let rows = self.rows(FIND, &[&i64::MAX]).await?;
        rows.iter()
            .map(|row| column(row, 0).map(TenantId::from_uuid))
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
            WHERE    tenant_no = $1
            ORDER BY webhook_no
            LIMIT    $2";

        let rows = self.rows(FIND, &[&tenant_no, &WEBHOOKS_MAX]).await?;
        rows.iter().map(progress).collect()
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
            WHERE  tenant_no = $1 AND webhook_no = $2";

        let row = self.row(FIND, &[&tenant_no, &signed(webhook.0)]).await?;
        row.as_ref().map(progress).transpose()
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
                      WHERE  tenant_no = $1 AND webhook_no = $2 AND position > $3
                             AND state IN (2, 3)
                      UNION
                      SELECT position FROM exceptions
                      WHERE  tenant_no = $1 AND webhook_no = $2 AND position > $3 AND state = 3
                      EXCEPT
                      SELECT position FROM exceptions
                      WHERE  tenant_no = $1 AND webhook_no = $2 AND position > $3 AND state = 1)
                     AS settled
            ORDER BY position
            LIMIT    $4";

        let (webhook, above) = (signed(webhook.0), signed(above.get()));
        let rows = self
            .rows(FIND, &[&tenant_no, &webhook, &above, &SETTLED_MAX])
            .await?;
        rows.iter().map(|row| position(column(row, 0)?)).collect()
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
             FROM     exceptions
             WHERE    tenant_no = $1 AND webhook_no = $2 AND state = 1
             ORDER BY at, position
             LIMIT    $3"
        );

        let rows = self
            .rows(FIND, &[&tenant_no, &signed(webhook.0), &i64::from(limit)])
            .await?;
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
                               JOIN   exceptions AS e
                                      ON e.tenant_no = $2 AND e.webhook_no = w.webhook_no
                                         AND e.position = wanted.position
                               WHERE  w.tenant_no = $2),
                              (SELECT 2::SMALLINT
                               FROM   webhook_progress AS w
                               JOIN   attempts AS a
                                      ON a.tenant_no = $2 AND a.webhook_no = w.webhook_no
                                         AND a.position = wanted.position
                               WHERE  w.tenant_no = $2 AND a.state = 2
                               LIMIT  1)) AS state
            FROM     (SELECT DISTINCT position FROM unnest($1::BIGINT[]) AS p (position)) AS wanted
            ORDER BY wanted.position
            LIMIT    $3";

        let list: Vec<i64> = positions
            .iter()
            .map(|position| signed(position.get()))
            .collect();
        let limit = i64::try_from(list.len()).unwrap_or(i64::MAX);
        let rows = self.rows(FIND, &[&list, &tenant_no, &limit]).await?;
        let mut standings = Vec::with_capacity(rows.len());
        for row in &rows {
            let number: Option<i16> = column(row, 1)?;
            if let Some(number) = number {
                standings.push((position(column(row, 0)?)?, state(number.into())?));
            }
        }
        Ok(standings)
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
            WHERE    tenant_no = $1 AND (NOT $2::BOOLEAN OR state = 0)
            ORDER BY created_at DESC, id DESC
            LIMIT    $3";

        let rows = self
            .rows(FIND, &[&tenant_no, &unfinished_only, &i64::from(limit)])
            .await?;
        rows.iter().map(replay).collect()
    }
}

/// Reads a state.
pub(super) fn state_of(row: &Row, index: usize) -> Result<DeliveryState, StoreError> {
    let number: i16 = column(row, index)?;
    state(number.into())
}

/// Reads an HTTP status that may be missing.
pub(super) fn status(row: &Row, index: usize) -> Result<Option<u16>, StoreError> {
    let status: Option<i32> = column(row, index)?;
    status.map(|status| narrow(status.into())).transpose()
}

/// Reads an exception that was selected with [`exception_columns`].
pub(super) fn exception(row: &Row) -> Result<Exception, StoreError> {
    Ok(Exception {
        webhook: WebhookNo(unsigned(column(row, 0)?)?),
        position: position(column(row, 1)?)?,
        state: state_of(row, 2)?,
        attempts: narrow(column(row, 3)?)?,
        at: Timestamp::from_micros(column(row, 4)?),
        last_status: status(row, 5)?,
        last_error: maybe_text(row, 6)?,
    })
}

/// Reads an attempt: position, attempt, at, duration, status, state, error, response.
pub(super) fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    let response: Vec<u8> = column(row, 7)?;
    Ok(Attempt {
        position: position(column(row, 0)?)?,
        attempt: narrow(column(row, 1)?)?,
        at: Timestamp::from_micros(column(row, 2)?),
        duration: Duration::from_micros(unsigned(column(row, 3)?)?),
        status: status(row, 4)?,
        error: maybe_text(row, 6)?,
        response: response.into(),
        state: state_of(row, 5)?,
    })
}

fn progress(row: &Row) -> Result<WebhookProgress, StoreError> {
    Ok(WebhookProgress {
        webhook: WebhookNo(unsigned(column(row, 0)?)?),
        cursor: position(column(row, 1)?)?,
        has_work: column(row, 2)?,
        breaker: from_json(column(row, 3)?)?,
    })
}

fn replay(row: &Row) -> Result<Replay, StoreError> {
    let state: i16 = column(row, 10)?;
    Ok(Replay {
        id: ReplayId::from_uuid(column(row, 0)?),
        webhook: WebhookNo(unsigned(column(row, 1)?)?),
        from: position(column(row, 2)?)?,
        to: position(column(row, 3)?)?,
        types: from_json(column(row, 4)?)?,
        only_failed: column(row, 5)?,
        cursor: position(column(row, 6)?)?,
        total: unsigned(column(row, 7)?)?,
        done: unsigned(column(row, 8)?)?,
        failed: unsigned(column(row, 9)?)?,
        state: replay_state(state.into())?,
        created_at: Timestamp::from_micros(column(row, 11)?),
        updated_at: Timestamp::from_micros(column(row, 12)?),
    })
}

//! Lists deliveries and dead letters for people: attempts grouped by event, joined with exceptions.
//!
//! Decides nothing about deliveries; what has no row here is either not matched or has not been tried.

use domain::{position::Position, time::Timestamp};
use sqlx::sqlite::SqliteRow;

use super::{
    delivery::{attempt, column, exception, exception_columns, status},
    failure::store_error,
    reader::Reader,
};
use crate::{
    StoreError,
    log::{
        Attempt, DeadLetterQuery, Delivery, DeliveryQuery, DeliveryState, Exception, WebhookNo,
        fold::state_no,
        stored::{narrow, position, signed, state, sum_up},
    },
};

/// Attempts of one delivery that are shown; a schedule has at most 20, and replays add to them.
const ATTEMPTS_MAX: i64 = 1_000;

impl Reader {
    /// One page of a webhook's deliveries, newest first.
    pub(super) async fn deliveries(
        &self,
        tenant_no: i64,
        query: &DeliveryQuery,
    ) -> Result<Vec<Delivery>, StoreError> {
        const EXCEPTIONS: &str = "
            SELECT   e.position, e.state, e.attempts,
                     (SELECT max(a.at) FROM attempts AS a
                      WHERE  a.webhook_no = e.webhook_no AND a.position = e.position
                             AND a.tenant_no = e.tenant_no),
                     e.last_status, e.at
            FROM     exceptions AS e
            WHERE    e.webhook_no = ?1 AND +e.tenant_no = ?2 AND e.position < ?3
                     AND (?4 IS NULL OR e.state = ?4)
            ORDER BY e.position DESC
            LIMIT    ?5";
        // The other columns are those of the row with the highest attempt: SQLite says so of a lone max().
        const ATTEMPTS: &str = "
            SELECT   a.position, a.state, max(a.attempt), a.at, a.status, NULL
            FROM     attempts AS a
            WHERE    a.webhook_no = ?1 AND a.tenant_no = ?2 AND a.position < ?3
                     AND NOT EXISTS (SELECT 1 FROM exceptions AS e
                                     WHERE  e.webhook_no = a.webhook_no
                                            AND e.position = a.position)
            GROUP BY a.position
            HAVING   ?4 IS NULL OR a.state = ?4
            ORDER BY a.position DESC
            LIMIT    ?5";

        let sources: &[&'static str] = match query.state {
            Some(DeliveryState::Retrying | DeliveryState::Dead) => &[EXCEPTIONS],
            Some(DeliveryState::Pending | DeliveryState::Delivered) => &[ATTEMPTS],
            None => &[EXCEPTIONS, ATTEMPTS],
        };
        let mut deliveries = Vec::new();
        for sql in sources {
            let rows = sqlx::query(*sql)
                .bind(signed(query.webhook.0))
                .bind(tenant_no)
                .bind(query.before.map_or(i64::MAX, |before| signed(before.get())))
                .bind(query.state.map(state_no))
                .bind(query.limit)
                .fetch_all(&self.pool)
                .await
                .map_err(store_error)?;
            for row in &rows {
                deliveries.push(delivery(query.webhook, row)?);
            }
        }
        deliveries.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.position));
        deliveries.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(deliveries)
    }

    /// One delivery with its attempts.
    pub(super) async fn delivery(
        &self,
        tenant_no: i64,
        webhook: WebhookNo,
        position: Position,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        const ATTEMPTS: &str = "
            SELECT   position, attempt, at, duration_us, status, state, error, response
            FROM     attempts
            WHERE    webhook_no = ?1 AND tenant_no = ?2 AND position = ?3
            ORDER BY attempt
            LIMIT    ?4";
        const EXCEPTION: &str = concat!(
            "SELECT ",
            exception_columns!(),
            "
             FROM   exceptions
             WHERE  webhook_no = ?1 AND tenant_no = ?2 AND position = ?3"
        );

        let rows = sqlx::query(ATTEMPTS)
            .bind(signed(webhook.0))
            .bind(tenant_no)
            .bind(signed(position.get()))
            .bind(ATTEMPTS_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let attempts: Vec<Attempt> = rows.iter().map(attempt).collect::<Result<_, _>>()?;
        let row = sqlx::query(EXCEPTION)
            .bind(signed(webhook.0))
            .bind(tenant_no)
            .bind(signed(position.get()))
            .fetch_optional(&self.pool)
            .await
            .map_err(store_error)?;
        let exception = row.as_ref().map(exception).transpose()?;
        Ok(sum_up(webhook, position, attempts.last(), exception).map(|sum| (sum, attempts)))
    }

    /// One page of dead letters, newest first.
    pub(super) async fn dead_letters(
        &self,
        tenant_no: i64,
        query: &DeadLetterQuery,
    ) -> Result<Vec<Exception>, StoreError> {
        const OF_TENANT: &str = concat!(
            "SELECT   ",
            exception_columns!(),
            "
             FROM     exceptions INDEXED BY exceptions_dead
             WHERE    tenant_no = ?1 AND state = 3 AND position BETWEEN ?2 AND ?3
                      AND (position < ?4 OR webhook_no < ?5) AND ?6 IS NULL
             ORDER BY position DESC, webhook_no DESC
             LIMIT    ?7"
        );
        const OF_WEBHOOK: &str = concat!(
            "SELECT   ",
            exception_columns!(),
            "
             FROM     exceptions
             WHERE    +tenant_no = ?1 AND state = 3 AND position BETWEEN ?2 AND ?3
                      AND (position < ?4 OR webhook_no < ?5) AND webhook_no = ?6
             ORDER BY position DESC
             LIMIT    ?7"
        );

        let (after, after_webhook) = query.after.map_or((i64::MAX, i64::MAX), |(at, webhook)| {
            (signed(at.get()), signed(webhook.0))
        });
        let to = query.to.map_or(i64::MAX, |to| signed(to.get()));
        let sql = if query.webhook.is_some() {
            OF_WEBHOOK
        } else {
            OF_TENANT
        };
        let rows = sqlx::query(sql)
            .bind(tenant_no)
            .bind(query.from.map_or(0, |from| signed(from.get())))
            .bind(to.min(after))
            .bind(after)
            .bind(after_webhook)
            .bind(query.webhook.map(|webhook| signed(webhook.0)))
            .bind(query.limit)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        rows.iter().map(exception).collect()
    }
}

/// Reads a listed delivery: position, state, attempts, last attempt's time and status, time of the exception.
fn delivery(webhook: WebhookNo, row: &SqliteRow) -> Result<Delivery, StoreError> {
    let state = state(column(row, 1)?)?;
    let last_at: Option<i64> = column(row, 3)?;
    let exception_at: Option<i64> = column(row, 5)?;
    let due_at = exception_at.filter(|_| state == DeliveryState::Retrying);
    Ok(Delivery {
        webhook,
        position: position(column(row, 0)?)?,
        state,
        attempts: narrow(column(row, 2)?)?,
        last_at: Timestamp::from_micros(last_at.or(exception_at).unwrap_or_default()),
        last_status: status(row, 4)?,
        next_at: due_at.map(Timestamp::from_micros),
    })
}

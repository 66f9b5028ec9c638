//! Idempotency of requests that write no event: the first one with a key does its work, the others get its answer.
//!
//! Requests that write events keep their answers beside the events, in the region's log, where both become durable
//! together. Hashes, sealed bodies and lifetimes come from the caller.

use domain::{ids::TenantId, time::Timestamp};
use sqlx::any::AnyRow;

use super::{
    Control,
    columns::{maybe_number, maybe_text, text},
    failure::{Failed, Outcome as _},
};
use crate::StoreError;

/// A request's claim to do its work alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Over the API key's id and the `Idempotency-Key`.
    pub key_hash: [u8; 32],
    /// Over method, path and body: another request with the same key differs here.
    pub request_hash: [u8; 32],
    /// Names the run of the process that works on it: where several nodes share the control plane, its session. A
    /// reservation of another run, which is no session that lives, is one whose process is gone.
    pub boot: String,
    /// When the key is free again.
    pub expires_at: Timestamp,
}

/// The answer that is kept for an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The answer's body, sealed by the caller: it may show a secret.
    pub body: String,
}

/// What a reservation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// It is this request's: do the work, then complete or release it.
    New,
    /// The same request is being worked on.
    InFlight,
    /// The same request was answered.
    Answered(Answer),
    /// The key was used for another request.
    Mismatch,
}

/// Reservations deleted by one sweep.
const SWEPT_AT_ONCE: i64 = 1_000;

/// Takes a key that is free: unknown, expired, or left behind by a process that died over the same request.
const TAKE: &str = "
    INSERT INTO reservations (tenant, key_hash, request_hash, boot, expires_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant, key_hash) DO UPDATE
    SET    request_hash = excluded.request_hash,
           boot = excluded.boot,
           status = NULL,
           body = NULL,
           expires_at = excluded.expires_at
    WHERE  reservations.expires_at <= $6
    OR     (reservations.status IS NULL
            AND reservations.boot <> excluded.boot
            AND reservations.request_hash = excluded.request_hash
            AND NOT EXISTS (SELECT 1
                            FROM   node_sessions
                            WHERE  node_sessions.id = reservations.boot
                            AND    node_sessions.expires_at > (SELECT now FROM database_clock)))
    RETURNING key_hash";

const HOLDER: &str = "
    SELECT request_hash, status, body
    FROM   reservations
    WHERE  tenant = $1
    AND    key_hash = $2";

const COMPLETE: &str = "
    UPDATE reservations
    SET    status = $5,
           body = $6
    WHERE  tenant = $1
    AND    key_hash = $2
    AND    request_hash = $3
    AND    boot = $4
    AND    status IS NULL";

const RELEASE: &str = "
    DELETE FROM reservations
    WHERE  tenant = $1
    AND    key_hash = $2
    AND    request_hash = $3
    AND    boot = $4
    AND    status IS NULL";

const SWEEP: &str = "
    DELETE FROM reservations
    WHERE  (tenant, key_hash) IN (SELECT tenant, key_hash
                                  FROM   reservations
                                  WHERE  expires_at <= $1
                                  ORDER BY expires_at
                                  LIMIT  $2)";

impl Control {
    /// Claims an idempotency key for a request. Of many that come at once, exactly one gets [`Reserve::New`].
    pub async fn reserve(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
        now: Timestamp,
    ) -> Result<Reserve, StoreError> {
        self.database
            .again(|| self.try_to_reserve(tenant, reservation, now))
            .await
    }

    async fn try_to_reserve(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
        now: Timestamp,
    ) -> Result<Reserve, Failed> {
        // In one transaction: a conflict keeps the row as it is until it has been read.
        let mut transaction = self.database.begin().await?;
        let taken = sqlx::query(TAKE)
            .bind(tenant.to_string())
            .bind(hex::encode(reservation.key_hash))
            .bind(hex::encode(reservation.request_hash))
            .bind(reservation.boot.as_str())
            .bind(reservation.expires_at.micros())
            .bind(now.micros())
            .fetch_optional(&mut *transaction)
            .await
            .or_dangling("tenant")?;
        let outcome = match taken {
            Some(_) => Reserve::New,
            None => {
                let holder = sqlx::query(HOLDER)
                    .bind(tenant.to_string())
                    .bind(hex::encode(reservation.key_hash))
                    .fetch_one(&mut *transaction)
                    .await
                    .or_collide()?;
                held(&holder, reservation)?
            }
        };
        transaction.commit().await.or_collide()?;
        Ok(outcome)
    }

    /// Keeps the answer for whoever asks again. `false` if the reservation is not this request's any more.
    pub async fn complete(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
        answer: &Answer,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(COMPLETE)
            .bind(tenant.to_string())
            .bind(hex::encode(reservation.key_hash))
            .bind(hex::encode(reservation.request_hash))
            .bind(reservation.boot.as_str())
            .bind(i64::from(answer.status))
            .bind(answer.body.as_str())
            .execute(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives the key back, because the work was not done: whoever asks again does it. An answer that is kept stays.
    pub async fn release_reservation(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
    ) -> Result<(), StoreError> {
        sqlx::query(RELEASE)
            .bind(tenant.to_string())
            .bind(hex::encode(reservation.key_hash))
            .bind(hex::encode(reservation.request_hash))
            .bind(reservation.boot.as_str())
            .execute(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        Ok(())
    }

    /// Deletes reservations that have expired, of all tenants, and answers how many went. For the engine's own upkeep;
    /// bounded work a call.
    pub async fn sweep_reservations(&self, now: Timestamp) -> Result<u64, StoreError> {
        // Two nodes that sweep at once may meet the same rows in different orders.
        self.database
            .again(|| async {
                let done = sqlx::query(SWEEP)
                    .bind(now.micros())
                    .bind(SWEPT_AT_ONCE)
                    .execute(&mut self.database.writer().await?)
                    .await
                    .or_collide()?;
                Ok(done.rows_affected())
            })
            .await
    }
}

/// What a key that somebody holds means for a request.
fn held(holder: &AnyRow, reservation: &Reservation) -> Result<Reserve, StoreError> {
    if text(holder, "request_hash")? != hex::encode(reservation.request_hash) {
        return Ok(Reserve::Mismatch);
    }
    let status = maybe_number(holder, "status")?;
    let body = maybe_text(holder, "body")?;
    Ok(match status.zip(body) {
        Some((status, body)) => Reserve::Answered(Answer { status, body }),
        None => Reserve::InFlight,
    })
}

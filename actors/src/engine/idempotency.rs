//! Answers to repeated requests, for everything but events (whose answers are kept with them, see [`crate::tenant`]).

use domain::{idempotency::ANSWERS_KEPT_FOR, ids::TenantId};
use store::control::{Answer, Reservation, Reserve};

use super::{Engine, EngineError};
use crate::placement::NotHeld;

/// What a request with an idempotency key is to do.
#[derive(Debug)]
pub enum Begun {
    /// Its work; then [`Engine::remember_answer`] or [`Engine::forget_request`].
    Work(Reservation),
    /// Nothing: it was answered before, with this status and body.
    Replay(u16, Vec<u8>),
}

impl Engine {
    /// Takes the key for this request. `key_hash` covers the caller's API key, `request_hash` method, path and body.
    pub async fn begin_request(
        &self,
        tenant: TenantId,
        key_hash: [u8; 32],
        request_hash: [u8; 32],
    ) -> Result<Begun, EngineError> {
        let now = self.inner.clock.now();
        let reservation = Reservation {
            key_hash,
            request_hash,
            boot: self.boot()?,
            expires_at: now.plus(ANSWERS_KEPT_FOR),
        };
        match self
            .inner
            .control
            .reserve(tenant, &reservation, now)
            .await?
        {
            Reserve::New => Ok(Begun::Work(reservation)),
            Reserve::InFlight => Err(EngineError::IdempotencyInFlight),
            Reserve::Mismatch => Err(EngineError::IdempotencyMismatch),
            Reserve::Answered(answer) => {
                let body = self.inner.secrets.open_answer(tenant, &answer.body).await?;
                Ok(Begun::Replay(answer.status, body))
            }
        }
    }

    /// Names who works on a request: when that one is no more, its reservations are free. Among several nodes that is the
    /// session, of which the control plane knows whether it lives.
    fn boot(&self) -> Result<String, EngineError> {
        if !self.inner.placement.is_shared() {
            return Ok(self.inner.boot.clone());
        }
        let session = *self.inner.placement.session().borrow();
        Ok(session.ok_or(NotHeld::NoSession)?.to_string())
    }

    /// Keeps the answer for repetitions, sealed.
    pub async fn remember_answer(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
        status: u16,
        body: &[u8],
    ) -> Result<(), EngineError> {
        let body = self.inner.secrets.seal_answer(tenant, body).await?;
        let answer = Answer { status, body };
        self.inner
            .control
            .complete(tenant, reservation, &answer)
            .await?;
        Ok(())
    }

    /// Frees the key: the request failed, and a repetition may try again.
    pub async fn forget_request(
        &self,
        tenant: TenantId,
        reservation: &Reservation,
    ) -> Result<(), EngineError> {
        Ok(self
            .inner
            .control
            .release_reservation(tenant, reservation)
            .await?)
    }
}

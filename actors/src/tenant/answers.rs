//! Idempotency keys of ingests: taken while a request is worked on, answered anew when it comes again.
//!
//! The answer itself is stored with the events, in the same transaction.

use actix::prelude::*;
use store::log::IdempotentAnswer;

use super::{IdempotentRequest, Ingest, IngestError, Ingested, Stage, TenantActor};

impl TenantActor {
    /// Asks the store whether the request was answered before. Its key is reserved, so no second request overtakes it.
    pub(super) fn look_for_answer(&mut self, message: Ingest, ctx: &mut Context<Self>) {
        let (Some(ready), Some(idempotent)) = (self.ready(), &message.idempotent) else {
            return;
        };
        let (key, region) = (idempotent.key_hash, ready.region);
        let (tenant, now) = (self.tenant, self.shared.clock.now());
        let log = self.shared.logs.get(region);
        let look = async move { log.idempotent_answer(tenant, key, now).await };
        ctx.spawn(
            look.into_actor(self)
                .map(move |found, actor, ctx| match found {
                    Ok(None) => actor.admit(message, ctx),
                    Ok(Some(answer)) => {
                        actor.forget_key(key);
                        message.reply.send(replay(&message.idempotent, answer));
                    }
                    Err(error) => {
                        actor.forget_key(key);
                        message.reply.send(Err(error.into()));
                    }
                }),
        );
    }

    pub(super) fn release_key(&mut self, message: &Ingest) {
        if let Some(idempotent) = &message.idempotent {
            self.forget_key(idempotent.key_hash);
        }
    }

    pub(super) fn forget_key(&mut self, key: [u8; 32]) {
        if let Stage::Ready(ready) = &mut self.stage {
            ready.answers_in_flight.remove(&key);
        }
    }
}

fn replay(
    request: &Option<IdempotentRequest>,
    answer: IdempotentAnswer,
) -> Result<Ingested, IngestError> {
    match request {
        Some(request) if request.request_hash == answer.request_hash => {
            Ok(Ingested::Replayed(answer))
        }
        Some(_) | None => Err(IngestError::IdempotencyMismatch),
    }
}

//! `test.ping`: sent now, signed like a delivery, and answered with what came back. Not a delivery, and in no log.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    event::{Event, EventType, Fields, Hash, Seed},
    ids::{EventId, TenantId, WebhookId, WorkspaceId},
    position::{Position, Seq},
};
use uuid::Uuid;

use super::{Engine, EngineError};
use crate::webhook::request::{Letter, Recipe};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOutcome {
    /// The id that was sent.
    pub event: EventId,
    /// HTTP status, if an answer came.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// Why no answer came, in words.
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub response: Bytes,
}

impl PingOutcome {
    /// Whether it would have counted as delivered.
    pub fn is_delivered(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

impl Engine {
    /// Sends `test.ping` to a webhook, whatever its state.
    pub async fn test_webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<PingOutcome, EngineError> {
        let webhook = self.open_webhook(tenant, confined_to, id).await?;
        let at = self.inner.clock.now();
        let payload = format!(r#"{{"webhook":"{id}","message":"This is a test."}}"#);
        let event = Event {
            position: Position::ZERO,
            seq: Seq::ZERO,
            id: EventId::from_uuid(self.fresh_uuid()),
            workspace: webhook
                .workspace
                .unwrap_or(WorkspaceId::from_uuid(Uuid::nil())),
            received_at: at,
            kind: EventType::new("test.ping").expect("two segments"),
            fields: Fields::default(),
            payload: payload.into(),
            seed: Seed([0; 32]),
            prev_hash: Hash::default(),
            hash: Hash::default(),
        };
        let mut body = Vec::new();
        event.write_webhook_body(&mut body);
        let letter = Letter {
            event: &event,
            body: body.into(),
            attempt: 1,
            at,
        };
        let outcome = Recipe::new(&webhook).send(&self.inner.client, letter).await;
        let (status, error, response) = match outcome.result {
            Ok(answer) => (Some(answer.status), None, answer.body),
            Err(error) => (None, Some(error.to_string()), Bytes::new()),
        };
        Ok(PingOutcome {
            event: event.id,
            status,
            duration: outcome.duration,
            error,
            response,
        })
    }
}

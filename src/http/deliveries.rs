//! Deliveries: what was sent to a webhook, how often, and what came back.

use actix_web::http::StatusCode;
use actors::engine::DeliveryView;
use domain::{
    event::EventType,
    ids::{DeliveryId, EventId, WebhookId},
    permission::Permission,
    position::Position,
    time::Timestamp,
};
use serde::Serialize;
use store::log::{Attempt, DeliveryState};
use url::form_urlencoded;

use super::{
    call::{Answer, Call},
    envelope::{self, ListBody},
    health::milliseconds,
    listing,
    problem::{Code, Problem},
};

const LIST: &str = "deliveries";

#[derive(Serialize)]
struct ShownDelivery<'a> {
    id: DeliveryId,
    webhook_id: WebhookId,
    event_id: Option<EventId>,
    event_type: Option<&'a EventType>,
    position: Position,
    state: &'static str,
    attempt_count: u32,
    last_attempt_at: Timestamp,
    last_status: Option<u16>,
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<ShownAttempt<'a>>>,
}

#[derive(Serialize)]
struct ShownAttempt<'a> {
    attempt: u32,
    at: Timestamp,
    duration_ms: f64,
    status: Option<u16>,
    error: Option<&'a str>,
    response: String,
    state: &'static str,
}

/// `GET /v1/webhooks/{id}/deliveries`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let page = call.page()?;
    let state = state_wanted(call.request().query_string())?;
    let before = page.after_as::<u64>(LIST)?.map(Position::new);
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let webhook: WebhookId = call.named("id", "webhook")?;
    let query = (before, state, listing::wanted(&page));
    let views = call
        .engine()
        .deliveries(tenant, workspace, webhook, query)
        .await?;
    let push = |list: &mut ListBody, view: &DeliveryView| {
        list.push(&shown(view, None))?;
        Ok(view.delivery.position.get())
    };
    listing::answer(call.request(), &page, LIST, &views, push)
}

/// `GET /v1/deliveries/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let id = call.named("id", "delivery")?;
    let (view, attempts) = call.engine().delivery(tenant, workspace, id).await?;
    envelope::one(StatusCode::OK, &shown(&view, Some(&attempts)))
}

fn shown<'a>(view: &'a DeliveryView, attempts: Option<&'a [Attempt]>) -> ShownDelivery<'a> {
    let delivery = &view.delivery;
    ShownDelivery {
        id: view.id,
        webhook_id: view.webhook,
        event_id: view.event.as_ref().map(|(id, _)| *id),
        event_type: view.event.as_ref().map(|(_, kind)| kind),
        position: delivery.position,
        state: state_name(delivery.state),
        attempt_count: delivery.attempts,
        last_attempt_at: delivery.last_at,
        last_status: delivery.last_status,
        next_attempt_at: delivery.next_at,
        attempts: attempts.map(|attempts| attempts.iter().map(shown_attempt).collect()),
    }
}

fn shown_attempt(attempt: &Attempt) -> ShownAttempt<'_> {
    ShownAttempt {
        attempt: attempt.attempt,
        at: attempt.at,
        duration_ms: milliseconds(attempt.duration),
        status: attempt.status,
        error: attempt.error.as_deref(),
        response: String::from_utf8_lossy(&attempt.response).into_owned(),
        state: state_name(attempt.state),
    }
}

/// The state as clients see it.
fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Retrying => "retrying",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead_letter",
    }
}

fn state_wanted(query: &str) -> Result<Option<DeliveryState>, Problem> {
    let mut wanted = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("state", "pending") => wanted = Some(DeliveryState::Pending),
            ("state", "retrying") => wanted = Some(DeliveryState::Retrying),
            ("state", "delivered") => wanted = Some(DeliveryState::Delivered),
            ("state", "dead_letter") => wanted = Some(DeliveryState::Dead),
            ("limit" | "cursor", _) => {}
            ("state", _) => {
                let detail = "state: expected pending, retrying, delivered or dead_letter";
                return Err(Problem::new(Code::BadRequest, detail));
            }
            (other, _) => {
                let detail = format!(
                    "`{other}` is no parameter of this list: expected state, limit or cursor"
                );
                return Err(Problem::new(Code::BadRequest, detail));
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_narrowed_to_a_state_by_its_name() {
        for state in [
            DeliveryState::Pending,
            DeliveryState::Retrying,
            DeliveryState::Delivered,
            DeliveryState::Dead,
        ] {
            let query = format!("limit=5&state={}", state_name(state));
            assert_eq!(state_wanted(&query).unwrap(), Some(state));
        }
        assert_eq!(state_wanted("").unwrap(), None);
        for query in ["state=", "state=dead", "status=delivered"] {
            assert_eq!(
                state_wanted(query).unwrap_err().code(),
                Code::BadRequest,
                "{query}"
            );
        }
    }
}

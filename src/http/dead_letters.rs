//! `/v1/dead-letters`: deliveries that will not be tried again by themselves.

use std::{fmt, str::FromStr};

use actix_web::{HttpResponse, http::StatusCode};
use actors::engine::{DeadLetter, DeadLetterFilter};
use bytes::Bytes;
use domain::{
    event::EventType,
    ids::{DeliveryId, EventId, WebhookId},
    permission::Permission,
    position::Position,
    time::Timestamp,
};
use serde::Serialize;
use serde_json::json;
use store::log::WebhookNo;
use url::form_urlencoded;

use super::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    idempotency::IdempotencyKey,
    listing,
    members::Members,
    problem::{Code, Problem},
    webhooks,
};

const LIST: &str = "dead-letters";

#[derive(Serialize)]
struct ShownDeadLetter<'a> {
    id: DeliveryId,
    webhook_id: WebhookId,
    event_id: Option<EventId>,
    event_type: Option<&'a EventType>,
    position: Position,
    attempt_count: u32,
    died_at: Timestamp,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
}

/// Where the list goes on: after this position and webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(Position, WebhookNo);

/// `GET /v1/dead-letters`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let page = call.page()?;
    let after = page.after_as::<Place>(LIST)?;
    let filter = DeadLetterFilter {
        webhook: webhook_wanted(call.request().query_string())?,
        from: None,
        to: None,
        after: after.map(|Place(position, webhook)| (position, webhook)),
    };
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let wanted = listing::wanted(&page);
    let letters = call
        .engine()
        .dead_letters(tenant, workspace, filter, wanted)
        .await?;
    let push = |list: &mut ListBody, dead: &DeadLetter| {
        list.push(&shown(dead))?;
        Ok(Place(dead.letter.position, dead.letter.webhook))
    };
    listing::answer(call.request(), &page, LIST, &letters, push)
}

/// `GET /v1/dead-letters/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let dead = call
        .engine()
        .dead_letter(tenant, workspace, id(&call)?)
        .await?;
    envelope::one(StatusCode::OK, &shown(&dead))
}

/// `DELETE /v1/dead-letters/{id}`
pub(crate) async fn delete(call: Call) -> Answer {
    call.require(Permission::WebhooksManage)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let id = id(&call)?;
    call.engine()
        .delete_dead_letter(tenant, workspace, id)
        .await?;
    call.audit("dead_letter.deleted", "delivery", id, json!({}))
        .await;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/dead-letters/{id}/replay`
pub(crate) async fn replay(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    Members::parse(&body.0, &[])?.end()?;
    let work = async {
        let (tenant, workspace) = (call.tenant(), call.caller().workspace());
        let id = id(&call)?;
        call.engine()
            .replay_dead_letter(tenant, workspace, id)
            .await?;
        call.audit("dead_letter.replayed", "delivery", id, json!({}))
            .await;
        envelope::one(StatusCode::ACCEPTED, &json!({"replayed": 1}))
    };
    call.once(&key, &body.0, work).await
}

/// `POST /v1/dead-letters/replay`
pub(crate) async fn replay_many(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    call.once(&key, &body.0, replay_all(&call, &body.0)).await
}

async fn replay_all(call: &Call, body: &Bytes) -> Answer {
    let mut members = Members::parse(body, &["webhook", "from", "to"])?;
    let webhook = members.parsed::<WebhookId>("webhook").value();
    let (from, to) = webhooks::range(&mut members);
    members.end()?;
    let filter = DeadLetterFilter {
        webhook,
        from,
        to,
        after: None,
    };
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let count = call
        .engine()
        .replay_dead_letters(tenant, workspace, filter)
        .await?;
    let whose = webhook.map_or_else(|| "all".to_owned(), |webhook| webhook.to_string());
    call.audit(
        "dead_letters.replayed",
        "webhook",
        whose,
        json!({"count": count}),
    )
    .await;
    envelope::one(StatusCode::ACCEPTED, &json!({"replayed": count}))
}

fn id(call: &Call) -> Result<DeliveryId, Problem> {
    call.named("id", "dead letter")
}

fn webhook_wanted(query: &str) -> Result<Option<WebhookId>, Problem> {
    let mut wanted = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            // What cannot be an id names nothing.
            "webhook" => {
                let id = value
                    .parse()
                    .map_err(|_no_id| Problem::not_found("webhook"))?;
                wanted = Some(id);
            }
            "limit" | "cursor" => {}
            other => {
                let detail = format!(
                    "`{other}` is no parameter of this list: expected webhook, limit or cursor"
                );
                return Err(Problem::new(Code::BadRequest, detail));
            }
        }
    }
    Ok(wanted)
}

fn shown(dead: &DeadLetter) -> ShownDeadLetter<'_> {
    let letter = &dead.letter;
    ShownDeadLetter {
        id: dead.id,
        webhook_id: dead.webhook,
        event_id: dead.event.as_ref().map(|(id, _)| *id),
        event_type: dead.event.as_ref().map(|(_, kind)| kind),
        position: letter.position,
        attempt_count: letter.attempts,
        died_at: letter.at,
        last_status: letter.last_status,
        last_error: letter.last_error.as_deref(),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place(position, WebhookNo(no)) = self;
        write!(f, "{}.{no}", position.get())
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let (position, no) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        Ok(Place(
            Position::new(number(position)?),
            WebhookNo(number(no)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_what_it_shows() {
        let place = Place(Position::new(7), WebhookNo(3));
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "7", "7.", ".3", "x.3"] {
            assert_eq!(bad.parse::<Place>(), Err(()), "{bad}");
        }
    }
}

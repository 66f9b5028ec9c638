//! Pull: what comes next for a consumer, acknowledging it, going elsewhere.

use std::time::Duration;

use actix_web::{http::StatusCode, web};
use actors::{engine::InboxQuery, tenant::Acknowledgement};
use domain::{ids::EventId, permission::Permission, position::Position};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::log::{ConsumerName, DeliveryState};

use super::{
    auth::Authorized,
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    events::see,
    idempotency::IdempotencyKey,
    members::{Given, Members},
    problem::{Code, Problem},
};
use crate::shutdown::Stopping;

const WAIT_MAX_SECONDS: u64 = 30;
const LIMIT_MAX: u32 = 500;
const LIMIT_BY_DEFAULT: u32 = 100;
const NAME_LENGTH_MAX: usize = 100;
/// The consumer that nobody named.
const NAME_BY_DEFAULT: &str = "default";
/// What a store can number.
const POSITION_MAX: u64 = i64::MAX.unsigned_abs();
/// What `GET /api/inbox` may skip, since it is skipped by reading.
const OFFSET_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboxParameters {
    consumer: Option<String>,
    limit: Option<u32>,
    wait: Option<u64>,
    status: Option<String>,
    offset: Option<u32>,
}

/// Answers the events after the consumer's cursor; waits for some if there are none.
pub(crate) async fn read(
    call: Call,
    parameters: web::Query<InboxParameters>,
    stopping: web::Data<Stopping>,
) -> Answer {
    call.require(Permission::EventsRead)?;
    let parameters = parameters.into_inner();
    let bad = |detail: String| Problem::new(Code::BadRequest, detail);
    let limit = parameters.limit.unwrap_or(LIMIT_BY_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("limit: expected 1 to {LIMIT_MAX}")));
    }
    let wait = parameters.wait.unwrap_or(0);
    if wait > WAIT_MAX_SECONDS {
        return Err(bad(format!(
            "wait: expected at most {WAIT_MAX_SECONDS} seconds"
        )));
    }
    let offset = parameters.offset.unwrap_or(0);
    if offset > OFFSET_MAX {
        return Err(bad(format!(
            "offset: expected at most {OFFSET_MAX}; use a consumer to go further"
        )));
    }
    let (engine, tenant) = (call.engine(), call.tenant());
    let mut query = InboxQuery {
        name: consumer_name(call.caller(), parameters.consumer)?,
        limit: limit + offset,
        wait: Duration::from_secs(wait),
        status: parameters.status.as_deref().map(status).transpose()?,
    };
    let mut stopping = Stopping::clone(&stopping);
    let found = tokio::select! {
        found = engine.inbox(tenant, &query) => Some(found?),
        () = stopping.begun() => None,
    };
    let found = match found {
        Some(found) => found,
        None => {
            query.wait = Duration::ZERO;
            engine.inbox(tenant, &query).await?
        }
    };
    let mut list = ListBody::new();
    for event in found.events.iter().skip(offset as usize) {
        list.push_with(|out| event.write_json(found.region, out));
    }
    let mut meta = Map::new();
    meta.insert("consumer".into(), json!(query.name.name));
    meta.insert("cursor".into(), json!(found.cursor));
    Ok(list.finish(call.request(), None, meta))
}

#[derive(Deserialize)]
pub(crate) struct ConsumerParameter {
    consumer: Option<String>,
}

/// Acknowledges one event.
pub(crate) async fn acknowledge_one(
    call: Call,
    key: IdempotencyKey,
    parameters: web::Query<ConsumerParameter>,
    body: RawBody,
) -> Answer {
    call.require(Permission::EventsAck)?;
    let id: EventId = call.named("id", "event")?;
    let name = consumer_name(call.caller(), parameters.into_inner().consumer)?;
    let work = async {
        let (event, _) = call.engine().event(call.tenant(), id).await?;
        see(&call, event.workspace)?;
        acknowledge(&call, &name, Acknowledgement::One(event.position)).await
    };
    call.once(&key, &body.0, work).await
}

/// Acknowledges everything up to a position.
pub(crate) async fn acknowledge_range(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::EventsAck)?;
    let mut members = Members::parse(&body.0, &["consumer", "up_to"])?;
    let name = named_consumer(call.caller(), &mut members);
    let up_to = members.number("up_to", 0..=POSITION_MAX).or(0);
    members.missing("up_to");
    members.end()?;
    let work = acknowledge(&call, &name, Acknowledgement::UpTo(Position::new(up_to)));
    call.once(&key, &body.0, work).await
}

/// Goes to a position (that event comes next) or to a time.
pub(crate) async fn seek(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::EventsAck)?;
    let mut members = Members::parse(&body.0, &["consumer", "position", "time"])?;
    let name = named_consumer(call.caller(), &mut members);
    let position = members.number("position", 0..=POSITION_MAX).value();
    let time = members.time("time").value();
    members.end()?;
    let work = async {
        let place = match (position, time) {
            (Some(position), None) => Position::new(position).prev(),
            (None, Some(time)) => call.engine().position_before(call.tenant(), time).await?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(Problem::invalid_field(
                    "",
                    "expected either position or time",
                ));
            }
        };
        acknowledge(&call, &name, Acknowledgement::Seek(place)).await
    };
    call.once(&key, &body.0, work).await
}

/// Moves a consumer and says where it stands then.
async fn acknowledge(call: &Call, name: &ConsumerName, what: Acknowledgement) -> Answer {
    let standing = call
        .engine()
        .acknowledge(call.tenant(), name.clone(), what)
        .await?;
    let body = json!({
        "consumer": name.name,
        "cursor": standing.cursor,
        "acknowledged_beyond": standing.acked.len(),
    });
    envelope::one(StatusCode::OK, &body)
}

/// The consumer that a query names.
fn consumer_name(caller: &Authorized, name: Option<String>) -> Result<ConsumerName, Problem> {
    let name = name.unwrap_or_else(|| NAME_BY_DEFAULT.into());
    let wrong = |expected| Problem::new(Code::BadRequest, format!("consumer: {expected}"));
    let name = sane_name(&name).map_err(wrong)?;
    Ok(own_consumer(caller, name))
}

/// The consumer that a body names.
fn named_consumer(caller: &Authorized, members: &mut Members) -> ConsumerName {
    let read = |value: &Value| sane_name(value.as_str().unwrap_or_default());
    let name = match members.take("consumer", read) {
        Given::Value(name) => name,
        Given::Absent | Given::Null => NAME_BY_DEFAULT.into(),
    };
    own_consumer(caller, name)
}

fn own_consumer(caller: &Authorized, name: Box<str>) -> ConsumerName {
    ConsumerName {
        workspace: caller.workspace(),
        name,
    }
}

/// A name that a consumer may have; what was expected otherwise.
fn sane_name(name: &str) -> Result<Box<str>, String> {
    let is_sane = (1..=NAME_LENGTH_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte));
    if is_sane {
        Ok(name.into())
    } else {
        Err(format!(
            "expected 1 to {NAME_LENGTH_MAX} of A-Z a-z 0-9 _ - . :"
        ))
    }
}

fn status(text: &str) -> Result<DeliveryState, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "pending" => Ok(DeliveryState::Pending),
        "delivered" => Ok(DeliveryState::Delivered),
        "failed" => Ok(DeliveryState::Retrying),
        "dead_letter" => Ok(DeliveryState::Dead),
        _ => {
            let detail = "status: expected pending, delivered, failed or dead_letter";
            Err(Problem::new(Code::BadRequest, detail))
        }
    }
}

//! `/v1/devices/{id}/messages`: one is sent through the device, and those that came and went are listed as they stand.
//!
//! The log keeps every step of a message as an event; this list joins them, so that a message is one item however often it
//! was edited, received or read.

use actix_web::http::StatusCode;
use actors::engine::{DeviceMessage, SentMessage, UnsentMessage};
use bytes::Bytes;
use domain::{
    device::{MessageKey, MessageState},
    permission::Permission,
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Map, json};
use store::{
    control::Device,
    log::{Direction, MessageQuery},
};
use uuid::Uuid;

use super::{
    commands::{self, Deed},
    find, input,
    outgoing::Outgoing,
    shown_message::{ShownId, ShownMessage},
};
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    event_query,
    idempotency::IdempotencyKey,
    page,
    problem::{Code, Problem},
};

/// The most bytes of a message that is to be sent; what is larger is sent by its address.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

const LIST: &str = "messages";
/// Messages looked at for one page. A page may hold fewer than asked for, and still have a next one.
const SCAN_MAX: u32 = 10_000;

#[derive(Serialize)]
struct ShownSent<'a> {
    id: ShownId,
    device: domain::ids::DeviceId,
    to: &'a str,
    state: MessageState,
    key: Option<&'a MessageKey>,
}

/// `POST /v1/devices/{id}/messages`
pub(crate) async fn send(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesSend)?;
    call.once(&key, &body.0, deliver(&call, &body.0)).await
}

async fn deliver(call: &Call, body: &Bytes) -> Answer {
    let device = find(call).await?;
    let Outgoing { to, args, contents } = Outgoing::parse(body, &device)?;
    let within = commands::within(call)?;
    let outcome = call
        .engine()
        .send_message(call.tenant(), device.id, to.clone(), args, within)
        .await;
    let id = match &outcome {
        Ok(sent) => Some(sent.id),
        Err(unsent) => unsent.id,
    };
    // What is not even on record was never told to anybody.
    if let Some(id) = id {
        let deed = Deed {
            action: "message.sent",
            meta: json!({ "message": ShownId::Sent(id), "contents": contents }),
        };
        let failed = outcome.as_ref().err().map(|unsent| &unsent.error);
        commands::note(call, device.id, deed, failed).await;
    }
    let SentMessage { id, key } = outcome?;
    let shown = ShownSent {
        id: ShownId::Sent(id),
        device: device.id,
        to: &to,
        state: MessageState::Sent,
        key: key.as_ref(),
    };
    envelope::one(StatusCode::ACCEPTED, &shown)
}

/// `GET /v1/devices/{id}/messages`: the newest first.
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::EventsRead)?;
    let device = find(&call).await?;
    let query = query(&call, &device)?;
    let found = call.engine().device_messages(call.tenant(), &query).await?;
    let mut list = ListBody::new();
    for DeviceMessage {
        message,
        payload,
        edit,
    } in &found.messages
    {
        list.push(&ShownMessage::new(message, payload.as_ref(), edit.as_ref()))?;
    }
    let next = found.next.map(|next| page::cursor(LIST, next));
    Ok(list.finish(call.request(), next, Map::new()))
}

fn query(call: &Call, device: &Device) -> Result<MessageQuery, Problem> {
    let known = ["chat", "direction", "state", "limit", "cursor"];
    let mut given = event_query::parameters(call.request(), &known)?;
    let wrong =
        |name: &str, detail: &str| Problem::new(Code::BadRequest, format!("{name}: {detail}"));
    let chat = given
        .remove("chat")
        .map(|text| input::address(&text, device).map_err(|detail| wrong("chat", &detail)))
        .transpose()?;
    let direction = match given.remove("direction").as_deref() {
        None => None,
        Some("in") => Some(Direction::In),
        Some("out") => Some(Direction::Out),
        Some(_) => return Err(wrong("direction", "expected in or out")),
    };
    let state = given
        .remove("state")
        .map(|text| {
            text.parse::<MessageState>()
                .map_err(|error| wrong("state", &error.to_string()))
        })
        .transpose()?;
    let page = call.page()?;
    // What it sent and got for another workspace is not this one's.
    let since = call.caller().workspace().and(device.moved_at);
    Ok(MessageQuery {
        device: device.id,
        before: page.after_as(LIST)?,
        after: since.map(first_id_after),
        chat: chat.map(String::into_boxed_str),
        direction,
        state,
        limit: u32::from(page.limit),
        scan_max: SCAN_MAX,
    })
}

/// Messages that were made after this moment, to the millisecond, have higher ids.
fn first_id_after(moment: Timestamp) -> Uuid {
    let millis = u128::from(moment.unix_millis()) + 1;
    Uuid::from_u128(millis << 80)
}

/// Whoever is told that a message was not sent is told which one: it may have been, and its receipts say so.
impl From<UnsentMessage> for Problem {
    fn from(unsent: UnsentMessage) -> Problem {
        let problem = Problem::from(unsent.error);
        match unsent.id {
            Some(id) => problem.with("message", ShownId::Sent(id).to_string()),
            None => problem,
        }
    }
}

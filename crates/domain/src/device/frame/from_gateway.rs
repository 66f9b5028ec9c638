//! What gateways send: read by the engine, written by our client.

use bytes::Bytes;

use super::{
    FrameError, FromGateway, QR_LENGTH_MAX,
    members::{Members, Writer, exact, maybe, maybe_text, need, need_text},
};
use crate::{
    device::{CommandResult, DeviceEvent, MessageKey, Refusal, RefusedBy, Report},
    event::{EventType, TEXT_LENGTH_MAX},
    time::Timestamp,
};

/// What a result without `data` carries.
const NOTHING: &[u8] = b"null";

pub(super) fn parse(text: &Bytes) -> Result<FromGateway, FrameError> {
    let members = Members::of(text)?;
    read(text, &members).map_err(|refusal| FrameError {
        id: need_text("id", members.id).ok(),
        ..refusal.into()
    })
}

fn read(text: &Bytes, members: &Members<'_>) -> Result<FromGateway, Refusal> {
    let kind: Box<str> = need("kind", members.kind)?;
    match kind.as_ref() {
        "hello" => Ok(FromGateway::Hello {
            gateway: need_text("gateway", members.gateway)?,
        }),
        "state" => report(members).map(FromGateway::State),
        "event" => event(text, members).map(FromGateway::Event),
        "result" => result(text, members).map(FromGateway::Result),
        "ping" => Ok(FromGateway::Ping),
        _ => Err(Refusal::invalid(
            "kind: expected hello, state, event, result or ping",
        )),
    }
}

fn report(members: &Members<'_>) -> Result<Report, Refusal> {
    let state: Box<str> = need("state", members.state)?;
    let reason = maybe_text("reason", members.reason, TEXT_LENGTH_MAX)?;
    match state.as_ref() {
        "pairing" => Ok(Report::Pairing {
            qr: maybe_text("qr", members.qr, QR_LENGTH_MAX)?,
            reason,
        }),
        "connected" => Ok(Report::Connected { reason }),
        "offline" => Ok(Report::Offline { reason }),
        _ => Err(Refusal::invalid(
            "state: expected pairing, connected or offline",
        )),
    }
}

fn event(text: &Bytes, members: &Members<'_>) -> Result<DeviceEvent, Refusal> {
    let kind: Box<str> = need("type", members.event_type)?;
    let at: Option<Box<str>> = maybe("at", members.at)?;
    let data = members
        .data
        .ok_or_else(|| Refusal::invalid("data is missing"))?;
    Ok(DeviceEvent {
        id: need_text("id", members.id)?,
        kind: EventType::new(&kind).map_err(|error| Refusal::invalid(format!("type: {error}")))?,
        at: at
            .map(|at| Timestamp::parse(&at))
            .transpose()
            .map_err(|error| Refusal::invalid(format!("at: {error}")))?,
        key: maybe::<MessageKey>("key", members.key)?,
        data: exact(text, "data", data)?,
    })
}

fn result(text: &Bytes, members: &Members<'_>) -> Result<CommandResult, Refusal> {
    let id = need_text("id", members.id)?;
    let outcome = if need::<bool>("ok", members.ok)? {
        Ok(match members.data {
            Some(data) => exact(text, "data", data)?,
            None => Bytes::from_static(NOTHING),
        })
    } else {
        let mut error: RefusedBy = need("error", members.error)?;
        error.code = bounded(error.code);
        error.message = bounded(error.message);
        Err(error)
    };
    Ok(CommandResult { id, outcome })
}

/// A gateway's words about a failure are shown to people: too long ones are cut rather than lost.
fn bounded(mut text: String) -> String {
    if text.len() > TEXT_LENGTH_MAX {
        let end = (0..=TEXT_LENGTH_MAX)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

pub(super) fn write(frame: &FromGateway) -> String {
    match frame {
        FromGateway::Hello { gateway } => Writer::new("hello", 0).text("gateway", gateway).end(),
        FromGateway::State(report) => write_report(report),
        FromGateway::Event(event) => write_event(event),
        FromGateway::Result(result) => write_result(result),
        FromGateway::Ping => Writer::new("ping", 0).end(),
    }
}

fn write_report(report: &Report) -> String {
    let writer = Writer::new("state", 0);
    let writer = match report {
        Report::Pairing { qr, .. } => writer
            .text("state", "pairing")
            .maybe_text("qr", qr.as_deref()),
        Report::Connected { .. } => writer.text("state", "connected"),
        Report::Offline { .. } => writer.text("state", "offline"),
    };
    writer.maybe_text("reason", report.reason()).end()
}

fn write_event(event: &DeviceEvent) -> String {
    let mut writer = Writer::new("event", event.data.len())
        .text("id", &event.id)
        .text("type", event.kind.as_str());
    if let Some(at) = &event.at {
        writer = writer.value("at", at);
    }
    if let Some(key) = &event.key {
        writer = writer.value("key", key);
    }
    writer.exact("data", &event.data).end()
}

fn write_result(result: &CommandResult) -> String {
    match &result.outcome {
        Ok(data) => Writer::new("result", data.len())
            .text("id", &result.id)
            .value("ok", &true)
            .exact("data", data)
            .end(),
        Err(error) => Writer::new("result", 0)
            .text("id", &result.id)
            .value("ok", &false)
            .value("error", error)
            .end(),
    }
}

//! What `POST /v1/events` answers, written by hand.

use actix_web::{HttpResponse, ResponseError as _, http::StatusCode};
use actors::tenant::Item;
use bytes::Bytes;
use domain::{event::Event, ids::EventId, json, region::Region, template::Violation};
use serde_json::json;

use super::super::{
    envelope,
    problem::{Code, Occurrence, Problem},
};

/// What is known of one event of a batch before the engine is asked.
pub(super) enum Fate {
    /// The engine decides.
    Asked,
    /// It is wrong by itself.
    Refused(Problem),
}

/// The same, with what is needed of the problem already written: it must be able to change threads.
pub(super) enum Prepared {
    /// The engine decides.
    Asked,
    /// One item of the answer.
    Written(Vec<u8>),
}

/// Writes what can be written now.
pub(super) fn prepare(fate: Fate) -> Prepared {
    match fate {
        Fate::Asked => Prepared::Asked,
        Fate::Refused(problem) => Prepared::Written(rejected(&problem)),
    }
}

/// The answer to a request with one event.
pub(super) fn one(item: &Item, region: Region) -> Result<HttpResponse, Problem> {
    match item {
        Item::Accepted(event) => Ok(envelope::json(StatusCode::ACCEPTED, receipt(event, region))),
        Item::Duplicate { .. } | Item::Rejected(_) | Item::NoWorkspace => Err(problem_of(item)),
    }
}

/// The same as it is kept for an idempotency key.
pub(super) fn stored_one(item: &Item, region: Region) -> (u16, Bytes) {
    match item {
        Item::Accepted(event) => (
            StatusCode::ACCEPTED.as_u16(),
            Bytes::from(receipt(event, region)),
        ),
        Item::Duplicate { .. } | Item::Rejected(_) | Item::NoWorkspace => {
            let problem = problem_of(item);
            let status = problem.status_code().as_u16();
            (status, problem.render(Occurrence::default()))
        }
    }
}

fn problem_of(item: &Item) -> Problem {
    match item {
        Item::Accepted(_) => Problem::internal(&"an accepted event is no problem"),
        Item::Duplicate { existing } => {
            let detail = "an event with this dedup_id came within the last 24 hours";
            Problem::new(Code::DuplicateEvent, detail).with("existing_id", existing.to_string())
        }
        Item::Rejected(violations) => template_violation(violations),
        Item::NoWorkspace => Problem::invalid_field(
            "/workspace",
            "expected the id or slug of a workspace of yours",
        ),
    }
}

fn template_violation(violations: &[Violation]) -> Problem {
    let problem = Problem::new(Code::TemplateViolation, Code::TemplateViolation.meaning());
    violations.iter().fold(problem, |problem, violation| {
        problem.with_error(&violation.pointer, violation.detail.clone())
    })
}

/// The answer to a batch: one item an event, in order. 422 if none was accepted.
pub(super) fn render_batch(
    fates: &[Prepared],
    items: &[Item],
    region: Region,
) -> (StatusCode, Vec<u8>) {
    let mut out = Vec::with_capacity(64 + 360 * fates.len());
    out.extend_from_slice(b"{\"data\":[");
    let (mut decided, mut accepted, mut duplicates) = (items.iter(), 0_u64, 0_u64);
    for (index, fate) in fates.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match fate {
            Prepared::Written(item) => out.extend_from_slice(item),
            Prepared::Asked => match decided.next() {
                Some(Item::Accepted(event)) => {
                    accepted += 1;
                    write_receipt(event, region, Some("accepted"), &mut out);
                }
                Some(Item::Duplicate { existing }) => {
                    duplicates += 1;
                    write_duplicate(*existing, &mut out);
                }
                Some(other) => out.extend_from_slice(&rejected(&problem_of(other))),
                None => out.extend_from_slice(b"{\"status\":\"rejected\"}"),
            },
        }
    }
    let rejected = u64::try_from(fates.len()).unwrap_or(0) - accepted - duplicates;
    out.extend_from_slice(b"],\"meta\":{\"accepted\":");
    json::push_number(&mut out, accepted);
    out.extend_from_slice(b",\"duplicate\":");
    json::push_number(&mut out, duplicates);
    out.extend_from_slice(b",\"rejected\":");
    json::push_number(&mut out, rejected);
    out.extend_from_slice(b"}}");
    let status = if accepted > 0 {
        StatusCode::ACCEPTED
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    (status, out)
}

fn rejected(problem: &Problem) -> Vec<u8> {
    let errors: Vec<_> = problem
        .errors()
        .iter()
        .map(|error| json!({"pointer": error.pointer, "detail": error.detail}))
        .collect();
    let item = json!({
        "status": "rejected",
        "error": {"code": problem.code().name(), "message": problem.detail()},
        "errors": errors,
    });
    item.to_string().into_bytes()
}

fn receipt(event: &Event, region: Region) -> Vec<u8> {
    let mut out = Vec::with_capacity(448);
    out.extend_from_slice(b"{\"data\":");
    write_receipt(event, region, None, &mut out);
    out.push(b'}');
    out
}

fn write_duplicate(existing: EventId, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"duplicate\",\"existing_id\":\"");
    json::push_display(out, &existing);
    out.extend_from_slice(b"\"}");
}

fn write_receipt(event: &Event, region: Region, status: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'{');
    if let Some(status) = status {
        out.extend_from_slice(b"\"status\":\"");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(b"\"id\":\"");
    json::push_display(out, &event.id);
    out.extend_from_slice(b"\",\"type\":\"");
    out.extend_from_slice(event.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"workspace\":\"");
    json::push_display(out, &event.workspace);
    out.extend_from_slice(b"\",\"position\":");
    json::push_number(out, event.position.get());
    out.extend_from_slice(b",\"seq\":");
    json::push_number(out, event.seq.get());
    out.extend_from_slice(b",\"hash\":\"");
    json::push_hex(out, &event.hash.0);
    out.extend_from_slice(b"\",\"received_at\":\"");
    out.extend_from_slice(&event.received_at.to_rfc3339());
    out.extend_from_slice(b"\",\"region\":\"");
    out.extend_from_slice(region.name().as_bytes());
    out.extend_from_slice(b"\"}");
}

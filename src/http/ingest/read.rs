//! Which of the forms of `POST /v1/events` a body has, by its content type.

use actix_web::{HttpRequest, http::header::CONTENT_TYPE};
use bytes::Bytes;
use domain::{
    cloudevents,
    new_event::{self, Input, Limits},
};

use super::{
    super::problem::{Code, Problem},
    refused,
};

/// Reads a body of any form that is taken.
pub(super) fn read(request: &HttpRequest, body: &Bytes, limits: &Limits) -> Result<Input, Problem> {
    let header = request.headers().get(CONTENT_TYPE);
    let given = header.map(|value| value.to_str().unwrap_or_default());
    if request.headers().contains_key("ce-specversion") {
        return binary(request, given, body, limits);
    }
    let media_type = given.map_or("application/json", |text| {
        text.split(';').next().unwrap_or_default().trim()
    });
    let outcome = match media_type {
        // curl's default for `-d`: nobody means a form here.
        "application/json" | "application/x-www-form-urlencoded" | "" => {
            new_event::parse_many(body, limits)
        }
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            new_event::parse_ndjson(body, limits).map(Input::Batch)
        }
        "application/cloudevents+json" => {
            cloudevents::parse_structured(body, limits).map(Input::One)
        }
        "application/cloudevents-batch+json" => cloudevents::parse_batch(body, limits),
        other => {
            let detail = format!(
                "Content-Type {other}: expected application/json, application/x-ndjson, application/cloudevents+json or \
                 application/cloudevents-batch+json"
            );
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    let input = outcome.map_err(|error| refused(&error))?;
    if matches!(&input, Input::Batch(events) if events.is_empty()) {
        return Err(Problem::invalid_field("", "expected at least one event"));
    }
    Ok(input)
}

/// CloudEvents in binary mode: attributes in headers, the payload as the body.
fn binary(
    request: &HttpRequest,
    content_type: Option<&str>,
    body: &Bytes,
    limits: &Limits,
) -> Result<Input, Problem> {
    let mut headers = Vec::new();
    for (name, value) in request.headers() {
        if name.as_str().starts_with("ce-") {
            let value = value.to_str().map_err(|_not_ascii| {
                Problem::new(Code::BadRequest, format!("{name}: expected visible ASCII"))
            })?;
            headers.push((name.as_str(), value));
        }
    }
    cloudevents::parse_binary(headers, content_type, body, limits)
        .map(Input::One)
        .map_err(|error| refused(&error))
}

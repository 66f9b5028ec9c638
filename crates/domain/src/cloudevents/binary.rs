//! `CloudEvents` whose attributes stand in headers and whose data is the body.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::de::IgnoredAny;

use super::attributes::{Attributes, Form};
use crate::new_event::{Draft, InputCode, InputError, Limits, Place};

/// The name and the value of a header.
pub type Header<'a> = (&'a str, &'a str);

/// Reads one event in binary mode. `headers` may hold other headers too; only those that begin with `ce-` count.
///
/// A body whose `content_type` is JSON (or is not given) is the payload as it is. Any other body becomes a payload as its
/// base64 in a JSON string. An empty body is the payload `{}`, as in any event without one.
pub fn parse_binary<'a>(
    headers: impl IntoIterator<Item = Header<'a>>,
    content_type: Option<&str>,
    body: &Bytes,
    limits: &Limits,
) -> Result<Draft, InputError> {
    let mut attributes = Attributes::new(Place::Body, Form::Headers);
    for (name, value) in headers {
        let is_ours = name
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case("ce-"));
        if is_ours {
            let name = name[3..].to_ascii_lowercase();
            let text = decoded(value)
                .ok_or_else(|| attributes.wrong(&name, "expected percent-encoded UTF-8"))?;
            attributes.set(&name, text)?;
        }
    }
    let payload = if body.is_empty() {
        Bytes::from_static(b"{}")
    } else if content_type.is_none_or(is_json) {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| InputError {
            code: InputCode::MalformedJson,
            pointer: String::new(),
            detail: error.to_string(),
        })?;
        // What is ignored is not checked for UTF-8; the payload must be text all the same.
        std::str::from_utf8(body).map_err(|error| InputError {
            code: InputCode::MalformedJson,
            pointer: String::new(),
            detail: error.to_string(),
        })?;
        body.slice_ref(body.trim_ascii())
    } else {
        let mut text = String::with_capacity(body.len().div_ceil(3) * 4 + 2);
        text.push('"');
        STANDARD.encode_string(body, &mut text);
        text.push('"');
        Bytes::from(text)
    };
    limits
        .check_payload(&payload)
        .map_err(|(code, detail)| InputError {
            code,
            pointer: String::new(),
            detail,
        })?;
    attributes.finish(payload)
}

/// Says whether a media type is JSON.
fn is_json(content_type: &str) -> bool {
    let media = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media == "application/json" || media == "text/json" || media.ends_with("+json")
}

/// The value of a header without percent-encoding; `None` if the result is not UTF-8.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return Some(Cow::Borrowed(value));
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let escape = behind.get(..2).filter(|_| first == b'%');
        let byte = escape.and_then(|digits| {
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte)
                .ok()
                .map(|()| byte[0])
        });
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

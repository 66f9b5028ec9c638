//! An event as a tail shows it, read as far as commands need it. The payload stays as the bytes that came.

use std::borrow::Cow;

use domain::json;
use serde::Deserialize;
use serde_json::value::RawValue;

/// See the module.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen<'a> {
    /// Its id.
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    /// Its type.
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    /// The id of its workspace.
    #[serde(borrow)]
    pub(crate) workspace: Cow<'a, str>,
    /// Its place in the tenant's log.
    pub(crate) position: u64,
    /// When it came in.
    #[serde(borrow)]
    pub(crate) received_at: Cow<'a, str>,
    /// The trace that its sender named.
    #[serde(borrow, default)]
    pub(crate) trace_id: Option<Cow<'a, str>>,
    /// What its sender said.
    #[serde(borrow)]
    pub(crate) payload: &'a RawValue,
}

impl<'a> Seen<'a> {
    /// Reads an event.
    pub(crate) fn parse(json: &'a str) -> serde_json::Result<Seen<'a>> {
        serde_json::from_str(json)
    }

    /// What a webhook's receiver gets (API §6).
    pub(crate) fn webhook_body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.get().len() + 256);
        for (name, text) in [
            ("{\"id\":", &self.id),
            (",\"type\":", &self.kind),
            (",\"timestamp\":", &self.received_at),
            (",\"workspace\":", &self.workspace),
        ] {
            out.extend_from_slice(name.as_bytes());
            json::push_string(&mut out, text);
        }
        out.extend_from_slice(b",\"position\":");
        json::push_number(&mut out, self.position);
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(self.payload.get().as_bytes());
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const EVENT: &str = r#"{"id":"evt_01","type":"a.b","workspace":"ws_01","position":7,"seq":3,
        "received_at":"2026-01-01T00:00:00.000000Z","region":"AU","payload":{"big": 123456789012345678901234567890}}"#;

    #[test]
    fn a_receiver_gets_the_payload_as_it_was_sent() {
        let seen = Seen::parse(EVENT).unwrap();
        assert_eq!(
            String::from_utf8(seen.webhook_body()).unwrap(),
            "{\"id\":\"evt_01\",\"type\":\"a.b\",\"timestamp\":\"2026-01-01T00:00:00.000000Z\",\"workspace\":\"ws_01\",\
             \"position\":7,\"data\":{\"big\": 123456789012345678901234567890}}"
        );
    }
}

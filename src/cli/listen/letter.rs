//! One event as a webhook's receiver gets it: body, headers and signatures (API §6).
//!
//! Sends nothing.

use bytes::Bytes;
use domain::{signature::WebhookSecret, time::Timestamp};
use outbound::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::seen::Seen;

/// See the module.
#[derive(Debug)]
pub(super) struct Letter {
    /// The event's id.
    pub(super) id: String,
    /// Its type.
    pub(super) kind: String,
    /// Its place in the tenant's log.
    pub(super) position: u64,
    /// What is sent.
    pub(super) body: Bytes,
    trace_id: Option<String>,
}

impl Letter {
    /// A letter about an event.
    pub(super) fn new(seen: &Seen<'_>) -> Letter {
        Letter {
            id: seen.id.clone().into_owned(),
            kind: seen.kind.clone().into_owned(),
            position: seen.position,
            body: Bytes::from(seen.webhook_body()),
            trace_id: seen.trace_id.clone().map(Into::into),
        }
    }

    /// The headers of one attempt, counted from 1.
    pub(super) fn headers(
        &self,
        secret: &WebhookSecret,
        attempt: u32,
        now: Timestamp,
    ) -> HeaderMap {
        let seconds = now.unix_seconds();
        let trace_id = self.trace_id.clone().unwrap_or_default();
        let texts = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            (
                "webhook-signature",
                secret.sign(&self.id, seconds, &self.body),
            ),
            ("x-trunkline-signature", secret.body_hmac_hex(&self.body)),
            ("x-trunkline-attempt", attempt.to_string()),
            ("x-event-id", self.id.clone()),
            ("x-event-type", self.kind.clone()),
            ("x-trace-id", trace_id),
            ("traceparent", self.trace_parent(attempt)),
        ];
        let mut headers = HeaderMap::with_capacity(texts.len());
        for (name, text) in texts {
            // A sender's trace id is any text: what a header cannot hold is left out.
            if let Ok(value) = HeaderValue::try_from(text)
                && !value.is_empty()
            {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    /// Continues the sender's trace, if it gave the id of one; else the event is its own trace.
    fn trace_parent(&self, attempt: u32) -> String {
        let own = self.id.rsplit('_').next().unwrap_or_default();
        let trace_id = self
            .trace_id
            .as_deref()
            .filter(|text| is_trace_id(text))
            .unwrap_or(own);
        let span = (1 << 63) | (self.position << 8) | u64::from(attempt);
        format!("00-{trace_id}-{span:016x}-01")
    }
}

/// Whether a text is a trace id as W3C defines it: 32 hex digits in lower case, not all of them 0.
fn is_trace_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 32 && text.bytes().all(is_digit) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use domain::signature::{SignedHeaders, verify};

    use super::*;

    const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn letter(trace_id: &str) -> Letter {
        let json = format!(
            "{{\"id\":\"evt_01a1fd97579976598130770000000001\",\"type\":\"a.b\",\"workspace\":\"ws_01\",\"position\":7,\
             \"received_at\":\"2026-01-01T00:00:00.000000Z\",\"trace_id\":\"{trace_id}\",\"payload\":1}}"
        );
        Letter::new(&Seen::parse(&json).unwrap())
    }

    #[test]
    fn the_signature_is_one_that_receivers_accept() {
        let (letter, secret) = (letter(TRACE_ID), WebhookSecret::from_random(&[7; 32]));
        let now = Timestamp::from_micros(5_000_000);
        let headers = letter.headers(&secret, 1, now);
        let text = |name: &str| headers[name].to_str().unwrap();
        let signed = SignedHeaders {
            id: text("webhook-id"),
            timestamp: text("webhook-timestamp"),
            signature: text("webhook-signature"),
        };
        assert_eq!(verify(&secret, signed, &letter.body, now), Ok(()));
        assert_eq!(
            text("x-trunkline-signature"),
            secret.body_hmac_hex(&letter.body)
        );
        assert_eq!(
            (text("x-event-type"), text("x-trunkline-attempt")),
            ("a.b", "1")
        );
    }

    #[test]
    fn the_senders_trace_goes_on() {
        let secret = WebhookSecret::from_random(&[7; 32]);
        let headers = |trace_id: &str| letter(trace_id).headers(&secret, 3, Timestamp::default());
        assert_eq!(
            headers(TRACE_ID)["traceparent"],
            format!("00-{TRACE_ID}-8000000000000703-01")
        );
        let own = headers("mine");
        assert_eq!(
            own["traceparent"],
            "00-01a1fd97579976598130770000000001-8000000000000703-01"
        );
        assert_eq!(own["x-trace-id"], "mine");
        assert!(!headers("").contains_key("x-trace-id"));
    }
}

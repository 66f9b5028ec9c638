//! What a receiver gets: URL, headers and signatures of one webhook's deliveries.
//!
//! What does not change from delivery to delivery is made once, when the webhook is loaded or changed. Does not decide
//! whether or when something is sent.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    event::Event,
    ids::TenantId,
    signature::{WebhookSecret, sign_all},
    time::Timestamp,
    webhook::Webhook,
};
use outbound::{
    HeaderMap, HeaderName, HeaderValue, Outcome, Post, PostError, Refusal, Url, WebhookClient,
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const BODY_SIGNATURE: HeaderName = HeaderName::from_static("x-trunkline-signature");
const ATTEMPT: HeaderName = HeaderName::from_static("x-trunkline-attempt");
const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");
const EVENT_TYPE: HeaderName = HeaderName::from_static("x-event-type");
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");

/// How requests to one webhook are made.
pub(crate) struct Recipe {
    tenant: TenantId,
    no: u64,
    url: Result<Url, Refusal>,
    /// Headers that every delivery has: the owner's, and the content type.
    headers: HeaderMap,
    secret: WebhookSecret,
    previous_secret: Option<(WebhookSecret, Timestamp)>,
    timeout: Duration,
}

/// One attempt to be made.
pub(crate) struct Letter<'a> {
    /// What it is about.
    pub(crate) event: &'a Event,
    /// What is sent.
    pub(crate) body: Bytes,
    /// Which attempt it is, counted from 1.
    pub(crate) attempt: u32,
    /// The present moment.
    pub(crate) at: Timestamp,
}

impl Recipe {
    /// The recipe for a webhook as it is now.
    pub(crate) fn new(webhook: &Webhook) -> Recipe {
        let mut headers = HeaderMap::with_capacity(webhook.headers.len() + 16);
        for (name, value) in &webhook.headers {
            // They were checked when they were given; one that slipped through is better left out than sent wrongly.
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url = Url::parse(&webhook.url).map_err(|error| Refusal::Malformed {
            reason: error.to_string(),
        });
        Recipe {
            tenant: webhook.tenant,
            no: webhook.no,
            url,
            headers,
            secret: webhook.secret.clone(),
            previous_secret: webhook.previous_secret.clone(),
            timeout: webhook.timeout(),
        }
    }

    /// Makes one attempt and waits for what comes of it.
    pub(crate) async fn send(&self, client: &WebhookClient, letter: Letter<'_>) -> Outcome {
        match self.post(letter) {
            Ok(post) => client.post(post).await,
            Err(refusal) => Outcome {
                duration: Duration::ZERO,
                result: Err(PostError::Refused(refusal)),
            },
        }
    }

    fn post(&self, letter: Letter<'_>) -> Result<Post, Refusal> {
        Ok(Post {
            tenant: self.tenant,
            url: self.url.clone()?,
            headers: self.headers(&letter),
            body: letter.body,
            timeout: self.timeout,
        })
    }

    fn headers(&self, letter: &Letter<'_>) -> HeaderMap {
        let Letter {
            event,
            body,
            attempt,
            at,
        } = letter;
        let mut headers = self.headers.clone();
        let id = event.id.to_string();
        let seconds = at.unix_seconds();
        let signature = sign_all(self.secrets(*at), &id, seconds, body);
        headers.insert(SIGNATURE, value(signature));
        headers.insert(BODY_SIGNATURE, value(self.secret.body_hmac_hex(body)));
        let id = value(id);
        headers.insert(ID, id.clone());
        headers.insert(EVENT_ID, id);
        headers.insert(TIMESTAMP, HeaderValue::from(seconds));
        headers.insert(ATTEMPT, HeaderValue::from(*attempt));
        if let Ok(kind) = HeaderValue::from_str(event.kind.as_str()) {
            headers.insert(EVENT_TYPE, kind);
        }
        let trace_id = event.fields.trace_id.as_deref();
        // A sender's trace id is any text; what a header cannot hold is left out.
        if let Some(Ok(trace_id)) = trace_id.map(HeaderValue::from_str) {
            headers.insert(TRACE_ID, trace_id);
        }
        headers.insert(TRACE_PARENT, value(self.trace_parent(event, *attempt)));
        headers
    }

    /// The newest first; the one that was replaced signs too, for a while.
    fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        let previous = self
            .previous_secret
            .as_ref()
            .filter(|(_, until)| now < *until);
        std::iter::once(&self.secret).chain(previous.map(|(secret, _)| secret))
    }

    fn trace_parent(&self, event: &Event, attempt: u32) -> String {
        format!(
            "00-{}-{:016x}-01",
            trace_id(event),
            self.span_id(event, attempt)
        )
    }

    /// The span of an attempt: always the same for the same one.
    pub(super) fn span_id(&self, event: &Event, attempt: u32) -> u64 {
        self.no.rotate_left(40)
            ^ event.position.get().rotate_left(8)
            ^ u64::from(attempt)
            ^ (1 << 63)
    }
}

/// The sender's trace, if it gave the id of one; else the event is its own trace.
pub(super) fn trace_id(event: &Event) -> String {
    match event.fields.trace_id.as_deref() {
        Some(trace_id) if is_trace_id(trace_id) => trace_id.to_owned(),
        Some(_) | None => event.id.uuid().as_simple().to_string(),
    }
}

/// Whether a text is a trace id as W3C defines it: 32 hex digits in lower case, not all of them 0.
fn is_trace_id(text: &str) -> bool {
    text.len() == 32
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|b| b != b'0')
}

/// Takes over a text of our own making without copying it.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("visible ASCII")
}

#[cfg(test)]
mod tests {
    use domain::signature::{SignedHeaders, verify};

    use super::*;
    use crate::webhook::tests::samples;

    fn letter<'a>(event: &'a Event, body: &Bytes, at: Timestamp) -> Letter<'a> {
        Letter {
            event,
            body: body.clone(),
            attempt: 2,
            at,
        }
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        headers[name].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_receiver_gets_every_header_of_the_contract_and_those_of_the_owner() {
        let mut webhook = samples::webhook("http://127.0.0.1/hook");
        webhook.headers.insert("x-mine".into(), "yes".into());
        let (event, at) = (samples::event(7, "a.b"), Timestamp::from_micros(5_000_000));
        let body = Bytes::from_static(b"{}");
        let headers = Recipe::new(&webhook).headers(&letter(&event, &body, at));
        assert_eq!(text(&headers, "webhook-id"), event.id.to_string());
        assert_eq!(text(&headers, "x-event-id"), event.id.to_string());
        assert_eq!(text(&headers, "x-event-type"), "a.b");
        assert_eq!(text(&headers, "x-trunkline-attempt"), "2");
        assert_eq!(text(&headers, "webhook-timestamp"), "5");
        assert_eq!(text(&headers, "content-type"), "application/json");
        assert_eq!(text(&headers, "x-mine"), "yes");
        assert_eq!(
            text(&headers, "x-trunkline-signature"),
            webhook.secret.body_hmac_hex(&body)
        );
        assert!(!headers.contains_key("x-trace-id"));
        let signed = SignedHeaders {
            id: &text(&headers, "webhook-id"),
            timestamp: "5",
            signature: &text(&headers, "webhook-signature"),
        };
        assert_eq!(verify(&webhook.secret, signed, &body, at), Ok(()));
    }

    #[test]
    fn the_replaced_secret_signs_until_its_time_is_over() {
        let mut webhook = samples::webhook("http://127.0.0.1/hook");
        let old = webhook.secret.clone();
        let at = Timestamp::from_micros(5_000_000);
        webhook.rotate_secret(WebhookSecret::from_random(&[9; 32]), at);
        let (event, body) = (samples::event(7, "a"), Bytes::from_static(b"{}"));
        let recipe = Recipe::new(&webhook);
        let signature = |at| {
            text(
                &recipe.headers(&letter(&event, &body, at)),
                "webhook-signature",
            )
        };
        assert!(signature(at).contains(&old.sign(&event.id.to_string(), 5, &body)));
        let after = at.plus(domain::webhook::ROTATION_OVERLAP);
        assert_eq!(signature(after).split(' ').count(), 1);
    }

    #[test]
    fn a_trace_of_the_sender_is_continued_and_another_text_is_passed_on() {
        let recipe = Recipe::new(&samples::webhook("http://127.0.0.1/hook"));
        let mut event = samples::event(7, "a");
        let own = recipe.trace_parent(&event, 1);
        assert!(own.contains(&event.id.uuid().simple().to_string()));
        assert_ne!(own, recipe.trace_parent(&event, 2));
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        event.fields.trace_id = Some(trace_id.into());
        let parent = recipe.trace_parent(&event, 1);
        assert!(parent.starts_with(&format!("00-{trace_id}-")) && parent.len() == 55);
        event.fields.trace_id = Some("my trace".into());
        let (body, at) = (Bytes::from_static(b"{}"), Timestamp::default());
        let headers = recipe.headers(&letter(&event, &body, at));
        assert_eq!(text(&headers, "x-trace-id"), "my trace");
    }
}

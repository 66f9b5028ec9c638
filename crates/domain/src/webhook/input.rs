//! Reads what an owner says about a webhook and checks it.
//!
//! Finds every mistake of a body at once, each with its JSON pointer.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use serde_json::{Map, Value};

use super::{
    DESCRIPTION_LENGTH_MAX, HEADERS_MAX, IN_FLIGHT_DEFAULT, TIMEOUT_MS_DEFAULT, Webhook,
    rules::{check_header_name, check_header_value, check_url},
};
use crate::{
    filter::TypeFilter,
    mistakes::{Mistakes, members},
    new_event::{InputError, WorkspaceRef, escaped},
    retry::RetrySchedule,
    signature::WebhookSecret,
};

const EXPECTED: &str = "expected url, events, workspace, description, enabled, secret, headers, timeout_ms, retry, \
     max_in_flight, rate_per_second or ordered";

/// A webhook as its owner wishes it: complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookInput {
    /// Where deliveries go.
    pub url: String,
    /// Which types it wants.
    pub events: TypeFilter,
    /// The only workspace that it wants; not looked up yet.
    pub workspace: Option<WorkspaceRef>,
    /// What its owner says about it.
    pub description: String,
    /// Whether deliveries are to be made; `None` leaves that as it is (a new webhook is active).
    pub enabled: Option<bool>,
    /// A secret of the owner's own; `None` leaves it as it is (a new webhook gets a random one).
    pub secret: Option<WebhookSecret>,
    /// Headers of the owner's own; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// How long a receiver may take.
    pub timeout_ms: u32,
    /// When to try again.
    pub retry: RetrySchedule,
    /// How many deliveries may be on their way at once.
    pub max_in_flight: u32,
    /// How many deliveries a second may be started.
    pub rate_per_second: Option<u32>,
    /// Whether events with the same ordering key are delivered one after the other.
    pub ordered: bool,
}

impl WebhookInput {
    /// Reads the body of POST or PUT: what is left out has its default, `url` must be there.
    pub fn parse(body: &[u8]) -> Result<WebhookInput, Vec<InputError>> {
        let mut input = WebhookInput::of_url(String::new());
        let mut reading = Reading::default();
        reading.overlay(&members(body)?, &mut input);
        if input.url.is_empty() && !reading.mistakes.is_wrong("/url") {
            reading.mistakes.wrong("/url", "the URL is missing");
        }
        reading.mistakes.end(input)
    }

    /// Reads the body of PATCH: what is left out stays as it is, `null` brings the default back.
    pub fn parse_patch(body: &[u8], webhook: &Webhook) -> Result<WebhookInput, Vec<InputError>> {
        let mut input = WebhookInput::of(webhook);
        let mut reading = Reading::default();
        reading.overlay(&members(body)?, &mut input);
        reading.mistakes.end(input)
    }

    /// A webhook with nothing but a URL, which is not checked.
    pub fn of_url(url: String) -> WebhookInput {
        WebhookInput {
            url,
            events: TypeFilter::default(),
            workspace: None,
            description: String::new(),
            enabled: None,
            secret: None,
            headers: BTreeMap::new(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            retry: RetrySchedule::default(),
            max_in_flight: IN_FLIGHT_DEFAULT,
            rate_per_second: None,
            ordered: false,
        }
    }

    /// What changes nothing of a webhook.
    pub fn of(webhook: &Webhook) -> WebhookInput {
        WebhookInput {
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            workspace: webhook.workspace.map(WorkspaceRef::Id),
            description: webhook.description.clone(),
            enabled: None,
            secret: None,
            headers: webhook.headers.clone(),
            timeout_ms: webhook.timeout_ms,
            retry: webhook.retry.clone(),
            max_in_flight: webhook.max_in_flight,
            rate_per_second: webhook.rate_per_second,
            ordered: webhook.ordered,
        }
    }
}

/// Reads the members one by one.
#[derive(Default)]
struct Reading {
    mistakes: Mistakes,
}

impl Reading {
    fn overlay(&mut self, members: &Map<String, Value>, input: &mut WebhookInput) {
        let default = WebhookInput::of_url(String::new());
        for (name, value) in members {
            let pointer = format!("/{}", escaped(name));
            match name.as_str() {
                "url" => {
                    if let Some(url) = self.text(&pointer, value) {
                        self.keep(&pointer, check_url(&url).map(|()| url), &mut input.url);
                    }
                }
                "events" => self.read(&pointer, value, default.events.clone(), &mut input.events),
                "retry" => self.read(&pointer, value, default.retry.clone(), &mut input.retry),
                "ordered" => self.read(&pointer, value, default.ordered, &mut input.ordered),
                "enabled" => self.read(&pointer, value, Some(true), &mut input.enabled),
                "workspace" => self.workspace(&pointer, value, &mut input.workspace),
                "description" => self.description(&pointer, value, &mut input.description),
                "secret" => self.secret(&pointer, value, &mut input.secret),
                "headers" => self.headers(&pointer, value, &mut input.headers),
                "timeout_ms" => {
                    let number = self.number(&pointer, value, 100..=60_000);
                    input.timeout_ms = number.unwrap_or(TIMEOUT_MS_DEFAULT);
                }
                "max_in_flight" => {
                    let number = self.number(&pointer, value, 1..=512);
                    input.max_in_flight = number.unwrap_or(IN_FLIGHT_DEFAULT);
                }
                "rate_per_second" => {
                    input.rate_per_second = self.number(&pointer, value, 1..=10_000);
                }
                _ => self.mistakes.unknown(pointer, EXPECTED),
            }
        }
    }

    fn keep<T>(&mut self, pointer: &str, value: Result<T, impl fmt::Display>, place: &mut T) {
        match value {
            Ok(value) => *place = value,
            Err(error) => self.mistakes.wrong(pointer, error.to_string()),
        }
    }

    /// Reads what serde can read; `null` brings `default` back.
    fn read<T: serde::de::DeserializeOwned>(
        &mut self,
        pointer: &str,
        value: &Value,
        default: T,
        place: &mut T,
    ) {
        if value.is_null() {
            *place = default;
        } else {
            self.keep(pointer, T::deserialize(value), place);
        }
    }

    fn text(&mut self, pointer: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                self.mistakes.wrong(pointer, "expected a string");
                None
            }
        }
    }

    fn number(&mut self, pointer: &str, value: &Value, bounds: RangeInclusive<u32>) -> Option<u32> {
        if value.is_null() {
            return None;
        }
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let detail = format!(
                "expected a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            );
            self.mistakes.wrong(pointer, detail);
        }
        number
    }

    fn workspace(&mut self, pointer: &str, value: &Value, place: &mut Option<WorkspaceRef>) {
        *place = None;
        if !value.is_null()
            && let Some(text) = self.text(pointer, value)
        {
            *place = WorkspaceRef::parse(&text);
            if place.is_none() {
                self.mistakes
                    .wrong(pointer, "expected the id (ws_…) or the slug of a workspace");
            }
        }
    }

    fn description(&mut self, pointer: &str, value: &Value, place: &mut String) {
        place.clear();
        if !value.is_null()
            && let Some(text) = self.text(pointer, value)
        {
            if text.chars().count() > DESCRIPTION_LENGTH_MAX || text.contains('\0') {
                let detail = format!(
                    "expected at most {DESCRIPTION_LENGTH_MAX} characters, none of them NUL"
                );
                self.mistakes.wrong(pointer, detail);
            }
            *place = text;
        }
    }

    fn secret(&mut self, pointer: &str, value: &Value, place: &mut Option<WebhookSecret>) {
        if !value.is_null()
            && let Some(text) = self.text(pointer, value)
        {
            self.keep(pointer, WebhookSecret::parse(&text).map(Some), place);
        }
    }

    fn headers(&mut self, pointer: &str, value: &Value, place: &mut BTreeMap<String, String>) {
        place.clear();
        let Some(members) = value.as_object() else {
            if !value.is_null() {
                self.mistakes
                    .wrong(pointer, "expected an object of header names and values");
            }
            return;
        };
        if members.len() > HEADERS_MAX {
            self.mistakes
                .wrong(pointer, format!("expected at most {HEADERS_MAX} headers"));
            return;
        }
        for (name, value) in members {
            let pointer = format!("{pointer}/{}", escaped(name));
            let name = name.to_ascii_lowercase();
            if let Some(value) = self.text(&pointer, value) {
                match check_header_name(&name).and_then(|()| check_header_value(&value)) {
                    Ok(()) if place.contains_key(&name) => {
                        self.mistakes
                            .wrong(pointer, "expected once; header names have no case");
                    }
                    Ok(()) => {
                        place.insert(name, value);
                    }
                    Err(detail) => self.mistakes.wrong(pointer, detail),
                }
            }
        }
    }
}

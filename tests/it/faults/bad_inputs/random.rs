//! Random bodies and paths: nearly right ones, because what is quite wrong is refused at the door.

use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Map, Value, json};

/// Names that the API knows somewhere.
const NAMES: [&str; 48] = [
    "type",
    "payload",
    "action",
    "metadata",
    "data",
    "events",
    "workspace",
    "category",
    "project",
    "actor",
    "target",
    "occurred_at",
    "dedup_id",
    "ordering_key",
    "trace_id",
    "id",
    "specversion",
    "source",
    "url",
    "secret",
    "headers",
    "retry",
    "schedule",
    "timeout_ms",
    "max_in_flight",
    "rate_per_second",
    "name",
    "scope",
    "permissions",
    "tier",
    "ip_allow",
    "expires_at",
    "slug",
    "up_to",
    "to",
    "text",
    "media",
    "reply_to",
    "subject",
    "participants",
    "connector",
    "settings",
    "readreceipts",
    "lastSeen",
    "online",
    "chat",
    "count",
    "before",
];

const TEXTS: [&str; 28] = [
    "",
    "a",
    "a.b",
    "*",
    "a.*",
    "default",
    "ws_",
    "evt_00000000000000000000000000000000",
    "\0",
    "\u{feff}",
    "é",
    "\u{1F600}",
    "../..",
    "'; DROP TABLE events; --",
    "2024-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "-262144-01-01T00:00:00Z",
    "http://[::1",
    "https://example.com",
    "whsec_AAAA",
    "NaN",
    "ak_default_0",
    "STANDARD",
    "{\"type\":\"a\"}",
    "+49 170 1234567",
    "1234567890@s.whatsapp.net",
    "120363000000000000@g.us",
    "contacts",
];

const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "1e400",
    "-0.0",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "1.5",
    "123456789012345678901234567890",
    "1e-400",
    "4294967296",
];

/// A body.
pub(super) fn body(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = match random.random_range(0..10) {
        0 => noise(random),
        1 => nested(random),
        _ => {
            let text = object(random, 0).to_string();
            with_odd_numbers(random, &text).into_bytes()
        }
    };
    for _ in 0..random.random_range(0..4) {
        spoil(random, &mut bytes);
    }
    bytes
}

/// A path with a query.
pub(super) fn path(random: &mut StdRng) -> String {
    const PATHS: [&str; 18] = [
        "/v1/events",
        "/v1/events/",
        "/v1/events/tail",
        "/v1/events/export.csv",
        "/v1/inbox",
        "/v1/webhooks",
        "/v1/deliveries/",
        "/v1/dead-letters",
        "/v1/keys/",
        "/v1/workspaces/",
        "/v1/audit-logs",
        "/api/inbox",
        "/problems/",
        "/docs",
        "/openapi.json",
        "/v1/regions",
        "/v1/devices",
        "/v1/devices/",
    ];
    const PARAMETERS: [&str; 14] = [
        "limit",
        "cursor",
        "after",
        "order",
        "type",
        "workspace",
        "from",
        "to",
        "status",
        "consumer",
        "offset",
        "since",
        "device",
        "device",
    ];
    let mut path = PATHS[random.random_range(0..PATHS.len())].to_owned();
    if path.ends_with('/') {
        path.push_str(&escaped(pick(random, &TEXTS)));
    }
    // A tail or a long poll without an end would not be a test of bad inputs.
    let mut query = vec!["nonsense=1".to_owned()];
    for _ in 0..random.random_range(0..4) {
        let text = if random.random_ratio(1, 3) {
            pick(random, &NUMBERS)
        } else {
            pick(random, &TEXTS)
        };
        query.push(format!("{}={}", pick(random, &PARAMETERS), escaped(text)));
    }
    let is_stream = path.starts_with("/v1/events/tail");
    if !is_stream && random.random_ratio(1, 2) {
        query.remove(0);
    }
    format!("{path}?{}", query.join("&"))
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from[random.random_range(0..from.len())]
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn noise(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(0..200);
    (0..length).map(|_| random.random()).collect()
}

fn nested(random: &mut StdRng) -> Vec<u8> {
    let depth = random.random_range(1..3_000);
    let (open, close) = if random.random() {
        ("[", "]")
    } else {
        ("{\"a\":", "}")
    };
    let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
    format!("{{\"type\":\"a\",\"payload\":{inner}}}").into_bytes()
}

fn object(random: &mut StdRng, depth: usize) -> Value {
    let mut members = Map::new();
    if depth == 0 && random.random_ratio(2, 3) {
        members.insert("type".to_owned(), json!("a.b"));
        members.insert("payload".to_owned(), json!({}));
    }
    for _ in 0..random.random_range(0..6) {
        members.insert(pick(random, &NAMES).to_owned(), value(random, depth + 1));
    }
    if depth == 0 && random.random_ratio(1, 4) {
        let events: Vec<Value> = (0..random.random_range(0..4))
            .map(|_| object(random, 1))
            .collect();
        return if random.random() {
            json!(events)
        } else {
            json!({ "events": events })
        };
    }
    Value::Object(members)
}

fn value(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..9) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!("@number"),
        4 if depth < 5 => {
            let items = (0..random.random_range(0..4)).map(|_| value(random, depth + 1));
            Value::Array(items.collect())
        }
        5 if depth < 5 => object(random, depth + 1),
        6 => json!("x".repeat(random.random_range(0..600))),
        _ => json!(pick(random, &TEXTS)),
    }
}

/// Puts numbers in that no `Value` can hold.
fn with_odd_numbers(random: &mut StdRng, text: &str) -> String {
    let mut parts = text.split("\"@number\"");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(pick(random, &NUMBERS));
        whole.push_str(part);
    }
    whole
}

/// Changes, cuts or doubles something.
fn spoil(random: &mut StdRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] = random.random(),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, b"{}[]\",:\\\0\n"[random.random_range(0..10)]),
        3 => drop(bytes.remove(at)),
        4 => {
            let copy = bytes[at..].to_vec();
            bytes.extend_from_slice(&copy);
        }
        // Most bodies stay as they are.
        _ => {}
    }
}

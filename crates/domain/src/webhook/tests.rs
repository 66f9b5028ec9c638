//! Owners' wishes on their way in, and what they make of a webhook.

use proptest::prelude::*;
use uuid::Uuid;

use super::{rules::check_url, *};
use crate::new_event::{InputCode, WorkspaceRef};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn secret(byte: u8) -> WebhookSecret {
    WebhookSecret::from_random(&[byte; 32])
}

fn webhook(body: &str) -> Webhook {
    let birth = Birth {
        id: WebhookId::from_uuid(Uuid::from_u128(1)),
        tenant: TenantId::from_uuid(Uuid::from_u128(2)),
        workspace: None,
        secret: secret(1),
        starts_after: Position::new(7),
        now: at(0),
    };
    Webhook::create(WebhookInput::parse(body.as_bytes()).unwrap(), birth)
}

fn errors(body: &str) -> Vec<String> {
    WebhookInput::parse(body.as_bytes())
        .unwrap_err()
        .into_iter()
        .map(|error| format!("{} {}", error.code, error.pointer))
        .collect()
}

#[test]
fn a_url_is_enough() {
    let webhook = webhook(r#"{"url":"https://example.com/hook"}"#);
    assert_eq!(webhook.state, WebhookState::Active);
    assert_eq!(webhook.timeout_ms, 15_000);
    assert_eq!(webhook.max_in_flight, 64);
    assert_eq!(webhook.events, TypeFilter::default());
    assert_eq!(webhook.retry, RetrySchedule::Standard);
    assert_eq!(webhook.secret, secret(1));
    assert_eq!(webhook.previous_secret, None);
    assert_eq!(webhook.starts_after, Position::new(7));
}

#[test]
fn every_member_is_read() {
    let chosen = secret(9).reveal();
    let body = format!(
        r#"{{"url":"http://h:1/p?q","events":["a.*"],"workspace":"main","description":"d","enabled":false,
            "secret":"{}","headers":{{"X-Key":"v"}},"timeout_ms":100,"retry":"fast","max_in_flight":512,
            "rate_per_second":1,"ordered":true}}"#,
        *chosen
    );
    let input = WebhookInput::parse(body.as_bytes()).unwrap();
    assert_eq!(input.workspace, Some(WorkspaceRef::Slug("main".into())));
    assert_eq!(input.headers.get("x-key").map(String::as_str), Some("v"));
    assert_eq!(input.secret, Some(secret(9)));
    assert_eq!(input.enabled, Some(false));
    assert_eq!(
        (input.timeout_ms, input.max_in_flight, input.rate_per_second),
        (100, 512, Some(1))
    );
    assert!(input.ordered);
    assert_eq!(webhook(&body).state, WebhookState::Paused);
}

#[test]
fn every_mistake_is_found_at_once() {
    let found = errors(
        r#"{"url":"ftp://h","events":[],"workspace":"a b","secret":"s","headers":{"Host":"h","ok":5},
            "timeout_ms":99,"retry":"slow","max_in_flight":0,"rate_per_second":10001,"ordered":1,"enabled":"no","a/b":1}"#,
    );
    let mut wanted = vec!["unknown_field /a~1b".to_owned()];
    wanted.extend(
        [
            "enabled",
            "events",
            "headers/Host",
            "headers/ok",
            "max_in_flight",
            "ordered",
            "rate_per_second",
            "retry",
            "secret",
            "timeout_ms",
            "url",
            "workspace",
        ]
        .map(|name| format!("invalid_field /{name}")),
    );
    let mut found = found;
    found.sort_by_key(|error| error.split_once('/').map(|(_, name)| name.to_owned()));
    assert_eq!(found, wanted);
}

#[test]
fn a_missing_url_and_a_body_of_another_kind_are_refused() {
    assert_eq!(errors("{}"), ["invalid_field /url"]);
    assert_eq!(errors("[]"), ["invalid_field "]);
    assert_eq!(errors("{"), ["malformed_json "]);
}

#[test]
fn a_patch_changes_what_it_names() {
    let mut webhook =
        webhook(r#"{"url":"https://a","rate_per_second":5,"timeout_ms":200,"description":"d"}"#);
    let body = br#"{"rate_per_second":null,"timeout_ms":null,"headers":{"a":"b"}}"#;
    let input = WebhookInput::parse_patch(body, &webhook).unwrap();
    webhook.change(input, None, at(5));
    assert_eq!(
        (webhook.rate_per_second, webhook.timeout_ms),
        (None, TIMEOUT_MS_DEFAULT)
    );
    assert_eq!(
        (webhook.url.as_str(), webhook.description.as_str()),
        ("https://a", "d")
    );
    assert_eq!(webhook.headers.len(), 1);
    assert_eq!((webhook.created_at, webhook.updated_at), (at(0), at(5)));
    let error = WebhookInput::parse_patch(br#"{"url":null}"#, &webhook).unwrap_err();
    assert_eq!(error[0].code, InputCode::InvalidField);
}

#[test]
fn enabling_brings_a_webhook_back_from_every_state() {
    for state in WebhookState::ALL {
        let mut webhook = Webhook {
            state,
            ..webhook(r#"{"url":"https://a"}"#)
        };
        let unchanged = WebhookInput::of(&webhook);
        webhook.change(unchanged.clone(), None, at(1));
        assert_eq!(webhook.state, state);
        webhook.change(
            WebhookInput {
                enabled: Some(true),
                ..unchanged
            },
            None,
            at(1),
        );
        assert_eq!(webhook.state, WebhookState::Active);
    }
}

#[test]
fn both_secrets_sign_for_a_day() {
    let mut webhook = webhook(r#"{"url":"https://a"}"#);
    webhook.rotate_secret(secret(2), at(0));
    let signing = |now| webhook.secrets(at(now)).cloned().collect::<Vec<_>>();
    assert_eq!(signing(24 * 3_600 - 1), [secret(2), secret(1)]);
    assert_eq!(signing(24 * 3_600), [secret(2)]);
}

#[test]
fn the_same_secret_again_is_no_rotation() {
    let mut webhook = webhook(r#"{"url":"https://a"}"#);
    webhook.rotate_secret(secret(1), at(0));
    assert_eq!(webhook.previous_secret, None);
}

#[test]
fn the_shown_state_is_the_owners_or_the_breakers() {
    let open = Breaker::Open {
        until: at(1),
        openings: 1,
    };
    let mut webhook = webhook(r#"{"url":"https://a"}"#);
    assert_eq!(webhook.shown_state(&Breaker::NEW), ShownState::Active);
    assert_eq!(webhook.shown_state(&open), ShownState::Open);
    assert_eq!(
        webhook.shown_state(&Breaker::Probing { openings: 1 }),
        ShownState::Open
    );
    assert_eq!(
        webhook.shown_state(&Breaker::Suspended),
        ShownState::Suspended
    );
    webhook.state = WebhookState::Paused;
    assert_eq!(webhook.shown_state(&open), ShownState::Paused);
    webhook.state = WebhookState::Disabled;
    assert_eq!(webhook.shown_state(&open), ShownState::Disabled);
}

#[test]
fn states_read_back_from_their_names() {
    for state in WebhookState::ALL {
        assert_eq!(state.to_string().parse(), Ok(state));
    }
    assert_eq!("open".parse::<WebhookState>(), Err(WebhookStateError));
}

#[test]
fn urls_are_absolute_and_plain() {
    for good in [
        "http://a",
        "HTTPS://a.b/c?d=e@f:g",
        "https://a:8443/",
        "http://[::1]:80/x",
        "http://127.1",
        "https://a:/",
        "https://bücher.example/",
    ] {
        assert_eq!(check_url(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "a",
        "/a",
        "//a",
        "ftp://a",
        "http:a",
        "http://",
        "http:///a",
        "http://?a",
        "http://:80",
        "http://u@a",
        "http://u:p@a/",
        "http://a#f",
        "http://a/ b",
        "http://a\n",
        "http://a\\@b",
        "http://a:b",
        "http://a:65536",
        "http://a:1:2",
        "http://[::1",
        "http://[a]",
        "http://[::1]x",
        &format!("http://a/{}", "x".repeat(URL_LENGTH_MAX)),
    ] {
        assert!(check_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn headers_of_the_delivery_itself_cannot_be_set() {
    for name in [
        "Host",
        "content-length",
        "Content-Type",
        "Transfer-Encoding",
        "CONNECTION",
        "webhook-id",
        "X-Trunkline-Signature",
        "X-Event-ID",
        "a b",
        "",
        "a:b",
        "ä",
    ] {
        let body = format!(r#"{{"url":"https://a","headers":{{"{name}":"v"}}}}"#);
        assert_eq!(errors(&body), [format!("invalid_field /headers/{name}")]);
    }
}

#[test]
fn header_values_are_visible_ascii() {
    for value in ["a\\nb", "a\\u0000", "ä", " a", "a "] {
        let body = format!(r#"{{"url":"https://a","headers":{{"x":"{value}"}}}}"#);
        assert_eq!(errors(&body), ["invalid_field /headers/x"], "{value}");
    }
    let twice = r#"{"url":"https://a","headers":{"X":"1","x":"2"}}"#;
    assert_eq!(errors(twice), ["invalid_field /headers/x"]);
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(body in ".{0,80}", url in ".{0,40}") {
        let answers = [
            WebhookInput::parse(body.as_bytes()).is_ok(),
            check_url(&url).is_ok(),
            check_url(&format!("http://{url}")).is_ok(),
        ];
        prop_assert!(answers.len() == 3);
    }
}

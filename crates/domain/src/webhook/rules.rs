//! What the URL and the headers of a webhook may look like.
//!
//! Syntax only. Which addresses may be reached is decided when they are dialled.

use super::{HEADER_VALUE_LENGTH_MAX, URL_LENGTH_MAX};

/// Headers that a delivery sets itself, or that belong to the connection and not to the message.
const FORBIDDEN: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-event-id",
    "x-event-type",
    "x-trace-id",
];
const FORBIDDEN_PREFIXES: [&str; 3] = ["webhook-", "x-trunkline-", "proxy-"];

/// Says what is wrong with a URL.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    if url.len() > URL_LENGTH_MAX {
        return Err(format!("expected at most {URL_LENGTH_MAX} bytes"));
    }
    // A backslash is a slash to some readers of URLs and not to others; what they disagree on hides hosts.
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("expected a URL without blanks, control characters and backslashes".to_owned());
    }
    let rest = url
        .split_once("://")
        .filter(|(scheme, _)| {
            ["http", "https"]
                .iter()
                .any(|s| scheme.eq_ignore_ascii_case(s))
        })
        .map(|(_, rest)| rest)
        .ok_or_else(|| "expected an absolute http:// or https:// URL".to_owned())?;
    if rest.contains('#') {
        return Err("expected a URL without a fragment".to_owned());
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(
            "expected a URL without user name and password: put credentials into headers"
                .to_owned(),
        );
    }
    check_authority(authority)
}

fn check_authority(authority: &str) -> Result<(), String> {
    let is_in_brackets = authority.starts_with('[');
    let (host, port) = if is_in_brackets {
        let (host, rest) = authority
            .split_once(']')
            .ok_or_else(|| "expected ] after an IPv6 address".to_owned())?;
        (
            &host[1..],
            rest.strip_prefix(':').or(rest.is_empty().then_some("")),
        )
    } else {
        let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
        (host, Some(port))
    };
    if host.is_empty() || (is_in_brackets && host.parse::<std::net::Ipv6Addr>().is_err()) {
        return Err("expected a host".to_owned());
    }
    let is_port = |text: &str| {
        text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
    };
    if port.is_some_and(is_port) {
        Ok(())
    } else {
        Err("expected a port from 0 to 65535".to_owned())
    }
}

/// Says what is wrong with the name of a header, which must be in lower case.
pub(super) fn check_header_name(name: &str) -> Result<(), String> {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_token_byte) {
        return Err("expected a header name of 1 to 64 token characters".to_owned());
    }
    let is_forbidden = FORBIDDEN.contains(&name)
        || FORBIDDEN_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    if is_forbidden {
        return Err("this header is set by the delivery or the connection itself".to_owned());
    }
    Ok(())
}

/// Says what is wrong with the value of a header.
pub(super) fn check_header_value(value: &str) -> Result<(), String> {
    let is_visible = value.bytes().all(|b| matches!(b, b' '..=b'~'));
    if value.len() > HEADER_VALUE_LENGTH_MAX || !is_visible || value.trim() != value {
        return Err(format!(
            "expected at most {HEADER_VALUE_LENGTH_MAX} visible ASCII characters, no blanks at the ends"
        ));
    }
    Ok(())
}

//! Kinds of values that settings have, beyond numbers and texts.
//!
//! Each says what was expected when it is given something else.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Deserializer, de};
use tracing_subscriber::filter::Targets;
use url::Url;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<str>);

/// A second port, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Nothing listens.
    Off,
    /// This one; 0 is a free one.
    On(u16),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What is logged.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LogLevel(pub(crate) Targets);

/// An origin as browsers send it: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Origin(pub(crate) Box<str>);

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum OtelEndpoint {
    /// Nowhere.
    None,
    /// To the collector at this base URL, without a slash at its end.
    Collector(String),
}

/// A share, 0.0 to 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Ratio(pub(crate) f64);

impl Secret {
    /// Wraps a text.
    pub(crate) fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text, if there is one.
    pub(crate) fn reveal(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "(none)"
        } else {
            "(hidden)"
        })
    }
}

/// Reads an IP address, or none.
pub(crate) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let expected = "expected an address such as 127.0.0.1, or nothing";
    let wrong = |cause| de::Error::custom(format_args!("`{text}`: {cause}: {expected}"));
    text.parse().map(Some).map_err(wrong)
}

/// Reads a token that is sent in a header.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let text = String::deserialize(from)?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(&text))
    } else {
        Err(de::Error::custom("expected visible ASCII without spaces"))
    }
}

/// Reads a master key.
pub(crate) fn master_key<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let text = String::deserialize(from)?;
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || is_key {
        Ok(Secret::new(&text))
    } else {
        Err(de::Error::custom("expected 64 hex digits, or nothing"))
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<LogLevel, String> {
        let expected = "expected a level such as info, or a list such as info,actors=debug";
        let wrong = |cause: &dyn fmt::Display| format!("`{text}`: {cause}: {expected}");
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        // A lone word that is no level would be read as the name of a part of the program, and log nothing else.
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.contains('='))
        {
            if !levels.iter().any(|level| level.eq_ignore_ascii_case(word)) {
                return Err(wrong(&format!("`{word}` is no level")));
            }
        }
        text.to_ascii_lowercase()
            .parse()
            .map(LogLevel)
            .map_err(|cause| wrong(&cause))
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Origin, String> {
        let is_origin = Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        });
        if is_origin {
            Ok(Origin(text.into()))
        } else {
            Err(format!(
                "`{text}`: expected origins such as https://app.example.com"
            ))
        }
    }
}

impl TryFrom<String> for OtelEndpoint {
    type Error = String;

    fn try_from(text: String) -> Result<OtelEndpoint, String> {
        if text.is_empty() {
            return Ok(OtelEndpoint::None);
        }
        let fits = Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if fits {
            Ok(OtelEndpoint::Collector(
                text.trim_end_matches('/').to_owned(),
            ))
        } else {
            Err("expected the base URL of a collector, such as http://127.0.0.1:4318".to_owned())
        }
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(number: f64) -> Result<Ratio, String> {
        if (0.0..=1.0).contains(&number) {
            Ok(Ratio(number))
        } else {
            Err(format!("{number}: expected a number from 0.0 to 1.0"))
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Port, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 0 to 65535, or \"off\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
                u16::try_from(number)
                    .map(Port::On)
                    .map_err(|_too_large| E::invalid_value(de::Unexpected::Signed(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
                if text.eq_ignore_ascii_case("off") {
                    return Ok(Port::Off);
                }
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                text.parse().map(Port::On).map_err(|_no_port| wrong())
            }
        }

        from.deserialize_any(Visitor)
    }
}

impl OtelEndpoint {
    /// Whether spans go anywhere.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            OtelEndpoint::None => false,
            OtelEndpoint::Collector(_) => true,
        }
    }
}

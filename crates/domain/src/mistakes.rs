//! Collects every mistake of a body that describes one thing, each with its JSON pointer.
//!
//! Knows no member of any body: what a member may be is decided by whoever reads it.

use serde_json::{Map, Value};

use crate::new_event::{InputCode, InputError};

/// The mistakes found up to now.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<InputError>);

impl Mistakes {
    /// Notes that what stands at `pointer` may not stand there.
    pub(crate) fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.note(InputCode::InvalidField, pointer.into(), detail.into());
    }

    /// Notes that there is no such member as the one at `pointer`; `expected` says which there are.
    pub(crate) fn unknown(&mut self, pointer: String, expected: &str) {
        let detail = format!("there is no such member: {expected}");
        self.note(InputCode::UnknownField, pointer, detail);
    }

    /// Whether a mistake was found at `pointer`.
    pub(crate) fn is_wrong(&self, pointer: &str) -> bool {
        self.0.iter().any(|error| error.pointer == pointer)
    }

    /// Answers `value` if nothing was wrong.
    pub(crate) fn end<T>(self, value: T) -> Result<T, Vec<InputError>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }

    fn note(&mut self, code: InputCode, pointer: String, detail: String) {
        self.0.push(InputError {
            code,
            pointer,
            detail,
        });
    }
}

/// The members of a body, which must be one JSON object; otherwise that is its only mistake.
pub(crate) fn members(body: &[u8]) -> Result<Map<String, Value>, Vec<InputError>> {
    serde_json::from_slice(body).map_err(|error| {
        vec![InputError {
            code: InputCode::of(&error),
            pointer: String::new(),
            detail: format!("expected a JSON object: {error}"),
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_answered_only_without_mistakes() {
        assert_eq!(Mistakes::default().end(7), Ok(7));
        let mut mistakes = Mistakes::default();
        mistakes.wrong("/a", "expected a number");
        mistakes.unknown("/b".to_owned(), "expected a");
        assert!(mistakes.is_wrong("/a") && !mistakes.is_wrong("/c"));
        let found = mistakes.end(7).unwrap_err();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "invalid_field at `/a`: expected a number",
                "unknown_field at `/b`: there is no such member: expected a"
            ]
        );
    }

    #[test]
    fn another_value_than_an_object_is_wrong_and_no_value_is_malformed() {
        let code = |body: &[u8]| members(body).unwrap_err()[0].code;
        assert_eq!(code(b"[1]"), InputCode::InvalidField);
        assert_eq!(code(b"{"), InputCode::MalformedJson);
        assert!(members(b"{\"a\":1}").is_ok());
    }
}

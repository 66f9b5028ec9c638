//! Where a reader stands in a body, and what it found wrong there.
//!
//! Errors of serde carry text only, so a reader leaves the real error here and lets serde carry an empty one.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};

use super::{InputCode, InputError, Limits};
use crate::event::TEXT_LENGTH_MAX;

/// What every short text of an event must be.
pub(crate) const TEXT_RULE: &str = "expected a text of 1 to 255 bytes without NUL characters";

/// Which part of a body is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// The body as a whole.
    Body,
    /// One event of a list.
    Item {
        /// JSON pointer of the list.
        list: &'static str,
        /// Which one, from 0.
        index: usize,
    },
}

/// The state of one reader.
pub(crate) struct Context<'a> {
    /// What a payload that came alone is a slice of.
    pub(crate) body: &'a Bytes,
    /// How much may be sent.
    pub(crate) limits: &'a Limits,
    /// Which part is being read.
    pub(crate) place: Place,
    /// The member that is being read, as the sender calls it, and the member of that.
    pub(crate) member: [Option<&'static str>; 2],
    error: Option<InputError>,
}

/// A string, borrowed from the body where it has no escapes.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'a> Context<'a> {
    pub(crate) fn new(body: &'a Bytes, place: Place, limits: &'a Limits) -> Context<'a> {
        Context {
            body,
            limits,
            place,
            member: [None, None],
            error: None,
        }
    }

    /// Leaves an error at the member that is being read and gives serde something to carry.
    pub(crate) fn fail<E: de::Error>(&mut self, code: InputCode, detail: impl Into<String>) -> E {
        let pointer = self.pointer();
        self.leave(InputError {
            code,
            pointer,
            detail: detail.into(),
        })
    }

    /// Leaves an error about a member that has no name of ours.
    pub(crate) fn fail_unknown<E: de::Error>(&mut self, name: &str, expected: &str) -> E {
        let shown: String = name.chars().take(64).collect();
        let pointer = format!("{}/{}", self.pointer(), escaped(&shown));
        self.leave(InputError {
            code: InputCode::UnknownField,
            pointer,
            detail: format!("there is no such member: expected {expected}"),
        })
    }

    /// Leaves an error as it is.
    pub(crate) fn leave<E: de::Error>(&mut self, error: InputError) -> E {
        self.error = Some(error);
        E::custom("refused")
    }

    /// Turns what serde says into our error: the one that was left, or one about the member that was being read.
    pub(crate) fn explain(&mut self, error: &serde_json::Error) -> InputError {
        if let Some(error) = self.error.take() {
            return error;
        }
        let text = error.to_string();
        match error.classify() {
            serde_json::error::Category::Data => InputError {
                code: InputCode::InvalidField,
                pointer: self.pointer(),
                detail: without_place(&text).to_owned(),
            },
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => InputError {
                code: InputCode::MalformedJson,
                pointer: self.place.to_string(),
                detail: text,
            },
        }
    }

    /// Takes a short text that may not be empty.
    pub(crate) fn check_text<E: de::Error>(&mut self, text: &str) -> Result<Box<str>, E> {
        if text.is_empty() || text.len() > TEXT_LENGTH_MAX || text.contains('\0') {
            return Err(self.fail(InputCode::InvalidField, TEXT_RULE));
        }
        Ok(text.into())
    }

    /// Takes a payload, which must be a part of the body.
    pub(crate) fn check_payload<E: de::Error>(&mut self, payload: &[u8]) -> Result<Bytes, E> {
        match self.limits.check_payload(payload) {
            Ok(()) => Ok(self.taken(payload)),
            Err((code, detail)) => Err(self.fail(code, detail)),
        }
    }

    /// A payload that came alone stays a slice of its body. One of many is copied: as a slice it would keep the whole batch
    /// in memory for as long as it is kept itself.
    fn taken(&self, payload: &[u8]) -> Bytes {
        match self.place {
            Place::Body => self.body.slice_ref(payload),
            Place::Item { .. } => Bytes::copy_from_slice(payload),
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = self.place.to_string();
        for member in self.member.into_iter().flatten() {
            pointer.push('/');
            pointer.push_str(member);
        }
        pointer
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Body => Ok(()),
            Place::Item { list, index } => write!(f, "{list}/{index}"),
        }
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text<'de>, D::Error> {
        struct TextVisitor;

        impl<'de> de::Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(TextVisitor)
    }
}

/// A name as a part of a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// serde's text without the line and column, which a JSON pointer says better.
fn without_place(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |end| &text[..end])
}

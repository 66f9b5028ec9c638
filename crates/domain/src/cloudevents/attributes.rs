//! The context attributes of a `CloudEvent`, and what they mean here.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    event::{EventType, Fields, TEXT_LENGTH_MAX},
    new_event::{Draft, InputCode, InputError, Place, WorkspaceRef, escaped},
    time::Timestamp,
};

/// How attributes are written in this form, for pointers in errors: as members of an object, or as headers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Members,
    Headers,
}

/// The attributes that mean something here, with where they stand.
#[derive(Debug)]
pub(super) struct Attributes<'de> {
    place: Place,
    form: Form,
    texts: [Option<Cow<'de, str>>; NAMES.len()],
}

const NAMES: [&str; 10] = [
    "specversion",
    "type",
    "source",
    "id",
    "time",
    "subject",
    "partitionkey",
    "traceparent",
    "workspace",
    "category",
];

/// Attributes whose values are not looked at.
const IGNORED: [&str; 2] = ["datacontenttype", "dataschema"];

impl<'de> Attributes<'de> {
    pub(super) fn new(place: Place, form: Form) -> Attributes<'de> {
        Attributes {
            place,
            form,
            texts: [const { None }; NAMES.len()],
        }
    }

    /// Says whether an attribute's text is wanted by [`Attributes::set`].
    pub(super) fn is_wanted(name: &str) -> bool {
        NAMES.contains(&name)
    }

    /// Says whether a name may be that of an attribute at all: lower-case letters and digits.
    pub(super) fn is_name(name: &str) -> bool {
        IGNORED.contains(&name)
            || (!name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    }

    /// Keeps an attribute. Each may come once.
    pub(super) fn set(&mut self, name: &str, text: Cow<'de, str>) -> Result<(), InputError> {
        let Some(index) = NAMES.iter().position(|known| *known == name) else {
            return Ok(());
        };
        if self.texts[index].replace(text).is_some() {
            return Err(self.wrong(name, "expected once"));
        }
        Ok(())
    }

    /// An error about one attribute.
    pub(super) fn wrong(&self, name: &str, detail: impl Into<String>) -> InputError {
        let name = match self.form {
            Form::Members => escaped(name),
            Form::Headers => format!("ce-{name}"),
        };
        InputError {
            code: InputCode::InvalidField,
            pointer: format!("{}/{name}", self.place),
            detail: detail.into(),
        }
    }

    /// Makes the event.
    pub(super) fn finish(self, payload: Bytes) -> Result<Draft, InputError> {
        if self.required("specversion")? != "1.0" {
            return Err(self.wrong("specversion", "expected 1.0"));
        }
        let kind = EventType::new(self.required("type")?)
            .map_err(|error| self.wrong("type", error.to_string()))?;
        let (source, id) = (self.required("source")?, self.required("id")?);
        if source.contains(char::is_whitespace) {
            return Err(self.wrong("source", "expected a URI reference, without blanks"));
        }
        let occurred_at = match self.optional("time")? {
            None => None,
            Some(text) => {
                let time = Timestamp::parse(text);
                Some(time.map_err(|error| self.wrong("time", error.to_string()))?)
            }
        };
        let workspace = match self.optional("workspace")? {
            None => None,
            Some(text) => {
                let wrong = || self.wrong("workspace", "expected the id (ws_…) or a slug");
                Some(WorkspaceRef::parse(text).ok_or_else(wrong)?)
            }
        };
        let ordering_key = match self.optional("partitionkey")? {
            Some(key) => Some(key),
            None => self.optional("subject")?,
        };
        let fields = Fields {
            occurred_at,
            category: self.optional("category")?.map(fitted),
            project: (source.len() <= TEXT_LENGTH_MAX).then(|| source.into()),
            dedup_id: Some(fitted(&format!("{source} {id}"))),
            ordering_key: ordering_key.map(fitted),
            trace_id: self
                .optional("traceparent")?
                .and_then(trace_id)
                .map(Box::from),
            ..Fields::default()
        };
        Ok(Draft {
            kind,
            workspace,
            payload,
            fields,
        })
    }

    fn required(&self, name: &str) -> Result<&str, InputError> {
        self.optional(name)?
            .ok_or_else(|| self.wrong(name, "the attribute is missing"))
    }

    fn optional(&self, name: &str) -> Result<Option<&str>, InputError> {
        let index = NAMES.iter().position(|known| *known == name);
        let text = index.and_then(|index| self.texts[index].as_deref());
        match text {
            Some(text) if text.is_empty() || text.contains('\0') => Err(self.wrong(
                name,
                "expected a text that is not empty, without NUL characters",
            )),
            other => Ok(other),
        }
    }
}

/// The text, or its hash if it is too long for a short text of an event.
fn fitted(text: &str) -> Box<str> {
    if text.len() <= TEXT_LENGTH_MAX {
        return text.into();
    }
    format!("sha256:{}", hex::encode(Sha256::digest(text))).into()
}

/// The trace id of a W3C `traceparent`. One that is invalid is ignored, as that standard says.
fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let version = parts
        .next()
        .filter(|version| is_hex(version, 2) && *version != "ff")?;
    let trace = parts
        .next()
        .filter(|trace| is_hex(trace, 32) && *trace != "0".repeat(32))?;
    let span = parts.next().filter(|span| is_hex(span, 16));
    let flags = parts.next().filter(|flags| is_hex(flags, 2));
    let is_whole = span.is_some() && flags.is_some() && (version != "00" || parts.next().is_none());
    is_whole.then_some(trace)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

//! Takes the containers apart in which exports come, NDJSON and JSON, in constant memory.
//!
//! Opens nothing: the caller hands in readers. Reads an export twice, first for its manifest and then for its events.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Fault, NoteVerifier, Report, Verifier};
use crate::export::Manifest;

/// The longest line that is read: more than any event or manifest needs.
const LINE_LENGTH_MAX: u64 = 16 * 1024 * 1024;
/// How far the beginning of a file is looked at.
const PEEK_LENGTH: u64 = 512;
/// What the last line of an NDJSON export begins with.
const MANIFEST_LINE: &[u8] = b"{\"manifest\":";

/// Why a file does not verify.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// It can, and is not what it should be.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What a file holds, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An export, one event a line.
    Ndjson,
    /// An export, one JSON object.
    Json,
    /// The proof of one event.
    Proof,
}

impl Shape {
    /// Looks at the beginning of a file.
    pub fn of(beginning: &[u8]) -> Shape {
        let dense: Vec<u8> = beginning
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        if dense.starts_with(b"{\"data\":[") {
            Shape::Json
        } else if dense.starts_with(b"{\"data\":{") || dense.starts_with(b"{\"event\":") {
            Shape::Proof
        } else {
            Shape::Ndjson
        }
    }
}

/// Verifies an export. `open` is called two or three times and answers a reader at the beginning of the same bytes.
pub fn verify_export<R: Read>(
    mut open: impl FnMut() -> io::Result<R>,
    expected: Option<&NoteVerifier>,
) -> Result<Report, FileError> {
    let mut beginning = Vec::new();
    open()?.take(PEEK_LENGTH).read_to_end(&mut beginning)?;
    let shape = Shape::of(&beginning);
    let manifest = match shape {
        Shape::Ndjson => manifest_of_lines(BufReader::new(open()?))?,
        Shape::Json | Shape::Proof => manifest_of_json(BufReader::new(open()?))?,
    };
    let mut verifier = Verifier::new(manifest, expected)?;
    match shape {
        Shape::Ndjson => each_line(BufReader::new(open()?), &mut verifier)?,
        Shape::Json | Shape::Proof => each_element(BufReader::new(open()?), &mut verifier)?,
    }
    Ok(verifier.finish()?)
}

/// Reads the next line that is not empty into `line`; false at the end.
fn next_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, FileError> {
    loop {
        line.clear();
        let length = from.take(LINE_LENGTH_MAX).read_until(b'\n', line)?;
        if length == 0 {
            return Ok(false);
        }
        if length as u64 == LINE_LENGTH_MAX {
            let reason = format!("a line is longer than {LINE_LENGTH_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason).into());
        }
        let end = line.trim_ascii_end().len();
        line.truncate(end);
        if !line.is_empty() {
            return Ok(true);
        }
    }
}

fn manifest_of_lines(mut from: impl BufRead) -> Result<Option<Manifest>, FileError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        manifest: Manifest,
    }
    let mut line = Vec::new();
    while next_line(&mut from, &mut line)? {
        if line.starts_with(MANIFEST_LINE) {
            let found: Line =
                serde_json::from_slice(&line).map_err(|error| bad_manifest(&error))?;
            return Ok(Some(found.manifest));
        }
    }
    Ok(None)
}

fn each_line(mut from: impl BufRead, verifier: &mut Verifier) -> Result<(), FileError> {
    let mut line = Vec::new();
    while next_line(&mut from, &mut line)? {
        if line.starts_with(MANIFEST_LINE) {
            return match next_line(&mut from, &mut line)? {
                true => Err(Fault::AfterManifest {
                    entry: verifier.entries() + 2,
                }
                .into()),
                false => Ok(()),
            };
        }
        match verifier.line(&line) {
            Ok(()) => {}
            // The file ends in the middle of an event: `finish` names the last whole one.
            Err(Fault::Unreadable { .. })
                if verifier.facts.is_none() && !next_line(&mut from, &mut line)? => {}
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}

/// Looks for the manifest of a JSON export. What is no JSON further up hides it; the second reading says where that is.
fn manifest_of_json(from: impl BufRead) -> Result<Option<Manifest>, FileError> {
    #[derive(Deserialize)]
    struct Whole {
        #[serde(rename = "data")]
        _data: IgnoredAny,
        meta: Option<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Meta {
        manifest: Option<Manifest>,
    }
    let whole: Whole = match serde_json::from_reader(from) {
        Ok(whole) => whole,
        Err(error) if error.is_io() => return Err(io::Error::from(error).into()),
        Err(_broken) => return Ok(None),
    };
    let Some(meta) = whole.meta else {
        return Ok(None);
    };
    let meta: Meta = serde_json::from_str(meta.get()).map_err(|error| bad_manifest(&error))?;
    Ok(meta.manifest)
}

fn each_element(from: impl BufRead, verifier: &mut Verifier) -> Result<(), FileError> {
    let mut fault = None;
    let whole = Whole {
        verifier,
        fault: &mut fault,
    };
    let read = whole.deserialize(&mut serde_json::Deserializer::from_reader(from));
    match (fault, read) {
        (Some(fault), _) => Err(fault.into()),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => Err(io::Error::from(error).into()),
        // The file ends in the middle: `finish` names the last event that is there.
        (None, Err(error)) if error.is_eof() => Ok(()),
        (None, Err(error)) => Err(Fault::Unreadable {
            entry: verifier.entries() + 1,
            at: verifier.behind(),
            reason: error.to_string(),
        }
        .into()),
    }
}

fn bad_manifest(error: &serde_json::Error) -> Fault {
    Fault::BadManifest {
        reason: error.to_string(),
    }
}

/// The outer object of a JSON export: passes the elements of `data` on, one by one.
struct Whole<'a> {
    verifier: &'a mut Verifier,
    fault: &'a mut Option<Fault>,
}

/// Its member `data`.
struct Elements<'a> {
    verifier: &'a mut Verifier,
    fault: &'a mut Option<Fault>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `data` and `meta`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "data" {
                map.next_value_seed(Elements {
                    verifier: self.verifier,
                    fault: self.fault,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            if let Err(fault) = self.verifier.line(element.get().as_bytes()) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("a fault was found"));
            }
        }
        Ok(())
    }
}

//! Reads `CloudEvents` 1.0 as events of ours, in all three forms that come over HTTP.
//!
//! | `CloudEvents` | here |
//! | --- | --- |
//! | `type` | `type`; must fit our format |
//! | `source`, `id` | `dedup_id`: both, with a blank between them (no source holds a blank) |
//! | `source` | `project`, if it has at most 255 bytes |
//! | `partitionkey`, else `subject` | `ordering_key` |
//! | `time` | `occurred_at` |
//! | `traceparent` | `trace_id`: its trace id |
//! | `data` | payload, byte for byte |
//! | `data_base64`, binary data | payload: its base64 as a JSON string |
//! | `workspace`, `category` (extensions of ours) | as in any event |
//!
//! Texts that are too long for their place are replaced by `sha256:` and their hash, so that equal ones stay equal.
//! `datacontenttype`, `dataschema` and extensions that are not named here are accepted and not kept.

mod attributes;
mod binary;
mod structured;

use bytes::Bytes;

pub use self::binary::{Header, parse_binary};
use crate::new_event::{Draft, Input, InputError, Limits};

/// Reads one event in structured mode (`application/cloudevents+json`).
pub fn parse_structured(body: &Bytes, limits: &Limits) -> Result<Draft, InputError> {
    structured::read_one(body, limits)
}

/// Reads a batch (`application/cloudevents-batch+json`).
///
/// An event that is wrong takes nothing of the others with it. `Err` means that the body as a whole is wrong.
pub fn parse_batch(body: &Bytes, limits: &Limits) -> Result<Input, InputError> {
    structured::read_batch(body, limits).map(Input::Batch)
}

#[cfg(test)]
mod tests;

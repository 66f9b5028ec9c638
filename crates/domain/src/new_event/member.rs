//! The members of an event as clients write them, aliases included.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What a member of an event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Kind,
    Payload,
    Workspace,
    Category,
    Project,
    Actor,
    Target,
    OccurredAt,
    DedupId,
    OrderingKey,
    TraceId,
    /// The list of a batch; no member of an event.
    Events,
}

/// The name of a member, as it was written.
pub(super) enum Name {
    /// One of ours, and how it was called.
    Known(Member, &'static str),
    /// Somebody else's.
    Unknown(Box<str>),
}

/// What exists, for error texts.
pub(super) const EXPECTED: &str = "type, payload, workspace, category, project, actor, target, occurred_at, dedup_id, \
     ordering_key or trace_id";

impl Member {
    /// One bit for each member, to find those that are given twice.
    pub(super) const fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

fn find(text: &str) -> Option<(Member, &'static str)> {
    Some(match text {
        "type" => (Member::Kind, "type"),
        "action" => (Member::Kind, "action"),
        "event_type" => (Member::Kind, "event_type"),
        "payload" => (Member::Payload, "payload"),
        "metadata" => (Member::Payload, "metadata"),
        "data" => (Member::Payload, "data"),
        "workspace" => (Member::Workspace, "workspace"),
        "category" => (Member::Category, "category"),
        "project" => (Member::Project, "project"),
        "actor" => (Member::Actor, "actor"),
        "target" => (Member::Target, "target"),
        "occurred_at" => (Member::OccurredAt, "occurred_at"),
        "dedup_id" => (Member::DedupId, "dedup_id"),
        "ordering_key" => (Member::OrderingKey, "ordering_key"),
        "trace_id" => (Member::TraceId, "trace_id"),
        "events" => (Member::Events, "events"),
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
        struct NameVisitor;

        impl de::Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name, E> {
                Ok(match find(text) {
                    Some((member, name)) => Name::Known(member, name),
                    None => Name::Unknown(text.into()),
                })
            }
        }

        from.deserialize_identifier(NameVisitor)
    }
}

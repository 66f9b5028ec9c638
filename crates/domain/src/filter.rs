//! Decides which events a reader wants.
//!
//! Pure matching on fields that the log keeps; payloads are never looked at. [`TypeFilter`] is what an API user writes,
//! [`EventFilter`] adds the other conditions of a search, [`KindIndex`] finds the few subscribers that want an event
//! among many that do not.

mod index;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use self::index::KindIndex;
use crate::{
    event::{Event, EventType, Party},
    ids::{DeviceId, WorkspaceId},
    time::Timestamp,
};

/// The most patterns that one filter may hold.
pub const PATTERNS_MAX: usize = 100;

/// One way to name event types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypePattern {
    /// `*`: every type.
    All,
    /// `prefix.*`: every type that has this prefix and at least one more segment. Holds the prefix without its dot.
    Prefix(EventType),
    /// One type.
    Exact(EventType),
}

/// One or more patterns; an event matches if any of them does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TypeFilter {
    patterns: Box<[TypePattern]>,
}

/// Why a text, or a list of texts, is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeFilterError {
    /// One pattern is neither `*`, nor `prefix.*`, nor a type.
    #[error("`{pattern}` is not `*`, `prefix.*` or an event type")]
    NotAPattern {
        /// Which one of the list, from 0.
        index: usize,
        /// What it says, shortened.
        pattern: String,
    },
    /// Nothing would ever match.
    #[error("the list of event types is empty: name at least one, or use `*`")]
    Empty,
    /// More than [`PATTERNS_MAX`].
    #[error("more than {PATTERNS_MAX} event types are listed")]
    TooMany,
}

/// Conditions on events; all that are set must hold. The default asks for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventFilter {
    /// Only this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Only these types.
    pub kinds: Option<TypeFilter>,
    /// Only this category.
    pub category: Option<Box<str>>,
    /// Only this project.
    pub project: Option<Box<str>>,
    /// Only events whose actor has this id.
    pub actor: Option<Box<str>>,
    /// Only events that came from this device.
    pub device: Option<DeviceId>,
    /// Only events with this `dedup_id`.
    pub dedup_id: Option<Box<str>>,
    /// Received at this moment or later.
    pub from: Option<Timestamp>,
    /// Received before this moment.
    pub to: Option<Timestamp>,
}

impl TypePattern {
    /// Says whether a type is named by this pattern.
    pub fn matches(&self, kind: &EventType) -> bool {
        match self {
            TypePattern::All => true,
            TypePattern::Exact(exact) => exact == kind,
            TypePattern::Prefix(prefix) => kind
                .as_str()
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

impl TypeFilter {
    /// A filter from patterns, in the order given; repeated ones are dropped.
    pub fn new(
        patterns: impl IntoIterator<Item = TypePattern>,
    ) -> Result<TypeFilter, TypeFilterError> {
        let mut distinct = Vec::new();
        for pattern in patterns {
            if !distinct.contains(&pattern) {
                if distinct.len() == PATTERNS_MAX {
                    return Err(TypeFilterError::TooMany);
                }
                distinct.push(pattern);
            }
        }
        if distinct.is_empty() {
            return Err(TypeFilterError::Empty);
        }
        Ok(TypeFilter {
            patterns: distinct.into(),
        })
    }

    /// Reads a comma-separated list such as `message.received,device.*`; blanks around commas do not matter.
    pub fn parse_list(text: &str) -> Result<TypeFilter, TypeFilterError> {
        if text.trim().is_empty() {
            return Err(TypeFilterError::Empty);
        }
        TypeFilter::parse_each(text.split(',').map(str::trim))
    }

    /// Reads one pattern a text.
    pub fn parse_each<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<TypeFilter, TypeFilterError> {
        let patterns: Result<Vec<_>, _> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                text.parse()
                    .map_err(|_wrong: TypePatternError| TypeFilterError::NotAPattern {
                        index,
                        pattern: text.chars().take(64).collect(),
                    })
            })
            .collect();
        TypeFilter::new(patterns?)
    }

    /// The patterns, in the order in which they were given.
    pub fn patterns(&self) -> &[TypePattern] {
        &self.patterns
    }

    /// Says whether every type matches.
    pub fn is_all(&self) -> bool {
        self.patterns.contains(&TypePattern::All)
    }

    /// Says whether a type matches.
    pub fn matches(&self, kind: &EventType) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(kind))
    }
}

impl EventFilter {
    /// Says whether an event meets every condition.
    pub fn matches(&self, event: &Event) -> bool {
        let fields = &event.fields;
        let actor = fields
            .actor
            .as_ref()
            .and_then(|actor: &Party| actor.id.as_ref());
        is_wanted(self.workspace.as_ref(), Some(&event.workspace))
            && self
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.matches(&event.kind))
            && is_wanted(self.category.as_ref(), fields.category.as_ref())
            && is_wanted(self.project.as_ref(), fields.project.as_ref())
            && is_wanted(self.actor.as_ref(), actor)
            && is_wanted(self.device.as_ref(), fields.device.as_ref())
            && is_wanted(self.dedup_id.as_ref(), fields.dedup_id.as_ref())
            && self.from.is_none_or(|from| event.received_at >= from)
            && self.to.is_none_or(|to| event.received_at < to)
    }

    /// Says whether no condition is set, so that every event matches.
    pub fn is_all(&self) -> bool {
        let EventFilter {
            workspace,
            kinds,
            category,
            project,
            actor,
            device,
            dedup_id,
            from,
            to,
        } = self;
        workspace.is_none()
            && kinds.as_ref().is_none_or(TypeFilter::is_all)
            && [category, project, actor, dedup_id]
                .iter()
                .all(|text| text.is_none())
            && device.is_none()
            && from.is_none()
            && to.is_none()
    }
}

/// A condition that is not set holds; one that is set needs the very value.
fn is_wanted<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none() || wanted == there
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `*`, `prefix.*` or an event type")]
pub struct TypePatternError;

impl FromStr for TypePattern {
    type Err = TypePatternError;

    fn from_str(text: &str) -> Result<TypePattern, TypePatternError> {
        let (name, wrap): (_, fn(EventType) -> TypePattern) = match text.strip_suffix(".*") {
            _ if text == "*" => return Ok(TypePattern::All),
            Some(prefix) => (prefix, TypePattern::Prefix),
            None => (text, TypePattern::Exact),
        };
        EventType::new(name)
            .map(wrap)
            .map_err(|_not_a_type| TypePatternError)
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypePattern::All => f.write_str("*"),
            TypePattern::Prefix(prefix) => write!(f, "{prefix}.*"),
            TypePattern::Exact(exact) => write!(f, "{exact}"),
        }
    }
}

impl Default for TypeFilter {
    fn default() -> TypeFilter {
        TypeFilter {
            patterns: Box::new([TypePattern::All]),
        }
    }
}

impl fmt::Display for TypeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.patterns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{pattern}")?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<String>> for TypeFilter {
    type Error = TypeFilterError;

    fn try_from(texts: Vec<String>) -> Result<TypeFilter, TypeFilterError> {
        TypeFilter::parse_each(texts.iter().map(String::as_str))
    }
}

impl From<TypeFilter> for Vec<String> {
    fn from(filter: TypeFilter) -> Vec<String> {
        filter.patterns.iter().map(TypePattern::to_string).collect()
    }
}

#[cfg(test)]
mod tests;

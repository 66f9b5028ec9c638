//! What a workspace demands of its events, and what it adds to them.
//!
//! Looks at the names of a payload's top-level members only if the template requires some; never changes a payload.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess},
};

use crate::{
    event::{NewEvent, Party, TEXT_LENGTH_MAX},
    new_event::{Text, escaped},
};

/// The most names that one list of a template may hold.
pub const NAMES_MAX: usize = 50;
/// The longest retention, in days: a hundred years.
pub const RETENTION_DAYS_MAX: u32 = 36_500;

/// A workspace's template. The default demands and adds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Template {
    /// Members that every event's `actor` must have.
    pub required_actor_fields: Vec<ActorField>,
    /// Members that every payload must have at its top level.
    pub required_payload_keys: Vec<String>,
    /// The category of events that come without one.
    pub default_category: Option<String>,
    /// Whether every event must name a project.
    pub require_project: bool,
    /// How long events are kept; the plan's limit holds if it is shorter.
    pub retention_days: Option<u32>,
    /// Top-level members of payloads that are personal data.
    pub personal_keys: Vec<String>,
}

/// A member of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorField {
    /// `actor.id`
    Id,
    /// `actor.type`
    Type,
    /// `actor.name`
    Name,
    /// `actor.email`
    Email,
    /// `actor.ip`
    Ip,
}

/// One thing that an event, or a template itself, does not fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`: {detail}")]
pub struct Violation {
    /// JSON pointer to what is wrong or missing.
    pub pointer: String,
    /// What was expected.
    pub detail: String,
}

impl Template {
    /// Checks the template itself.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        let lists = [
            ("required_payload_keys", &self.required_payload_keys),
            ("personal_keys", &self.personal_keys),
        ];
        for (member, names) in lists {
            if names.len() > NAMES_MAX {
                let detail = format!("expected at most {NAMES_MAX} names");
                wrong.push(Violation {
                    pointer: format!("/{member}"),
                    detail,
                });
            }
            for (index, name) in names.iter().enumerate().take(NAMES_MAX) {
                if !is_short_text(name) {
                    wrong.push(Violation {
                        pointer: format!("/{member}/{index}"),
                        detail: crate::new_event::TEXT_RULE.to_owned(),
                    });
                }
            }
        }
        if self
            .default_category
            .as_deref()
            .is_some_and(|category| !is_short_text(category))
        {
            wrong.push(Violation {
                pointer: "/default_category".to_owned(),
                detail: crate::new_event::TEXT_RULE.to_owned(),
            });
        }
        if self
            .retention_days
            .is_some_and(|days| !(1..=RETENTION_DAYS_MAX).contains(&days))
        {
            wrong.push(Violation {
                pointer: "/retention_days".to_owned(),
                detail: format!("expected 1 to {RETENTION_DAYS_MAX} days"),
            });
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Adds to an event what the template gives, and lists what the event lacks.
    ///
    /// A member of an actor that is `null` is missing, as everywhere; a payload's member that is `null` is there.
    pub fn apply(&self, event: &mut NewEvent) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        if event.fields.category.is_none() {
            event.fields.category = self.default_category.as_deref().map(Box::from);
        }
        if self.require_project && event.fields.project.is_none() {
            wrong.push(Violation::missing("/project".to_owned()));
        }
        if !self.required_actor_fields.is_empty() {
            self.check_actor(event.fields.actor.as_ref(), &mut wrong);
        }
        if !self.required_payload_keys.is_empty() {
            self.check_payload(&event.payload, &mut wrong);
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn check_actor(&self, actor: Option<&Party>, wrong: &mut Vec<Violation>) {
        let is_id_only = self.required_actor_fields == [ActorField::Id];
        let there: Present = match actor {
            None => Present::default(),
            // The id has been read already.
            Some(actor) if is_id_only => Present(u8::from(actor.id.is_some())),
            Some(actor) => serde_json::from_slice(&actor.json).unwrap_or_default(),
        };
        for field in &self.required_actor_fields {
            if !there.has(*field) {
                wrong.push(Violation::missing(format!("/actor/{}", field.name())));
            }
        }
    }

    fn check_payload(&self, payload: &[u8], wrong: &mut Vec<Violation>) {
        let wanted = Wanted(&self.required_payload_keys);
        let mut from = serde_json::Deserializer::from_slice(payload);
        // What is not an object has no members at all.
        let missing = de::DeserializeSeed::deserialize(wanted, &mut from)
            .unwrap_or_else(|_not_an_object| self.required_payload_keys.iter().collect());
        for name in missing {
            wrong.push(Violation::missing(format!("/payload/{}", escaped(name))));
        }
    }
}

impl ActorField {
    /// The member's name.
    pub const fn name(self) -> &'static str {
        match self {
            ActorField::Id => "id",
            ActorField::Type => "type",
            ActorField::Name => "name",
            ActorField::Email => "email",
            ActorField::Ip => "ip",
        }
    }
}

impl Violation {
    fn missing(pointer: String) -> Violation {
        Violation {
            pointer,
            detail: "required by the workspace's template".to_owned(),
        }
    }
}

fn is_short_text(text: &str) -> bool {
    (1..=TEXT_LENGTH_MAX).contains(&text.len()) && !text.contains('\0')
}

/// Which members an actor has: a bit for each [`ActorField`].
#[derive(Default)]
struct Present(u8);

impl Present {
    fn has(&self, field: ActorField) -> bool {
        self.0 & (1 << (field as u8)) != 0
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Present, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            id: Option<IgnoredAny>,
            #[serde(rename = "type")]
            kind: Option<IgnoredAny>,
            name: Option<IgnoredAny>,
            email: Option<IgnoredAny>,
            ip: Option<IgnoredAny>,
        }

        let members = Members::deserialize(from)?;
        let in_order = [
            members.id,
            members.kind,
            members.name,
            members.email,
            members.ip,
        ];
        let bits = in_order
            .iter()
            .enumerate()
            .fold(0, |bits, (place, member)| {
                bits | (u8::from(member.is_some()) << place)
            });
        Ok(Present(bits))
    }
}

/// Reads the names of an object's members and answers which of the wanted ones are missing.
struct Wanted<'t>(&'t [String]);

impl<'de, 't> de::DeserializeSeed<'de> for Wanted<'t> {
    type Value = Vec<&'t String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, 't> de::Visitor<'de> for Wanted<'t> {
    type Value = Vec<&'t String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut missing: Vec<&'t String> = self.0.iter().collect();
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            missing.retain(|wanted| **wanted != name);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests;

//! Reads an `actor` or a `target`: an object of a few texts, kept as the exact bytes that came in.

use std::fmt;

use serde::de::{self, DeserializeSeed as _, MapAccess};
use serde_json::value::RawValue;

use super::{
    InputCode,
    context::{Context, Text},
};
use crate::event::{PARTY_LENGTH_MAX, Party};

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Actor,
    Target,
}

/// Reads a party. Its bytes must be a part of the body.
pub(super) fn read<E: de::Error>(
    role: Role,
    raw: &RawValue,
    context: &mut Context<'_>,
) -> Result<Party, E> {
    let json = raw.get().as_bytes();
    if json.len() > PARTY_LENGTH_MAX {
        let detail = format!("expected at most {PARTY_LENGTH_MAX} bytes");
        return Err(context.fail(InputCode::InvalidField, detail));
    }
    let mut from = serde_json::Deserializer::from_str(raw.get());
    let id = PartySeed {
        role,
        context: &mut *context,
    }
    .deserialize(&mut from);
    match id {
        Ok(id) => {
            context.member[1] = None;
            Ok(Party {
                json: context.body.slice_ref(json),
                id,
            })
        }
        Err(error) => {
            let error = context.explain(&error);
            Err(context.leave(error))
        }
    }
}

impl Role {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Role::Actor => &["id", "type", "name", "email", "ip"],
            Role::Target => &["id", "type", "name"],
        }
    }
}

/// Checks all members and answers the `id`.
struct PartySeed<'c, 'a> {
    role: Role,
    context: &'c mut Context<'a>,
}

impl<'de> de::DeserializeSeed<'de> for PartySeed<'_, '_> {
    type Value = Option<Box<str>>;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for PartySeed<'_, '_> {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let PartySeed { role, context } = self;
        let names = role.names();
        let (mut id, mut seen) = (None, 0_u8);
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            let Some(index) = names.iter().position(|known| *known == name) else {
                context.member[1] = None;
                return Err(context.fail_unknown(&name, &names.join(", ")));
            };
            context.member[1] = Some(names[index]);
            if seen & (1 << index) != 0 {
                return Err(context.fail(InputCode::InvalidField, "expected once"));
            }
            seen |= 1 << index;
            match map.next_value::<Option<Text<'de>>>()? {
                Some(Text(text)) if names[index] == "id" => id = Some(context.check_text(&text)?),
                Some(Text(text)) if text.contains('\0') => {
                    let detail = "expected a text without NUL characters";
                    return Err(context.fail(InputCode::InvalidField, detail));
                }
                None | Some(_) => {}
            }
        }
        Ok(id)
    }
}

//! Reads a body in one pass.
//!
//! A batch is read twice only if one of its events is wrong: serde cannot go on behind a wrong value, so the second pass
//! first finds where each event ends.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::{
    Draft, Input, InputCode, InputError, Limits, WorkspaceRef,
    context::{Context, Place, Text},
    member::{EXPECTED, Member, Name},
    party::{self, Role},
};
use crate::{
    event::{EventType, Fields},
    time::Timestamp,
};

/// What is read of an event whose payload is left out.
const PAYLOAD_ABSENT: &[u8] = b"{}";
const WORKSPACE_RULE: &str = "expected the id (ws_…) or the slug of a workspace";

/// Reads one event, which is all of `text`; `text` must be a part of `body`.
pub(super) fn read_event(
    body: &Bytes,
    text: &[u8],
    place: Place,
    limits: &Limits,
) -> Result<Draft, InputError> {
    let mut context = Context::new(body, place, limits);
    let seed = EventSeed(&mut context);
    let read = read_all(text, seed);
    read.map_err(|error| context.explain(&error))
}

/// Reads a body in any of its forms.
pub(super) fn read_body(body: &Bytes, limits: &Limits) -> Result<Input, InputError> {
    let mut context = Context::new(body, Place::Body, limits);
    let error = match read_all(
        body,
        BodySeed {
            context: &mut context,
            pass: Pass::First,
        },
    ) {
        Ok(input) => return Ok(input),
        Err(error) => error,
    };
    let is_in_item = matches!(context.place, Place::Item { .. });
    let error = context.explain(&error);
    if !is_in_item || error.code == InputCode::MalformedJson {
        return Err(error);
    }
    let mut context = Context::new(body, Place::Body, limits);
    read_all(
        body,
        BodySeed {
            context: &mut context,
            pass: Pass::Second,
        },
    )
    .map_err(|error| context.explain(&error))
}

fn read_all<'de, S: DeserializeSeed<'de>>(
    text: &'de [u8],
    seed: S,
) -> Result<S::Value, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// How the events of a batch are read.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// As they come, up to the first that is wrong.
    First,
    /// Each by itself, after its end has been found.
    Second,
}

/// One event, `{"events":[…]}` or an array.
struct BodySeed<'c, 'a> {
    context: &'c mut Context<'a>,
    pass: Pass,
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = Input;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Input, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for BodySeed<'_, '_> {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, an array of events or {\"events\":[…]}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Input, A::Error> {
        let BodySeed { context, pass } = self;
        let list = ListSeed {
            context,
            pass,
            list: "",
        };
        de::Visitor::visit_seq(list, seq).map(Input::Batch)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Input, M::Error> {
        let BodySeed { context, pass } = self;
        let mut draft = Building::default();
        while let Some(name) = map.next_key::<Name>()? {
            if let Name::Known(Member::Events, _) = name
                && draft.seen == 0
            {
                let list = ListSeed {
                    context: &mut *context,
                    pass,
                    list: "/events",
                };
                let events = map.next_value_seed(list)?;
                context.place = Place::Body;
                return match map.next_key::<Text<'de>>()? {
                    None => Ok(Input::Batch(events)),
                    Some(Text(name)) => Err(context.fail_unknown(&name, "nothing but events")),
                };
            }
            draft.read_member(name, &mut map, context)?;
        }
        draft.finish(context).map(Input::One)
    }
}

/// The events of a batch.
struct ListSeed<'c, 'a> {
    context: &'c mut Context<'a>,
    pass: Pass,
    list: &'static str,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_, '_> {
    type Value = Vec<Result<Draft, InputError>>;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        self.context.member[0] = Some("events");
        from.deserialize_seq(self)
    }
}

impl<'de> de::Visitor<'de> for ListSeed<'_, '_> {
    type Value = Vec<Result<Draft, InputError>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let ListSeed {
            context,
            pass,
            list,
        } = self;
        let (body, limits) = (context.body, context.limits);
        let mut events = Vec::new();
        loop {
            let place = Place::Item {
                list,
                index: events.len(),
            };
            context.place = place;
            context.member = [None, None];
            let event = match pass {
                Pass::First => seq.next_element_seed(EventSeed(&mut *context))?.map(Ok),
                Pass::Second => seq
                    .next_element::<&'de RawValue>()?
                    .map(|raw| read_event(body, raw.get().as_bytes(), place, limits)),
            };
            match event {
                None => {
                    context.place = Place::Body;
                    return Ok(events);
                }
                Some(_) if events.len() == limits.batch_events_max => {
                    context.place = Place::Body;
                    return Err(context.leave(limits.too_many_events(list)));
                }
                Some(event) => events.push(event),
            }
        }
    }
}

/// One event.
struct EventSeed<'c, 'a>(&'c mut Context<'a>);

impl<'de> DeserializeSeed<'de> for EventSeed<'_, '_> {
    type Value = Draft;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Draft, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for EventSeed<'_, '_> {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: an object with a type")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Draft, M::Error> {
        let EventSeed(context) = self;
        let mut draft = Building::default();
        while let Some(name) = map.next_key::<Name>()? {
            draft.read_member(name, &mut map, context)?;
        }
        draft.finish(context)
    }
}

/// An event of which some members have been read.
#[derive(Default)]
struct Building {
    kind: Option<EventType>,
    workspace: Option<WorkspaceRef>,
    payload: Option<Bytes>,
    fields: Fields,
    seen: u16,
}

impl Building {
    fn read_member<'de, M: MapAccess<'de>>(
        &mut self,
        name: Name,
        map: &mut M,
        context: &mut Context<'_>,
    ) -> Result<(), M::Error> {
        let (member, name) = match name {
            Name::Known(Member::Events, name) => return Err(context.fail_unknown(name, EXPECTED)),
            Name::Known(member, name) => (member, name),
            Name::Unknown(name) => return Err(context.fail_unknown(&name, EXPECTED)),
        };
        context.member[0] = Some(name);
        if self.seen & member.bit() != 0 {
            let detail = "expected once; another member or name has given it already";
            return Err(context.fail(InputCode::InvalidField, detail));
        }
        self.seen |= member.bit();
        self.read_value(member, map, context)?;
        context.member[0] = None;
        Ok(())
    }

    fn read_value<'de, M: MapAccess<'de>>(
        &mut self,
        member: Member,
        map: &mut M,
        context: &mut Context<'_>,
    ) -> Result<(), M::Error> {
        let fields = &mut self.fields;
        match member {
            Member::Payload => {
                let raw = map.next_value::<&'de RawValue>()?;
                self.payload = Some(context.check_payload(raw.get().as_bytes())?);
            }
            Member::Actor => fields.actor = read_party(Role::Actor, map, context)?,
            Member::Target => fields.target = read_party(Role::Target, map, context)?,
            Member::Category => fields.category = read_text(map, context)?,
            Member::Project => fields.project = read_text(map, context)?,
            Member::DedupId => fields.dedup_id = read_text(map, context)?,
            Member::OrderingKey => fields.ordering_key = read_text(map, context)?,
            Member::TraceId => fields.trace_id = read_text(map, context)?,
            Member::Kind => {
                let text = map.next_value::<Text<'de>>()?.0;
                let kind = EventType::new(&text);
                let wrong = |error| context.fail(InputCode::InvalidField, format!("{error}"));
                self.kind = Some(kind.map_err(wrong)?);
            }
            Member::Workspace => {
                if let Some(Text(text)) = map.next_value::<Option<Text<'de>>>()? {
                    let wrong = || context.fail(InputCode::InvalidField, WORKSPACE_RULE);
                    self.workspace = Some(WorkspaceRef::parse(&text).ok_or_else(wrong)?);
                }
            }
            Member::OccurredAt => {
                if let Some(Text(text)) = map.next_value::<Option<Text<'de>>>()? {
                    let wrong = |error| context.fail(InputCode::InvalidField, format!("{error}"));
                    fields.occurred_at = Some(Timestamp::parse(&text).map_err(wrong)?);
                }
            }
            Member::Events => return Err(context.fail_unknown("events", EXPECTED)),
        }
        Ok(())
    }

    fn finish<E: de::Error>(self, context: &mut Context<'_>) -> Result<Draft, E> {
        let Some(kind) = self.kind else {
            context.member = [Some("type"), None];
            return Err(context.fail(InputCode::InvalidField, "the type is missing"));
        };
        Ok(Draft {
            kind,
            workspace: self.workspace,
            payload: self.payload.unwrap_or(Bytes::from_static(PAYLOAD_ABSENT)),
            fields: self.fields,
        })
    }
}

fn read_text<'de, M: MapAccess<'de>>(
    map: &mut M,
    context: &mut Context<'_>,
) -> Result<Option<Box<str>>, M::Error> {
    match map.next_value::<Option<Text<'de>>>()? {
        None => Ok(None),
        Some(Text(text)) => context.check_text(&text).map(Some),
    }
}

fn read_party<'de, M: MapAccess<'de>>(
    role: Role,
    map: &mut M,
    context: &mut Context<'_>,
) -> Result<Option<crate::event::Party>, M::Error> {
    match map.next_value::<Option<&'de RawValue>>()? {
        None => Ok(None),
        Some(raw) => party::read(role, raw, context).map(Some),
    }
}

//! What an owner tells of its log's growth: the new head, and the events themselves while they are few and small.
//!
//! Only the form. It holds what readers show, and is never stored: a node that does not know the form reads from the store.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use domain::{
    event::{Event, EventType, Fields, Hash, Party, Seed},
    ids::{DeviceId, EventId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use uuid::Uuid;

const VERSION: u8 = 1;
/// Payloads that go along in one message.
const PAYLOADS_MAX: usize = 64 * 1024;
/// Events that go along in one message.
const EVENTS_MAX: usize = 1_024;
/// About what an event takes besides its payload.
const EVENT_OVERHEAD: usize = 256;

/// News of one log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogMessage {
    /// The last position that is on disk.
    pub(crate) head: Position,
    /// The events up to there, without a hole; none if they are too large to be sent about.
    pub(crate) events: Vec<Arc<Event>>,
}

/// Writes the news that these events were appended, the last of them at the head.
pub(crate) fn encode(head: Position, events: &[Arc<Event>]) -> Bytes {
    let payloads: usize = events.iter().map(|event| event.payload.len()).sum();
    let shown = if payloads <= PAYLOADS_MAX && events.len() <= EVENTS_MAX {
        events
    } else {
        &[]
    };
    let size = shown.iter().map(|event| event.payload.len()).sum::<usize>();
    let mut out = BytesMut::with_capacity(16 + size + shown.len() * EVENT_OVERHEAD);
    out.put_u8(VERSION);
    out.put_u64(head.get());
    out.put_u16(u16::try_from(shown.len()).expect("at most EVENTS_MAX"));
    for event in shown {
        put_event(&mut out, event);
    }
    out.freeze()
}

/// Reads news. `None` if it is in no form that this node knows.
pub(crate) fn decode(body: Bytes) -> Option<LogMessage> {
    let mut from = Reader(body);
    if from.u8()? != VERSION {
        return None;
    }
    let head = Position::new(from.u64()?);
    let count = from.u16()?;
    let events = (0..count)
        .map(|_| from.event().map(Arc::new))
        .collect::<Option<Vec<_>>>()?;
    Some(LogMessage { head, events })
}

fn put_event(out: &mut BytesMut, event: &Event) {
    out.put_u64(event.position.get());
    out.put_u64(event.seq.get());
    out.put_slice(event.id.as_bytes());
    out.put_slice(event.workspace.as_bytes());
    out.put_i64(event.received_at.micros());
    put_part(out, event.kind.as_str().as_bytes());
    let fields = &event.fields;
    put_maybe(out, fields.occurred_at.as_ref(), |out, at| {
        out.put_i64(at.micros());
    });
    for text in [&fields.category, &fields.project] {
        put_text(out, text.as_deref());
    }
    for party in [&fields.actor, &fields.target] {
        put_maybe(out, party.as_ref(), |out, party| {
            put_part(out, &party.json);
            put_text(out, party.id.as_deref());
        });
    }
    for text in [&fields.dedup_id, &fields.ordering_key, &fields.trace_id] {
        put_text(out, text.as_deref());
    }
    put_maybe(out, fields.device.as_ref(), |out, device| {
        out.put_slice(device.as_bytes());
    });
    put_part(out, &event.payload);
    out.put_slice(&event.seed.0);
    out.put_slice(&event.prev_hash.0);
    out.put_slice(&event.hash.0);
}

fn put_maybe<T>(out: &mut BytesMut, value: Option<T>, put: impl FnOnce(&mut BytesMut, T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_text(out: &mut BytesMut, text: Option<&str>) {
    put_maybe(out, text, |out, text| put_part(out, text.as_bytes()));
}

fn put_part(out: &mut BytesMut, part: &[u8]) {
    out.put_u32(u32::try_from(part.len()).expect("a part of an event is small"));
    out.put_slice(part);
}

/// What is left to be read.
struct Reader(Bytes);

impl Reader {
    fn bytes(&mut self, count: usize) -> Option<Bytes> {
        (self.0.len() >= count).then(|| self.0.split_to(count))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.as_ref().try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let micros = self.array().map(i64::from_be_bytes)?;
        Some(Timestamp::from_micros(micros))
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    fn part(&mut self) -> Option<Bytes> {
        let length = self.array().map(u32::from_be_bytes)?;
        self.bytes(usize::try_from(length).ok()?)
    }

    fn str(&mut self) -> Option<Box<str>> {
        let part = self.part()?;
        std::str::from_utf8(&part).ok().map(Box::from)
    }

    /// The outer `None` is a broken message.
    fn maybe<T>(&mut self, take: impl FnOnce(&mut Reader) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => take(self).map(Some),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Option<Box<str>>> {
        self.maybe(Reader::str)
    }

    fn party(&mut self) -> Option<Option<Party>> {
        self.maybe(|from| {
            Some(Party {
                json: from.part()?,
                id: from.text()?,
            })
        })
    }

    fn event(&mut self) -> Option<Event> {
        Some(Event {
            position: Position::new(self.u64()?),
            seq: Seq::new(self.u64()?),
            id: EventId::from_uuid(self.uuid()?),
            workspace: WorkspaceId::from_uuid(self.uuid()?),
            received_at: self.time()?,
            kind: EventType::new(&self.str()?).ok()?,
            fields: Fields {
                occurred_at: self.maybe(Reader::time)?,
                category: self.text()?,
                project: self.text()?,
                actor: self.party()?,
                target: self.party()?,
                dedup_id: self.text()?,
                ordering_key: self.text()?,
                trace_id: self.text()?,
                device: self.maybe(|from| from.uuid().map(DeviceId::from_uuid))?,
            },
            payload: self.part()?,
            seed: Seed(self.array()?),
            prev_hash: Hash(self.array()?),
            hash: Hash(self.array()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Texts = [Option<String>; 5];

    fn event(position: u64, payload: Vec<u8>, texts: &Texts, number: u8) -> Arc<Event> {
        let text = |index: usize| texts[index].clone().map(String::into_boxed_str);
        let party = Party {
            json: Bytes::from_static(b"{\"id\":\"u1\"}"),
            id: text(4),
        };
        Arc::new(Event {
            position: Position::new(position),
            seq: Seq::new(position),
            id: EventId::from_uuid(Uuid::from_u128(u128::from(number))),
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(2)),
            received_at: Timestamp::from_micros(i64::from(number)),
            kind: EventType::new("order.paid").unwrap(),
            fields: Fields {
                occurred_at: number.is_multiple_of(2).then(|| Timestamp::from_micros(-5)),
                category: text(0),
                project: text(1),
                actor: number.is_multiple_of(3).then(|| party.clone()),
                target: number.is_multiple_of(5).then_some(party),
                dedup_id: text(2),
                ordering_key: text(3),
                trace_id: text(4),
                device: number
                    .is_multiple_of(7)
                    .then(|| DeviceId::from_uuid(Uuid::from_u128(9))),
            },
            payload: payload.into(),
            seed: Seed([number; 32]),
            prev_hash: Hash([1; 32]),
            hash: Hash([2; 32]),
        })
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_heard(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            texts in any::<Texts>(),
            number in any::<u8>(),
        ) {
            let events: Vec<_> = (1_u64..)
                .zip(payloads)
                .map(|(position, payload)| event(position, payload, &texts, number))
                .collect();
            let head = Position::new(events.len() as u64);
            let heard = decode(encode(head, &events)).unwrap();
            prop_assert_eq!(heard, LogMessage { head, events });
        }

        #[test]
        fn noise_is_no_news_and_harms_nobody(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(Bytes::from(noise)));
        }

        #[test]
        fn half_a_message_is_none(length in 0_usize..200) {
            let whole = encode(Position::new(1), &[event(1, b"{}".to_vec(), &Texts::default(), 210)]);
            prop_assert!(length >= whole.len() || decode(whole.slice(..length)).is_none());
        }
    }

    #[test]
    fn of_large_events_only_the_head_is_told() {
        let large = event(7, vec![b'1'; PAYLOADS_MAX + 1], &Texts::default(), 1);
        let body = encode(Position::new(7), &[large]);
        assert!(body.len() < 64);
        let heard = decode(body).unwrap();
        assert_eq!((heard.head, heard.events.len()), (Position::new(7), 0));
    }
}

//! Boils down what a commit writes about devices to one final row a key, as [`fold`](crate::log::fold) does for deliveries.
//!
//! [`Joined`] says how steps towards one message come together; the statements of both databases say the same once more, for
//! what is stored already. Either is a join: the order in which it is done makes no difference. Knows no SQL.

use std::collections::HashMap;

use domain::{
    device::{MessageState, MessageStep},
    fence::Fence,
    ids::DeviceId,
    position::Position,
    time::Timestamp,
};
use uuid::Uuid;

use super::{Credentials, MessageMark, MessageOutcome, OutgoingMessage};

/// A device as its tenant knows it; the number of the tenant keeps everybody else out.
pub(in crate::log) type DeviceKey = (i64, DeviceId);

/// A message by the name that the network gave it: chat, sender, id.
pub(in crate::log) type NetworkKey<'a> = (DeviceKey, [&'a str; 3]);

/// The origin of a row that the engine sent: before every other.
pub(in crate::log) const ORIGIN_OUTGOING: i64 = 0;

/// The origin of a row of which only steps are known: after every position.
const ORIGIN_HEARSAY: i64 = 1 << 40;

/// The final rows of a commit that speak of devices. Written in the order of the fields.
#[derive(Default)]
pub(in crate::log) struct DeviceFold<'a> {
    /// Devices whose credentials and messages go, before anything else is written.
    pub(in crate::log) forgotten: Vec<DeviceKey>,
    /// Devices whose fence is higher from now on.
    pub(in crate::log) fences: HashMap<DeviceKey, Fence>,
    /// What each device's connector keeps from now on.
    pub(in crate::log) credentials: HashMap<DeviceKey, &'a Credentials>,
    /// Messages on their way out; those that are there already stay as they are.
    pub(in crate::log) outgoing: HashMap<(DeviceKey, Uuid), &'a OutgoingMessage>,
    /// What became of messages on their way out.
    pub(in crate::log) outcomes: HashMap<(DeviceKey, Uuid), Settled<'a>>,
    /// What the commit's events do to messages.
    pub(in crate::log) messages: HashMap<NetworkKey<'a>, Joined>,
}

/// What became of a message on its way out, and when.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Settled<'a> {
    /// What.
    pub(in crate::log) outcome: &'a MessageOutcome,
    /// When.
    pub(in crate::log) at: Timestamp,
}

/// What any number of steps towards one message come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Joined {
    /// Where `id` and `at` are from: those with the lowest origin stay. [`ORIGIN_OUTGOING`] for a message that the engine
    /// sent; the position of the event that told of it; else beyond all positions, in the order of the events.
    pub(in crate::log) origin: i64,
    /// What we call it.
    pub(in crate::log) id: Uuid,
    /// When it was told of.
    pub(in crate::log) at: Timestamp,
    /// When the last step was.
    pub(in crate::log) changed_at: Timestamp,
    /// The first event that told of it.
    pub(in crate::log) position: Option<Position>,
    /// The last event that edited it.
    pub(in crate::log) edited: Option<Position>,
    /// The last event that deleted it.
    pub(in crate::log) deleted: Option<Position>,
    /// How far it came.
    pub(in crate::log) state: Option<MessageState>,
}

impl<'a> DeviceFold<'a> {
    /// Takes a device's fence that is higher than the stored one.
    pub(in crate::log) fn open(&mut self, device: DeviceKey, fence: Fence) {
        let held = self.fences.entry(device).or_insert(fence);
        *held = fence.max(*held);
    }

    /// Takes credentials.
    pub(in crate::log) fn keep(&mut self, device: DeviceKey, credentials: &'a Credentials) {
        self.credentials.insert(device, credentials);
    }

    /// Takes a message on its way out.
    pub(in crate::log) fn send(&mut self, device: DeviceKey, message: &'a OutgoingMessage) {
        self.outgoing.entry((device, message.id)).or_insert(message);
    }

    /// Takes what became of a message on its way out.
    pub(in crate::log) fn settle(
        &mut self,
        device: DeviceKey,
        id: Uuid,
        outcome: &'a MessageOutcome,
        at: Timestamp,
    ) {
        let new = Settled { outcome, at };
        self.outcomes
            .entry((device, id))
            .and_modify(|settled| *settled = settled.or_better(new))
            .or_insert(new);
    }

    /// Takes what an event does to a message.
    pub(in crate::log) fn mark(&mut self, tenant_no: i64, mark: &'a MessageMark) {
        let device = (tenant_no, mark.device);
        let key = [&*mark.key.chat, &*mark.key.sender, &*mark.key.id];
        let new = Joined::of(mark);
        self.messages
            .entry((device, key))
            .and_modify(|joined| *joined = joined.join(new))
            .or_insert(new);
    }

    /// Drops what was taken of a device but its fence, and deletes what is stored of it.
    pub(in crate::log) fn forget(&mut self, gone: DeviceKey) {
        self.credentials.remove(&gone);
        self.outgoing.retain(|(device, _), _| *device != gone);
        self.outcomes.retain(|(device, _), _| *device != gone);
        self.messages.retain(|(device, _), _| *device != gone);
        self.forgotten.push(gone);
    }
}

impl<'a> Settled<'a> {
    /// The one that says more: sent is more than failed, and sent under a name more than without one.
    fn or_better(self, other: Settled<'a>) -> Settled<'a> {
        let rank = |outcome: &MessageOutcome| match outcome {
            MessageOutcome::Failed(_) => 0,
            MessageOutcome::Sent(None) => 1,
            MessageOutcome::Sent(Some(_)) => 2,
        };
        let at = self.at.max(other.at);
        let outcome = if rank(other.outcome) > rank(self.outcome) {
            other.outcome
        } else {
            self.outcome
        };
        Settled { outcome, at }
    }
}

impl Joined {
    /// What one step comes to.
    pub(in crate::log) fn of(mark: &MessageMark) -> Joined {
        let place = i64::try_from(mark.position.get()).unwrap_or(i64::MAX);
        let is = |step: MessageStep| (mark.step == step).then_some(mark.position);
        Joined {
            origin: match mark.step {
                MessageStep::Received => place,
                MessageStep::Updated
                | MessageStep::Deleted
                | MessageStep::Delivered
                | MessageStep::Read => place.saturating_add(ORIGIN_HEARSAY),
            },
            id: mark.event.uuid(),
            at: mark.at,
            changed_at: mark.at,
            position: is(MessageStep::Received),
            edited: is(MessageStep::Updated),
            deleted: is(MessageStep::Deleted),
            state: match mark.step {
                MessageStep::Received | MessageStep::Updated | MessageStep::Deleted => None,
                MessageStep::Delivered => Some(MessageState::Delivered),
                MessageStep::Read => Some(MessageState::Read),
            },
        }
    }

    /// What two of them come to, in either order.
    pub(in crate::log) fn join(self, other: Joined) -> Joined {
        let first = if other.origin < self.origin {
            other
        } else {
            self
        };
        Joined {
            origin: first.origin,
            id: first.id,
            at: first.at,
            changed_at: self.changed_at.max(other.changed_at),
            position: [self.position, other.position].into_iter().flatten().min(),
            edited: self.edited.max(other.edited),
            deleted: self.deleted.max(other.deleted),
            state: match (self.state, other.state) {
                (Some(one), Some(two)) => Some(one.raised_to(two)),
                (one, two) => one.or(two),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{device::MessageKey, ids::EventId};
    use proptest::prelude::*;

    use super::*;

    /// The step that the event at a position takes.
    fn mark(position: u64, step: MessageStep) -> MessageMark {
        MessageMark {
            device: DeviceId::from_uuid(Uuid::from_u128(1)),
            key: MessageKey {
                chat: "c".into(),
                sender: "s".into(),
                id: "m".into(),
            },
            step,
            event: EventId::from_uuid(Uuid::from_u128(position.into())),
            position: Position::new(position),
            at: Timestamp::from_micros(1_000 - i64::try_from(position).unwrap()),
        }
    }

    fn marks() -> impl Strategy<Value = Vec<MessageMark>> {
        let steps = prop::collection::vec(prop::sample::select(&MessageStep::ALL), 1..8);
        steps
            .prop_map(|steps| {
                (1..)
                    .zip(steps)
                    .map(|(at, step)| mark(at, step))
                    .collect::<Vec<_>>()
            })
            .prop_shuffle()
    }

    fn join(marks: &[MessageMark]) -> Joined {
        marks.iter().map(Joined::of).reduce(Joined::join).unwrap()
    }

    proptest! {
        #[test]
        fn steps_in_any_order_and_grouping_come_to_the_same(marks in marks(), cut in 0..8_usize) {
            let mut sorted = marks.clone();
            sorted.sort_by_key(|mark| mark.position);
            let whole = join(&sorted);
            prop_assert_eq!(join(&marks), whole);
            let cut = cut.clamp(1, marks.len());
            if cut < marks.len() {
                let (left, right) = marks.split_at(cut);
                prop_assert_eq!(join(right).join(join(left)), whole);
            }
            prop_assert_eq!(whole.join(join(&marks[..cut])), whole, "a step that is taken again changes nothing");
        }
    }

    #[test]
    fn a_message_that_comes_after_its_edit_gives_it_its_name() {
        let joined = join(&[
            mark(3, MessageStep::Updated),
            mark(5, MessageStep::Received),
        ]);
        assert_eq!(joined.id, Uuid::from_u128(5));
        assert_eq!(joined.position, Some(Position::new(5)));
        assert_eq!(joined.edited, Some(Position::new(3)));
    }

    #[test]
    fn sent_says_more_than_failed_and_a_name_more_than_none() {
        let device = (1, DeviceId::from_uuid(Uuid::nil()));
        let failed = MessageOutcome::Failed(super::super::MessageError {
            code: "c".into(),
            message: "m".into(),
        });
        let named = MessageOutcome::Sent(Some(mark(1, MessageStep::Received).key));
        let sent = MessageOutcome::Sent(None);
        let orders = [
            [&failed, &named, &sent],
            [&named, &sent, &failed],
            [&sent, &failed, &named],
        ];
        for order in orders {
            let mut fold = DeviceFold::default();
            for outcome in order {
                fold.settle(device, Uuid::nil(), outcome, Timestamp::from_micros(1));
            }
            assert_eq!(fold.outcomes[&(device, Uuid::nil())].outcome, &named);
        }
    }
}

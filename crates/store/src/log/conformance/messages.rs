//! Messages of devices: one row each, in whatever order the steps towards it come.

use bytes::Bytes;
use domain::{
    device::{MessageKey, MessageState, MessageStep},
    fence::Fence,
    ids::{DeviceId, EventId},
    position::Position,
};
use uuid::Uuid;

use super::{
    Ground,
    author::{Author, commit, commit_one, device, received_at, tenant},
};
use crate::log::{
    Direction, Message, MessageError, MessageMark, MessageOutcome, OutgoingMessage, RegionLog,
    Write,
};

/// The id under which the engine sends a message.
pub fn message_id(number: u128) -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | number)
}

/// A message on its way out.
pub fn outgoing(number: u128, device: DeviceId, message: u128) -> Write {
    Write::Outgoing {
        tenant: tenant(number),
        device,
        fence: Fence::new(1 << 40),
        message: OutgoingMessage {
            id: message_id(message),
            chat: "chat".into(),
            body: Bytes::from(format!(r#"{{"text":"{message}"}}"#)),
            at: received_at(1),
        },
    }
}

/// What became of it, so many seconds after the start.
pub fn outcome(device: DeviceId, message: u128, outcome: MessageOutcome, at: u64) -> Write {
    Write::Outcome {
        tenant: tenant(1),
        device,
        by: None,
        id: message_id(message),
        outcome,
        at: received_at(at),
    }
}

fn failed(code: &str) -> MessageOutcome {
    MessageOutcome::Failed(MessageError {
        code: code.into(),
        message: "the network said no\0".into(),
    })
}

/// What the network calls a message.
pub fn key(sender: &str, id: &str) -> MessageKey {
    MessageKey {
        chat: "chat".into(),
        sender: sender.into(),
        id: id.into(),
    }
}

/// The id of the event at a position.
pub fn event_id(position: u64) -> Uuid {
    message_id(u128::from(position) << 32)
}

/// What the event at a position does to a message.
pub fn mark(device: DeviceId, key: MessageKey, step: MessageStep, position: u64) -> MessageMark {
    MessageMark {
        device,
        key,
        step,
        event: EventId::from_uuid(event_id(position)),
        position: Position::new(position),
        at: received_at(position),
    }
}

/// Commits an event that does these things.
pub async fn append(log: &dyn RegionLog, author: &mut Author, marks: Vec<MessageMark>) {
    commit_one(log, appended(author, marks)).await;
}

pub fn appended(author: &mut Author, marks: Vec<MessageMark>) -> Write {
    let event = author.event();
    let mut append = author.append(vec![event]);
    append.messages = marks;
    Write::Append(append)
}

pub async fn find(log: &dyn RegionLog, device: DeviceId, id: Uuid) -> Option<Message> {
    log.message(tenant(1), device, id).await.unwrap()
}

/// An incoming message that the event at a position told of.
fn received(position: u64) -> Message {
    Message {
        id: event_id(position),
        direction: Direction::In,
        chat: "chat".into(),
        sender: "ann".into(),
        network_id: Some("m".into()),
        state: None,
        at: received_at(position),
        changed_at: received_at(position),
        position: Some(Position::new(position)),
        edited: None,
        deleted: None,
        body: None,
        error: None,
    }
}

/// The message with this number on its way out.
fn sending(message: u128) -> Message {
    Message {
        id: message_id(message),
        direction: Direction::Out,
        sender: "".into(),
        network_id: None,
        state: Some(MessageState::Pending),
        position: None,
        body: Some(Bytes::from(format!(r#"{{"text":"{message}"}}"#))),
        ..received(1)
    }
}

pub async fn a_message_is_called_by_the_event_that_told_of_it(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let marks = vec![mark(device(1), key("ann", "m"), MessageStep::Received, 1)];
    append(&*log, &mut author, marks).await;
    assert_eq!(find(&*log, device(1), event_id(1)).await, Some(received(1)));
    assert_eq!(find(&*log, device(2), event_id(1)).await, None);
    assert_eq!(find(&*log, device(1), event_id(2)).await, None);

    // Told of once more, after its dedup id was forgotten: it is the same message.
    let marks = vec![mark(device(1), key("ann", "m"), MessageStep::Received, 2)];
    append(&*log, &mut author, marks).await;
    let expected = Message {
        changed_at: received_at(2),
        ..received(1)
    };
    assert_eq!(find(&*log, device(1), event_id(1)).await, Some(expected));
    assert_eq!(find(&*log, device(1), event_id(2)).await, None);

    // What the device itself sent, from elsewhere.
    let marks = vec![mark(device(1), key("", "own"), MessageStep::Received, 3)];
    append(&*log, &mut author, marks).await;
    let own = find(&*log, device(1), event_id(3)).await.unwrap();
    assert_eq!(own.direction, Direction::Out);
}

pub async fn an_edit_a_deletion_or_a_receipt_may_come_first(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let steps = [
        MessageStep::Updated,
        MessageStep::Deleted,
        MessageStep::Read,
    ];
    for (position, step) in (1..).zip(steps) {
        let marks = vec![mark(device(1), key("ann", "m"), step, position)];
        append(&*log, &mut author, marks).await;
    }
    let mut expected = Message {
        position: None,
        state: Some(MessageState::Read),
        edited: Some(Position::new(1)),
        deleted: Some(Position::new(2)),
        changed_at: received_at(3),
        ..received(1)
    };
    let early = find(&*log, device(1), event_id(1)).await;
    assert_eq!(early.as_ref(), Some(&expected));

    let marks = vec![mark(device(1), key("ann", "m"), MessageStep::Received, 4)];
    append(&*log, &mut author, marks).await;
    expected.id = event_id(4);
    expected.at = received_at(4);
    expected.changed_at = received_at(4);
    expected.position = Some(Position::new(4));
    assert_eq!(find(&*log, device(1), event_id(4)).await, Some(expected));
    assert_eq!(find(&*log, device(1), event_id(1)).await, None);
}

/// All orders of five steps, each on a device of its own: step by step, by twos, and all in one commit.
pub async fn steps_in_any_order_give_the_same_row(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let steps: Vec<(u64, MessageStep)> = (1..).zip(MessageStep::ALL).collect();
    let orders = orders_of(&steps);
    assert_eq!(orders.len(), 120);
    let mut devices = 0;
    for at_once in [1, 2, 5] {
        let first = devices;
        for begin in (0..5).step_by(at_once) {
            let mut marks = Vec::new();
            for (number, order) in (first..).zip(&orders) {
                for (position, step) in order.iter().skip(begin).take(at_once) {
                    marks.push(mark(device(number), key("ann", "m"), *step, *position));
                }
            }
            append(&*log, &mut author, marks).await;
        }
        devices += 120;
    }
    let expected = Message {
        state: Some(MessageState::Read),
        edited: Some(Position::new(2)),
        deleted: Some(Position::new(3)),
        changed_at: received_at(5),
        ..received(1)
    };
    for number in 0..devices {
        let found = find(&*log, device(number), event_id(1)).await;
        assert_eq!(found.as_ref(), Some(&expected), "{number}");
    }
}

fn orders_of<T: Copy>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut orders = Vec::new();
    for at in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        for mut order in orders_of(&rest) {
            order.insert(0, first);
            orders.push(order);
        }
    }
    orders
}

pub async fn a_step_that_is_taken_again_changes_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let marks = vec![
        mark(device(1), key("ann", "m"), MessageStep::Received, 1),
        mark(device(1), key("ann", "m"), MessageStep::Read, 2),
        mark(device(1), key("ann", "m"), MessageStep::Updated, 3),
    ];
    append(&*log, &mut author, marks.clone()).await;
    let before = find(&*log, device(1), event_id(1)).await.unwrap();
    append(&*log, &mut author, marks[..2].to_vec()).await;
    let delivered = mark(device(1), key("ann", "m"), MessageStep::Delivered, 2);
    append(&*log, &mut author, vec![delivered]).await;
    assert_eq!(find(&*log, device(1), event_id(1)).await, Some(before));
}

pub async fn a_message_of_ours_goes_from_pending_to_read(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    commit_one(&*log, outgoing(1, device(1), 7)).await;
    let mut expected = sending(7);
    let now = async || find(&*log, device(1), message_id(7)).await.unwrap();
    assert_eq!(now().await, expected);

    let sent = MessageOutcome::Sent(Some(key("", "net")));
    commit_one(&*log, outcome(device(1), 7, sent.clone(), 4)).await;
    expected.network_id = Some("net".into());
    expected.state = Some(MessageState::Sent);
    expected.changed_at = received_at(4);
    assert_eq!(now().await, expected);

    let steps = [
        (MessageStep::Delivered, MessageState::Delivered),
        (MessageStep::Read, MessageState::Read),
        (MessageStep::Delivered, MessageState::Read),
    ];
    for (position, (step, state)) in (5..).zip(steps) {
        append(
            &*log,
            &mut author,
            vec![mark(device(1), key("", "net"), step, position)],
        )
        .await;
        expected.state = Some(state);
        expected.changed_at = received_at(position);
        assert_eq!(now().await, expected);
    }

    // Said again, and contradicted: it was sent.
    for again in [sent, failed("late"), MessageOutcome::Sent(None)] {
        commit_one(&*log, outcome(device(1), 7, again, 9)).await;
        commit_one(&*log, outgoing(1, device(1), 7)).await;
        assert_eq!(now().await, expected);
    }
}

pub async fn an_event_that_was_faster_than_the_outcome_is_joined(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    for (number, step) in (1..).zip([MessageStep::Received, MessageStep::Delivered]) {
        let device = device(number);
        commit_one(&*log, outgoing(1, device, 7)).await;
        append(
            &*log,
            &mut author,
            vec![mark(device, key("", "net"), step, 3)],
        )
        .await;
        let sent = MessageOutcome::Sent(Some(key("", "net")));
        commit_one(&*log, outcome(device, 7, sent, 4)).await;
        let is_echo = step == MessageStep::Received;
        let expected = Message {
            network_id: Some("net".into()),
            state: Some(if is_echo {
                MessageState::Sent
            } else {
                MessageState::Delivered
            }),
            position: is_echo.then_some(Position::new(3)),
            changed_at: received_at(4),
            ..sending(7)
        };
        assert_eq!(find(&*log, device, message_id(7)).await, Some(expected));
        assert_eq!(find(&*log, device, event_id(3)).await, None, "one row");
    }
}

pub async fn a_message_that_failed_says_why_until_it_was_sent_after_all(ground: &dyn Ground) {
    let log = ground.open().await;
    let named = || MessageOutcome::Sent(Some(key("", "net")));
    for (message, late) in [(1, MessageOutcome::Sent(None)), (2, named())] {
        commit_one(&*log, outgoing(1, device(1), message)).await;
        commit_one(
            &*log,
            outcome(device(1), message, failed("not_on_network"), 2),
        )
        .await;
        commit_one(&*log, outcome(device(1), message, failed("again"), 3)).await;
        let found = find(&*log, device(1), message_id(message)).await.unwrap();
        assert_eq!(found.state, Some(MessageState::Failed));
        let error = found.error.unwrap();
        assert_eq!(&*error.code, "not_on_network");
        assert_eq!(&*error.message, "the network said no\0");

        commit_one(&*log, outcome(device(1), message, late, 4)).await;
        let found = find(&*log, device(1), message_id(message)).await.unwrap();
        assert_eq!((found.state, found.error), (Some(MessageState::Sent), None));
        assert_eq!(found.network_id.is_some(), message == 2);
    }
    // A name that comes later than the word that it was sent is taken too.
    let later = MessageOutcome::Sent(Some(key("", "later")));
    commit_one(&*log, outcome(device(1), 1, later, 5)).await;
    let found = find(&*log, device(1), message_id(1)).await.unwrap();
    assert_eq!(found.network_id.as_deref(), Some("later"));
}

pub async fn an_outcome_of_what_is_not_there_is_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, outgoing(1, device(1), 1)).await;
    let parts = [
        outcome(device(1), 2, MessageOutcome::Sent(Some(key("", "net"))), 1),
        outcome(device(2), 1, failed("a"), 1),
        outcome(device(2), 1, MessageOutcome::Sent(None), 1),
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    assert_eq!(
        find(&*log, device(1), message_id(1)).await,
        Some(sending(1))
    );
    assert_eq!(find(&*log, device(1), message_id(2)).await, None);
    assert_eq!(find(&*log, device(2), message_id(1)).await, None);
}

pub async fn a_name_is_given_to_one_message_of_ours_only(ground: &dyn Ground) {
    let log = ground.open().await;
    let named = || MessageOutcome::Sent(Some(key("", "net")));
    for message in [1, 2] {
        commit_one(&*log, outgoing(1, device(1), message)).await;
        commit_one(&*log, outcome(device(1), message, named(), 3)).await;
    }
    let names = async |message| {
        let found = find(&*log, device(1), message_id(message)).await.unwrap();
        (found.state, found.network_id)
    };
    let sent = Some(MessageState::Sent);
    assert_eq!(names(1).await, (sent, Some("net".into())));
    assert_eq!(names(2).await, (sent, None));
}

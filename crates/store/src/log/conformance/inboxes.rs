//! Lists of messages, commits of many parts about messages, and what a deleted device leaves.

use domain::{
    device::{MessageKey, MessageState, MessageStep},
    ids::DeviceId,
};
use uuid::Uuid;

use super::{
    Ground,
    author::{Author, commit, commit_one, device, tenant},
    messages::{append, appended, event_id, find, key, mark, message_id, outcome, outgoing},
};
use crate::log::{
    Direction, FORGOTTEN_AT_ONCE, MessageOutcome, MessagePage, MessageQuery, RegionLog, Write,
};

/// All messages of a device.
pub(super) fn all(device: DeviceId) -> MessageQuery {
    MessageQuery {
        device,
        before: None,
        after: None,
        chat: None,
        direction: None,
        state: None,
        limit: 100,
        scan_max: 1_000,
    }
}

async fn list(log: &dyn RegionLog, query: &MessageQuery) -> MessagePage {
    log.messages(tenant(1), query).await.unwrap()
}

async fn ids(log: &dyn RegionLog, query: &MessageQuery) -> Vec<Uuid> {
    let page = list(log, query).await;
    page.messages.iter().map(|message| message.id).collect()
}

fn in_chat(chat: &str, sender: &str, id: u64) -> MessageKey {
    MessageKey {
        chat: chat.into(),
        sender: sender.into(),
        id: id.to_string().into(),
    }
}

/// Messages 1 to 9 of events, every third in another chat; then two of ours, of which one failed.
async fn fill(log: &dyn RegionLog) -> Author {
    let mut author = Author::new(1);
    for position in 1..=9 {
        let chat = if position % 3 == 0 { "other" } else { "chat" };
        let key = in_chat(chat, "ann", position);
        let marks = vec![mark(device(1), key, MessageStep::Received, position)];
        append(log, &mut author, marks).await;
    }
    let mut marks = vec![mark(
        device(1),
        in_chat("chat", "", 10),
        MessageStep::Received,
        10,
    )];
    marks.push(mark(
        device(1),
        in_chat("chat", "ann", 2),
        MessageStep::Read,
        11,
    ));
    marks.push(mark(
        device(2),
        in_chat("chat", "ann", 2),
        MessageStep::Received,
        12,
    ));
    append(log, &mut author, marks).await;
    commit_one(log, outgoing(1, device(1), 1)).await;
    author
}

pub async fn messages_are_listed_page_by_page_newest_first(ground: &dyn Ground) {
    let log = ground.open().await;
    fill(&*log).await;
    let newest_first: Vec<Uuid> = (1..=10)
        .rev()
        .map(event_id)
        .chain([message_id(1)])
        .collect();
    assert_eq!(ids(&*log, &all(device(1))).await, newest_first);
    assert_eq!(list(&*log, &all(device(1))).await.next, None);

    let mut seen = Vec::new();
    let mut query = MessageQuery {
        limit: 4,
        ..all(device(1))
    };
    loop {
        let page = list(&*log, &query).await;
        assert!(page.messages.len() <= 4);
        seen.extend(page.messages.iter().map(|message| message.id));
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, newest_first);

    let between = MessageQuery {
        before: Some(event_id(8)),
        after: Some(event_id(5)),
        ..all(device(1))
    };
    assert_eq!(ids(&*log, &between).await, [event_id(7), event_id(6)]);
}

pub async fn messages_are_filtered_by_chat_direction_and_state(ground: &dyn Ground) {
    let log = ground.open().await;
    fill(&*log).await;
    let chat = MessageQuery {
        chat: Some("other".into()),
        ..all(device(1))
    };
    assert_eq!(ids(&*log, &chat).await, [9, 6, 3].map(event_id));
    let out = MessageQuery {
        direction: Some(Direction::Out),
        ..all(device(1))
    };
    assert_eq!(ids(&*log, &out).await, [event_id(10), message_id(1)]);
    let both = MessageQuery {
        direction: Some(Direction::In),
        chat: Some("chat".into()),
        limit: 3,
        ..all(device(1))
    };
    assert_eq!(ids(&*log, &both).await, [8, 7, 5].map(event_id));
    for (state, expected) in [
        (MessageState::Read, vec![event_id(2)]),
        (MessageState::Pending, vec![message_id(1)]),
        (MessageState::Failed, vec![]),
    ] {
        let query = MessageQuery {
            state: Some(state),
            ..all(device(1))
        };
        assert_eq!(ids(&*log, &query).await, expected, "{state}");
    }
}

pub async fn a_page_of_messages_looks_at_no_more_than_it_may(ground: &dyn Ground) {
    let log = ground.open().await;
    fill(&*log).await;
    let mut query = MessageQuery {
        state: Some(MessageState::Pending),
        scan_max: 4,
        ..all(device(1))
    };
    let page = list(&*log, &query).await;
    assert_eq!(
        page,
        MessagePage {
            messages: vec![],
            next: Some(event_id(7))
        }
    );
    query.before = page.next;
    let page = list(&*log, &query).await;
    assert_eq!(
        page,
        MessagePage {
            messages: vec![],
            next: Some(event_id(3))
        }
    );
    query.before = page.next;
    let page = list(&*log, &query).await;
    assert_eq!(page.next, None);
    assert_eq!(page.messages[0].id, message_id(1));
}

pub async fn a_foreign_tenant_sees_no_message(ground: &dyn Ground) {
    let log = ground.open().await;
    fill(&*log).await;
    Author::new(2).write(&*log, 1).await;
    for number in [2, 3] {
        let page = log.messages(tenant(number), &all(device(1))).await.unwrap();
        assert_eq!(page, MessagePage::default());
        let found = log.message(tenant(number), device(1), event_id(1)).await;
        assert_eq!(found.unwrap(), None);
    }
    // Nor does it touch one: the same device and key are another message.
    let mut stranger = Author::new(2);
    stranger.events(1);
    let marks = vec![mark(
        device(1),
        in_chat("chat", "ann", 1),
        MessageStep::Deleted,
        50,
    )];
    append(&*log, &mut stranger, marks).await;
    let forget = Write::ForgetDevice {
        tenant: tenant(2),
        device: device(1),
    };
    commit_one(&*log, forget).await;
    let message = find(&*log, device(1), event_id(1)).await.unwrap();
    assert_eq!(message.deleted, None);
}

pub async fn parts_of_one_commit_about_a_message_come_together(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let delivered = mark(device(1), key("", "net"), MessageStep::Delivered, 2);
    let read = mark(device(1), key("", "net"), MessageStep::Read, 3);
    let parts = [
        outgoing(1, device(1), 1),
        appended(&mut author, vec![delivered]),
        outcome(device(1), 1, MessageOutcome::Sent(Some(key("", "net"))), 2),
        outcome(device(1), 1, MessageOutcome::Sent(None), 2),
        appended(&mut author, vec![read]),
        outgoing(1, device(1), 1),
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    assert_eq!(ids(&*log, &all(device(1))).await, [message_id(1)]);
    let message = find(&*log, device(1), message_id(1)).await.unwrap();
    assert_eq!(message.state, Some(MessageState::Read));
    assert_eq!(message.network_id.as_deref(), Some("net"));
}

pub async fn an_append_that_fails_leaves_no_trace_in_messages(ground: &dyn Ground) {
    let log = ground.open().await;
    let (mut author, mut bystander) = (Author::new(1), Author::new(2));
    author.write(&*log, 1).await;
    let told = |id| {
        vec![mark(
            device(1),
            in_chat("chat", "ann", id),
            MessageStep::Received,
            id,
        )]
    };
    let mut behind = Author::new(1);
    let parts = [
        appended(&mut behind, told(1)),
        appended(&mut author, told(2)),
        appended(&mut behind, told(3)),
        appended(&mut bystander, told(4)),
    ];
    let outcomes = commit(&*log, &parts).await;
    let are_ok: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(are_ok, [false, true, false, true]);
    assert_eq!(ids(&*log, &all(device(1))).await, [event_id(2)]);
    let foreign = log.messages(tenant(2), &all(device(1))).await.unwrap();
    assert_eq!(foreign.messages.len(), 1);
}

pub async fn a_deleted_device_leaves_no_message(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = fill(&*log).await;
    let told = |id| {
        vec![mark(
            device(1),
            in_chat("chat", "ann", id),
            MessageStep::Received,
            id,
        )]
    };
    let parts = [
        appended(&mut author, told(20)),
        outgoing(1, device(1), 5),
        outcome(device(1), 1, MessageOutcome::Sent(Some(key("", "net"))), 2),
        Write::ForgetDevice {
            tenant: tenant(1),
            device: device(1),
        },
        appended(&mut author, told(21)),
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    // What was written after it is of a device that was made again.
    assert_eq!(ids(&*log, &all(device(1))).await, [event_id(21)]);
    assert_eq!(ids(&*log, &all(device(2))).await, [event_id(12)]);
}

pub async fn messages_of_a_deleted_device_go_in_bounded_portions(ground: &dyn Ground) {
    let log = ground.open().await;
    let at_once = u128::from(FORGOTTEN_AT_ONCE);
    let parts: Vec<Write> = (1..=2 * at_once + 1)
        .map(|message| outgoing(1, device(1), message))
        .chain([outgoing(1, device(2), 1), outgoing(2, device(1), 1)])
        .collect();
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    let forget = Write::ForgetDevice {
        tenant: tenant(1),
        device: device(1),
    };
    let query = MessageQuery {
        limit: 10_000,
        scan_max: 10_000,
        ..all(device(1))
    };
    for left in [at_once + 1, 1, 0, 0] {
        commit_one(&*log, forget.clone()).await;
        assert_eq!(ids(&*log, &query).await.len() as u128, left);
    }
    assert_eq!(ids(&*log, &all(device(2))).await, [message_id(1)]);
    let foreign = log.messages(tenant(2), &query).await.unwrap();
    assert_eq!(foreign.messages.len(), 1);
}

pub async fn many_messages_are_written_in_one_commit(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    for count in [1, 255, 256, 257, 700] {
        let marks = (1..=count)
            .map(|position| {
                let key = in_chat("chat", "ann", position);
                mark(device(count.into()), key, MessageStep::Received, position)
            })
            .collect();
        append(&*log, &mut author, marks).await;
        let query = MessageQuery {
            limit: 1_000,
            ..all(device(count.into()))
        };
        let found = list(&*log, &query).await.messages.len();
        assert_eq!(found, usize::try_from(count).unwrap());
    }
}

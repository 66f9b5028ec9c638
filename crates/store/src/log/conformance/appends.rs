//! Appends: what goes in comes out, and only at the end of the log.

use bytes::Bytes;
use domain::{
    event::{Event, Fields, Party},
    position::{POSITION_MAX, Position},
};

use super::{
    Ground,
    author::{
        Author, all_fields, commit, commit_one, moved_head, positions, read_all, tenant, workspace,
    },
};
use crate::log::{Write, WriteError};

pub async fn an_event_comes_back_byte_for_byte(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut full = author.event_with(workspace(1), "a.b-c.D_9", all_fields());
    full.payload =
        Bytes::from_static(br#"{"b":1,"a":1.0,"a":123456789012345678901234567890,"u":"\ud83e"}"#);
    let mut empty = author.event_with(workspace(2), "x", Default::default());
    empty.payload = Bytes::new();
    let mut large = author.event();
    large.payload = vec![0xff; 256 * 1024].into();
    large.fields.actor = Some(Party {
        json: vec![b' '; 8 * 1024].into(),
        id: Some("".into()),
    });
    let events = vec![full, empty, large];
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;

    assert_eq!(read_all(&*log, author.tenant).await, events);
    for event in &events {
        let read = log.read_at(author.tenant, event.position).await.unwrap();
        assert_eq!(read.as_ref(), Some(event));
    }
    let some = [3, 1, 9, 3, u64::MAX].map(Position::new);
    let many = log.read_many(author.tenant, &some).await.unwrap();
    assert_eq!(many, [events[0].clone(), events[2].clone()]);
}

pub async fn texts_of_any_characters_come_back_and_are_found(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let texts = ["\0", "a\0b", "", "\\x00", "\u{10ffff}", "'; --", "$1"];
    let events: Vec<Event> = texts
        .iter()
        .map(|text| {
            let fields = Fields {
                category: Some((*text).into()),
                dedup_id: Some((*text).into()),
                ..Fields::default()
            };
            author.event_with(workspace(1), "a", fields)
        })
        .collect();
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;
    assert_eq!(read_all(&*log, author.tenant).await, events);
    for (text, event) in texts.iter().zip(&events) {
        let wanted = [(workspace(1), Box::from(*text))];
        let since = event.received_at;
        let found = log.find_dedup_ids(author.tenant, &wanted, since).await;
        assert_eq!(found.unwrap()[0].event, event.id, "{text:?}");
    }
}

pub async fn an_empty_log_has_no_head_and_no_events(ground: &dyn Ground) {
    let log = ground.open().await;
    assert_eq!(log.head(tenant(1)).await.unwrap(), Position::ZERO);
    assert_eq!(log.oldest(tenant(1)).await.unwrap(), None);
    assert_eq!(read_all(&*log, tenant(1)).await, []);
    assert_eq!(log.read_at(tenant(1), POSITION_MAX).await.unwrap(), None);
}

pub async fn an_append_on_a_stale_head_fails_and_names_the_true_one(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 3).await;

    let again = Author::new(1).events(1);
    let stale = Write::Append(Author::new(1).append(again));
    let outcomes = commit(&*log, &[stale]).await;
    assert_eq!(moved_head(&outcomes[0]), Some(Position::new(3)));

    author.events(2);
    let ahead = author.events(1);
    let outcomes = commit(&*log, &[Write::Append(author.append(ahead))]).await;
    assert_eq!(moved_head(&outcomes[0]), Some(Position::new(3)));
    assert_eq!(positions(&read_all(&*log, author.tenant).await), [1, 2, 3]);
}

pub async fn an_append_with_a_hole_or_a_repeated_position_fails(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let events = author.events(3);
    let bad_orders: [&[usize]; 4] = [&[0, 2], &[0, 0, 1], &[1, 0], &[0, 1, 1]];
    for order in bad_orders {
        let events: Vec<Event> = order.iter().map(|index| events[*index].clone()).collect();
        let mut append = author.append(events);
        append.expected_head = Position::ZERO;
        let outcomes = commit(&*log, &[Write::Append(append)]).await;
        assert_eq!(moved_head(&outcomes[0]), Some(Position::ZERO), "{order:?}");
    }
    commit_one(&*log, Write::Append(author.append(events))).await;
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(3));
}

pub async fn a_failing_part_leaves_the_others_alone(ground: &dyn Ground) {
    let log = ground.open().await;
    let (mut first, mut second, mut third) = (Author::new(1), Author::new(2), Author::new(3));
    second.write(&*log, 1).await;
    let lost = Author::new(2).events(1);
    let parts = [
        Write::Append({
            let events = first.events(2);
            first.append(events)
        }),
        Write::Append(Author::new(2).append(lost)),
        Write::Append({
            let events = third.events(2);
            third.append(events)
        }),
    ];
    let outcomes = commit(&*log, &parts).await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(moved_head(&outcomes[1]), Some(Position::new(1)));
    for (author, count) in [(&first, 2), (&second, 1), (&third, 2)] {
        assert_eq!(read_all(&*log, author.tenant).await.len(), count);
    }
}

pub async fn appends_of_one_tenant_chain_within_a_commit(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut parts = Vec::new();
    for count in [1, 3, 2] {
        let events = author.events(count);
        parts.push(Write::Append(author.append(events)));
    }
    let outcomes = commit(&*log, &parts).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(
        positions(&read_all(&*log, author.tenant).await),
        [1, 2, 3, 4, 5, 6]
    );
}

pub async fn after_a_failed_part_later_parts_of_its_tenant_fail_too(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let good = author.events(2);
    let good = author.append(good);
    author.events(1);
    let ahead = author.events(1);
    let ahead = author.append(ahead);
    let last = author.events(1);
    let last = author.append(last);

    let outcomes = commit(&*log, &[good, ahead, last].map(Write::Append)).await;
    assert!(outcomes[0].is_ok());
    assert_eq!(moved_head(&outcomes[1]), Some(Position::new(2)));
    assert_eq!(moved_head(&outcomes[2]), Some(Position::new(2)));
    assert_eq!(positions(&read_all(&*log, author.tenant).await), [1, 2]);
}

pub async fn of_two_writers_on_one_head_one_wins(ground: &dyn Ground) {
    let (one, other) = (ground.open().await, ground.open().await);
    let (mut here, mut there) = (Author::new(1), Author::new(1));
    here.write(&*one, 2).await;
    there.events(2);
    there.write(&*other, 1).await;

    // The first writer still remembers head 2; a part of another tenant must not suffer from that.
    let mut bystander = Author::new(2);
    let beside = bystander.events(1);
    let late = here.events(1);
    let parts = [here.append(late), bystander.append(beside)].map(Write::Append);
    let outcomes = commit(&*one, &parts).await;
    assert_eq!(moved_head(&outcomes[0]), Some(Position::new(3)));
    assert!(outcomes[1].is_ok(), "{outcomes:?}");

    // Once it knows, it goes on where the other ended; new tenants of both get numbers of their own.
    there.write(&*one, 1).await;
    Author::new(3).write(&*other, 1).await;
    Author::new(4).write(&*one, 1).await;
    assert_eq!(
        positions(&read_all(&*other, here.tenant).await),
        [1, 2, 3, 4]
    );
    for number in 2..=4 {
        assert_eq!(read_all(&*one, tenant(number)).await.len(), 1, "{number}");
    }
}

pub async fn a_seq_that_is_taken_fails_the_part_and_no_other(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 2).await;
    let mut fork = author.event();
    fork.seq = fork.seq.prev();
    let mut bystander = Author::new(2);
    let beside = bystander.events(1);
    let parts = [author.append(vec![fork]), bystander.append(beside)].map(Write::Append);
    let outcomes = commit(&*log, &parts).await;
    assert!(
        matches!(outcomes[0], Err(WriteError::Store(_))),
        "{outcomes:?}"
    );
    assert!(outcomes[1].is_ok());
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(2));
    assert_eq!(log.head(bystander.tenant).await.unwrap(), Position::new(1));
}

pub async fn a_commit_without_parts_is_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    assert!(commit(&*log, &[]).await.is_empty());
    let author = Author::new(1);
    commit_one(&*log, Write::Append(author.append(Vec::new()))).await;
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::ZERO);
}

pub async fn large_batches_of_any_size_are_written_whole(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut written = Vec::new();
    for count in [1, 2, 3, 255, 256, 257, 700] {
        written.extend(author.write(&*log, count).await);
    }
    assert_eq!(read_all(&*log, author.tenant).await, written);
}

pub async fn what_was_committed_is_there_after_reopening(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut written = author.write(&*log, 5).await;
    log.close().await;

    let log = ground.open().await;
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(5));
    written.extend(author.write(&*log, 2).await);
    assert_eq!(read_all(&*log, author.tenant).await, written);
}

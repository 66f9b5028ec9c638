//! Devices: the newest session writes, and no older one.

use bytes::Bytes;
use domain::{fence::Fence, ids::DeviceId, position::Position};
use futures_util::FutureExt as _;

use super::{
    Ground,
    author::{
        Author, commit, commit_one, device, moved_head, read_all, received_at, tenant, workspace,
    },
    messages::{message_id, outgoing},
};
use crate::log::{Append, Credentials, Dispatch, IdempotentAnswer, RegionLog, Write, WriteError};

/// The beginning of a session.
pub(super) fn open(number: u128, device: DeviceId, fence: u64) -> Write {
    Write::OpenDevice {
        tenant: tenant(number),
        device,
        fence: Fence::new(fence),
    }
}

/// What a device's connector writes under a fence.
pub(super) fn credentials(
    number: u128,
    device: DeviceId,
    fence: u64,
    sealed: &'static [u8],
) -> Write {
    Write::Credentials {
        tenant: tenant(number),
        device,
        credentials: Credentials {
            fence: Fence::new(fence),
            sealed: Bytes::from_static(sealed),
            at: received_at(fence),
        },
    }
}

/// One more event, through sessions of devices.
pub(super) fn through(author: &mut Author, sessions: &[(DeviceId, u64)]) -> Append {
    let event = author.event();
    let mut append = author.append(vec![event]);
    append.sessions = sessions
        .iter()
        .map(|(device, fence)| (*device, Fence::new(*fence)))
        .collect();
    append
}

/// For whom a part was refused.
pub(super) fn fenced(outcome: &Result<(), WriteError>) -> Option<(DeviceId, u64)> {
    match outcome {
        Err(WriteError::DeviceFenced { device, held }) => Some((*device, held.get())),
        Ok(())
        | Err(
            WriteError::HeadMoved { .. }
            | WriteError::Fenced { .. }
            | WriteError::AnswerTaken
            | WriteError::Store(_),
        ) => None,
    }
}

async fn held(log: &dyn RegionLog, number: u128, device: DeviceId) -> u64 {
    let held = log.device_fence(tenant(number), device).await;
    held.unwrap().get()
}

pub(super) async fn kept(
    log: &dyn RegionLog,
    number: u128,
    device: DeviceId,
) -> Option<Credentials> {
    log.credentials(tenant(number), device).await.unwrap()
}

/// An answer that nobody can give twice: it makes a commit fail as a whole first, and go part by part then.
fn answer() -> IdempotentAnswer {
    IdempotentAnswer {
        key_hash: [7; 32],
        request_hash: [1; 32],
        status: 202,
        body: Bytes::new(),
        expires_at: received_at(1_000_000),
    }
}

pub async fn an_open_session_shuts_out_the_older_ones(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    assert_eq!(held(&*log, 1, device(1)).await, 0);
    // Nobody has opened a session yet: nobody can have been replaced.
    commit_one(
        &*log,
        Write::Append(through(&mut author, &[(device(1), 1)])),
    )
    .await;
    commit_one(&*log, open(1, device(1), 5)).await;
    assert_eq!(held(&*log, 1, device(1)).await, 5);

    let head = author.head();
    for (sessions, refused) in [
        (vec![(device(1), 4)], Some((device(1), 5))),
        (vec![(device(1), 1), (device(2), 1)], Some((device(1), 5))),
        (vec![(device(2), 1), (device(1), 5)], None),
        (vec![(device(1), 6)], None),
        (vec![], None),
    ] {
        let mut attempt = Author::new(1);
        let written = log.head(author.tenant).await.unwrap();
        attempt.events(usize::try_from(written.get()).unwrap());
        let outcomes = commit(&*log, &[Write::Append(through(&mut attempt, &sessions))]).await;
        assert_eq!(fenced(&outcomes[0]), refused, "{sessions:?}");
        assert_eq!(outcomes[0].is_ok(), refused.is_none());
    }
    let end = log.head(author.tenant).await.unwrap();
    assert_eq!(end.get() - head.get(), 3);
    assert_eq!(
        held(&*log, 1, device(1)).await,
        5,
        "only OpenDevice raises it"
    );
}

pub async fn a_session_is_opened_under_a_higher_fence_or_the_same(ground: &dyn Ground) {
    let log = ground.open().await;
    for (fence, refused) in [
        (2, None),
        (2, None),
        (1, Some(2)),
        (7, None),
        (6, Some(7)),
        (7, None),
    ] {
        let outcomes = commit(&*log, &[open(1, device(1), fence)]).await;
        let refused = refused.map(|held| (device(1), held));
        assert_eq!(fenced(&outcomes[0]), refused, "{fence}");
    }
    // Within one commit the order decides.
    let parts = [8, 10, 9].map(|fence| open(1, device(1), fence));
    let outcomes = commit(&*log, &parts).await;
    let refused: Vec<_> = outcomes.iter().map(fenced).collect();
    assert_eq!(refused, [None, None, Some((device(1), 10))]);
    assert_eq!(held(&*log, 1, device(1)).await, 10);
}

pub async fn fences_are_each_device_s_and_each_tenant_s_own(ground: &dyn Ground) {
    let log = ground.open().await;
    let parts = [
        open(1, device(1), 9),
        open(1, device(2), 4),
        open(2, device(1), 2),
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    for (number, device, fence) in [(1, 1, 9), (1, 2, 4), (2, 1, 2), (2, 2, 0), (3, 1, 0)] {
        let device = self::device(device);
        assert_eq!(held(&*log, number, device).await, fence);
    }
    let mut foreign = Author::new(2);
    commit_one(
        &*log,
        Write::Append(through(&mut foreign, &[(device(1), 2)])),
    )
    .await;
}

pub async fn fences_of_devices_survive_reopening(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, open(1, device(1), 3)).await;
    log.close().await;
    let log = ground.open().await;
    assert_eq!(held(&*log, 1, device(1)).await, 3);
    let mut author = Author::new(1);
    let outcomes = commit(
        &*log,
        &[Write::Append(through(&mut author, &[(device(1), 2)]))],
    )
    .await;
    assert_eq!(fenced(&outcomes[0]), Some((device(1), 3)));
}

pub async fn a_device_s_part_carries_no_fence_of_its_tenant(ground: &dyn Ground) {
    let log = ground.open().await;
    let mark = Write::Dispatch(Dispatch {
        tenant: tenant(1),
        fence: Fence::new(9),
        position: Position::ZERO,
        woken: Vec::new(),
        rested: Vec::new(),
    });
    commit_one(&*log, mark.clone()).await;
    let parts = [
        open(1, device(1), 1),
        credentials(1, device(1), 1, b"a"),
        outgoing(1, device(1), 1),
        Write::ForgetDevice {
            tenant: tenant(1),
            device: device(1),
        },
        mark,
    ];
    assert!(parts[..4].iter().all(|part| part.fence().is_none()));
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
}

pub async fn the_head_is_looked_at_before_the_sessions(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 2).await;
    commit_one(&*log, open(1, device(1), 3)).await;
    let mut behind = Author::new(1);
    let outcomes = commit(
        &*log,
        &[Write::Append(through(&mut behind, &[(device(1), 1)]))],
    )
    .await;
    assert_eq!(moved_head(&outcomes[0]), Some(Position::new(2)));
}

/// With and without a part that makes all of them be written one by one.
pub async fn a_fenced_append_takes_nothing_of_other_tenants_with_it(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut clash = Author::new(9);
    let mut taken = through(&mut clash, &[]);
    taken.answers = vec![answer()];
    commit_one(&*log, Write::Append(taken)).await;

    for (round, clashes) in [(0, false), (10, true)] {
        let mut authors = [1, 2, 3, 4].map(|number| Author::new(round + number));
        for number in 1..=4 {
            commit_one(&*log, open(round + number, device(1), 5)).await;
        }
        let [first, second, third, fourth] = &mut authors;
        let mut again = Author::new(9);
        again.events(1);
        let mut repeated = through(&mut again, &[]);
        if clashes {
            repeated.answers = vec![answer()];
        } else {
            repeated.expected_head = Position::new(99);
        }
        let parts = [
            Write::Append(through(first, &[(device(1), 5)])),
            Write::Append(through(second, &[(device(1), 4)])),
            Write::Append(repeated),
            Write::Append(through(second, &[(device(1), 5)])),
            Write::Append(through(third, &[(device(2), 1), (device(1), 1)])),
            credentials(round + 3, device(1), 4, b"late"),
            credentials(round + 4, device(1), 5, b"present"),
            Write::Append(through(fourth, &[(device(1), 6)])),
        ];
        let outcomes = commit(&*log, &parts).await;
        let refused: Vec<_> = outcomes.iter().map(fenced).collect();
        let no = Some((device(1), 5));
        assert_eq!(refused, [None, no, None, None, no, no, None, None]);
        assert!(outcomes[0].is_ok() && outcomes[6].is_ok() && outcomes[7].is_ok());
        assert!(outcomes[2].is_err());
        // What follows an append that did not come does not come either.
        assert_eq!(moved_head(&outcomes[3]), Some(Position::ZERO));
        let mut lengths = Vec::new();
        for author in &authors {
            lengths.push(read_all(&*log, author.tenant).await.len());
        }
        assert_eq!(lengths, [1, 0, 0, 1]);
        assert_eq!(kept(&*log, round + 3, device(1)).await, None);
        assert!(kept(&*log, round + 4, device(1)).await.is_some());
    }
    assert_eq!(read_all(&*log, clash.tenant).await.len(), 1);
}

/// With and without a part that makes all of them be written one by one.
pub async fn a_session_opened_within_a_commit_holds_for_the_appends_after_it(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut clash = Author::new(9);
    let mut taken = through(&mut clash, &[]);
    taken.answers = vec![answer()];
    commit_one(&*log, Write::Append(taken)).await;

    for (number, clashes) in [(1, false), (2, true)] {
        commit_one(&*log, open(number, device(1), 1)).await;
        let mut author = Author::new(number);
        let before = Write::Append(through(&mut author, &[(device(1), 1)]));
        let after = Write::Append(through(&mut author, &[(device(1), 1)]));
        let mut parts = vec![before, open(number, device(1), 2), after];
        if clashes {
            let mut again = Author::new(9);
            again.events(1);
            let mut repeated = through(&mut again, &[]);
            repeated.answers = vec![answer()];
            parts.push(Write::Append(repeated));
        }
        let outcomes = commit(&*log, &parts).await;
        assert!(outcomes[0].is_ok() && outcomes[1].is_ok(), "{outcomes:?}");
        assert_eq!(fenced(&outcomes[2]), Some((device(1), 2)));
        assert_eq!(read_all(&*log, author.tenant).await.len(), 1);
    }
}

pub async fn a_session_whose_opening_was_given_up_midway_is_open_or_not(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 1).await;
    let mut fence = 1;
    for polls in 1..12 {
        fence += 1;
        let parts = [
            open(1, device(1), fence),
            outgoing(1, device(1), u128::from(fence)),
        ];
        let mut commit = log.commit(&parts);
        for _ in 0..polls {
            if (&mut commit).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        // The next commit waits for what is left of this one.
        Author::new(2 + polls).write(&*log, 1).await;
        let held = held(&*log, 1, device(1)).await;
        assert!(held <= fence);
        let message = outgoing_id(&*log, fence).await;
        assert_eq!(held == fence, message.is_some(), "both parts or none");

        // Whoever writes under what is held is let through, and nobody below.
        let below = held.saturating_sub(1);
        let mut attempt = Author::new(1);
        let head = log.head(author.tenant).await.unwrap();
        attempt.events(usize::try_from(head.get()).unwrap());
        let late = Write::Append(through(&mut attempt, &[(device(1), below)]));
        let outcomes = log.commit(&[late]).await.unwrap();
        assert_eq!(fenced(&outcomes[0]).is_some(), held > below);
    }
}

async fn outgoing_id(log: &dyn RegionLog, number: u64) -> Option<uuid::Uuid> {
    let id = message_id(number.into());
    let message = log.message(tenant(1), device(1), id).await.unwrap();
    message.map(|message| message.id)
}

pub async fn appends_of_many_devices_are_written_together(ground: &dyn Ground) {
    let log = ground.open().await;
    let opened: Vec<Write> = (0..600).map(|number| open(1, device(number), 2)).collect();
    assert!(commit(&*log, &opened).await.iter().all(Result::is_ok));
    let mut author = Author::new(1);
    let events = (0..600)
        .map(|_| author.event_with(workspace(1), "message.received", Default::default()))
        .collect();
    let mut append = author.append(events);
    append.sessions = (0..600)
        .map(|number| (device(number), Fence::new(2)))
        .collect();
    commit_one(&*log, Write::Append(append)).await;
    for number in [0, 1, 255, 256, 599] {
        assert_eq!(held(&*log, 1, device(number)).await, 2);
    }
}

//! Sessions of devices, which one node opens and another node's appends come through.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
};

use super::ground::Database;
use crate::log::{
    OutgoingMessage, RegionLog, Write, WriteError,
    conformance::{
        author::{Author, commit, commit_one, device, read_all, received_at, tenant},
        messages::message_id,
    },
};

/// The beginning of a session of the first tenant's device.
fn open(device: DeviceId, fence: u64) -> Write {
    Write::OpenDevice {
        tenant: tenant(1),
        device,
        fence: Fence::new(fence),
    }
}

/// Appends one event that came through a session.
async fn append_through(
    log: &dyn RegionLog,
    author: &mut Author,
    device: DeviceId,
    fence: u64,
) -> Result<(), WriteError> {
    let event = author.event();
    let mut append = author.append(vec![event]);
    append.sessions = vec![(device, Fence::new(fence))];
    let mut outcomes = commit(log, &[Write::Append(append)]).await;
    outcomes.remove(0)
}

fn replaced_by(outcome: &Result<(), WriteError>) -> Option<u64> {
    match outcome {
        Err(WriteError::DeviceFenced { held, .. }) => Some(held.get()),
        Ok(())
        | Err(
            WriteError::HeadMoved { .. }
            | WriteError::Fenced { .. }
            | WriteError::AnswerTaken
            | WriteError::Store(_),
        ) => None,
    }
}

async fn count(log: &dyn RegionLog, tenant: TenantId) -> usize {
    read_all(log, tenant).await.len()
}

#[tokio::test]
async fn a_session_that_another_node_replaced_writes_nothing_more() {
    let database = Database::new().await;
    let (owner, elsewhere) = (database.log().await, database.log().await);
    let mut author = Author::new(1);
    commit_one(&elsewhere, open(device(1), 1)).await;
    for _ in 0..3 {
        let outcome = append_through(&owner, &mut author, device(1), 1).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    commit_one(&elsewhere, open(device(1), 2)).await;
    commit_one(&elsewhere, open(device(2), 1)).await;

    let mut late = author.clone();
    let outcome = append_through(&owner, &mut late, device(1), 1).await;
    assert_eq!(replaced_by(&outcome), Some(2), "{outcome:?}");
    let outcome = append_through(&owner, &mut author, device(1), 2).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    let outcome = append_through(&owner, &mut author, device(2), 1).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(count(&owner, author.tenant).await, 5);
}

#[tokio::test]
async fn a_message_is_not_sent_under_a_fence_that_another_node_has_raised_meanwhile() {
    let database = Database::new().await;
    let (owner, elsewhere) = (database.log().await, database.log().await);
    let send = |fence, message| Write::Outgoing {
        tenant: tenant(1),
        device: device(1),
        fence: Fence::new(fence),
        message: OutgoingMessage {
            id: message_id(message),
            chat: "chat".into(),
            body: Bytes::from_static(b"{}"),
            at: received_at(1),
        },
    };
    // The second one is written at once, by what is remembered of the first.
    for message in [1, 2] {
        commit_one(&owner, send(0, message)).await;
    }
    commit_one(&elsewhere, open(device(1), 1)).await;
    for (fence, refused) in [(0, Some(1)), (1, None), (0, Some(1))] {
        let outcomes = commit(&owner, &[send(fence, 3)]).await;
        assert_eq!(replaced_by(&outcomes[0]), refused, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_session_is_written_after_the_next_one_has_begun() {
    const SESSIONS: u64 = 40;

    let database = Database::new().await;
    let (owner, elsewhere) = (
        Arc::new(database.log().await),
        Arc::new(database.log().await),
    );
    let mut author = Author::new(1);
    commit_one(&*elsewhere, open(device(1), 1)).await;
    for fence in 1..=SESSIONS {
        let log = Arc::clone(&owner);
        // It appends for as long as it may.
        let appending = tokio::spawn(async move {
            loop {
                let before = author.clone();
                let outcome = append_through(&*log, &mut author, device(1), fence).await;
                match replaced_by(&outcome) {
                    Some(held) => return (before, held),
                    None => outcome.unwrap(),
                }
            }
        });
        commit_one(&*elsewhere, open(device(1), fence + 1)).await;
        let at_the_opening = count(&*elsewhere, tenant(1)).await;
        let (reached, held) = appending.await.unwrap();
        assert_eq!(held, fence + 1);
        assert_eq!(count(&*elsewhere, tenant(1)).await, at_the_opening);
        author = reached;
    }
}

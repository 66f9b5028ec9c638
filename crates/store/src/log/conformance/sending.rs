//! Messages that are sent through devices: whose word counts, and until when anybody may send.

use bytes::Bytes;
use domain::{device::MessageState, fence::Fence};

use super::{
    Ground,
    author::{Author, commit, commit_one, device, received_at, tenant},
    devices::{fenced, open, through},
    messages::{message_id, outgoing},
};
use crate::log::{MessageOutcome, OutgoingMessage, Write};

/// With and without an append in the same commit, which some databases write on another way than the rest.
pub async fn a_replaced_session_says_nothing_about_messages(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    for with_append in [false, true] {
        let number = if with_append { 2 } else { 1 };
        let device = device(number);
        commit_one(&*log, outgoing(1, device, number)).await;
        commit_one(&*log, open(1, device, 5)).await;
        let said = |by: Option<u64>| Write::Outcome {
            tenant: tenant(1),
            device,
            by: by.map(Fence::new),
            id: message_id(number),
            outcome: MessageOutcome::Sent(None),
            at: received_at(1),
        };
        let state = async || {
            let found = log.message(tenant(1), device, message_id(number)).await;
            found.unwrap().unwrap().state
        };
        let mut parts = vec![said(Some(4))];
        if with_append {
            parts.push(Write::Append(through(&mut author, &[(device, 5)])));
        }
        let outcomes = commit(&*log, &parts).await;
        assert_eq!(fenced(&outcomes[0]), Some((device, 5)));
        assert!(outcomes[1..].iter().all(Result::is_ok));
        assert_eq!(state().await, Some(MessageState::Pending));

        let within = [open(1, device, 6), said(Some(5)), said(Some(6))];
        let outcomes = commit(&*log, &within).await;
        let refused: Vec<_> = outcomes.iter().map(fenced).collect();
        assert_eq!(refused, [None, Some((device, 6)), None]);
        assert_eq!(state().await, Some(MessageState::Sent));
        // The engine itself is nobody's session.
        commit_one(&*log, said(None)).await;
    }
}

/// Also after an append, by which some databases remember the tenant.
pub async fn nobody_sends_through_a_device_that_somebody_deletes_meanwhile(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
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
    let is_there = async |message| {
        let found = log.message(tenant(1), device(1), message_id(message)).await;
        found.unwrap().is_some()
    };
    commit_one(&*log, send(0, 1)).await;
    for (round, fence) in [(10, 3), (20, 7)] {
        commit_one(&*log, open(1, device(1), fence)).await;
        if fence == 7 {
            commit_one(&*log, Write::Append(through(&mut author, &[]))).await;
        }
        for (message, with, is_sent) in [
            (round, fence - 1, false),
            (round + 1, fence, true),
            (round + 2, fence + 1, true),
            (round + 3, 0, false),
        ] {
            let outcomes = commit(&*log, &[send(with, message)]).await;
            let refused = (!is_sent).then_some((device(1), fence));
            assert_eq!(fenced(&outcomes[0]), refused, "{message}");
            assert_eq!(is_there(message).await, is_sent);
        }
    }
}

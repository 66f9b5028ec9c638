//! What is kept of a device: credentials and messages.

use bytes::Bytes;
use domain::{device::MessageState, ids::KeyId};
use store::log::MessageQuery;
use uuid::Uuid;

use super::stand::{Stand, keeper, message};
use crate::engine::{CredentialsError, Habit, Keeper, KeptCredentials};

#[actix::test]
async fn credentials_are_kept_sealed_and_only_for_the_session_that_holds_the_device() {
    let stand = Stand::open().await;
    let (engine, tenant, device) = (stand.engine(), stand.house.id(), stand.device);
    let put = |fence, text: &'static str| {
        let text = Bytes::from_static(text.as_bytes());
        engine.put_device_credentials(tenant, device, fence, keeper(), text)
    };
    assert!(put(0, "first").await.unwrap());
    let older = stand.connect().await.session.fence.get();
    let newer = stand.connect().await.session.fence.get();
    assert!(
        put(newer, "second").await.unwrap(),
        "the first of its session"
    );
    assert!(!put(newer, "second").await.unwrap());
    for fence in [0, older, newer + 1] {
        let refused = put(fence, "late").await;
        assert!(matches!(refused, Err(CredentialsError::Fenced { held }) if held == newer));
    }
    let kept = engine.device_credentials(tenant, device).await.unwrap();
    let expected = KeptCredentials {
        fence: newer,
        bytes: Some(Bytes::from_static(b"second")),
    };
    assert_eq!(kept, expected);
    let sealed = stand.house.log.credentials(tenant, device).await.unwrap();
    let sealed = sealed.unwrap().sealed;
    assert!(!sealed.windows(6).any(|part| part == b"second"));
}

#[actix::test]
async fn whoever_else_keeps_credentials_is_new_although_the_session_is_the_same() {
    let stand = Stand::open().await;
    let first = keeper();
    let other_key = Keeper {
        key: KeyId::from_uuid(Uuid::from_u128(2)),
        ..first
    };
    let elsewhere = Keeper {
        ip: [192, 0, 2, 7].into(),
        ..first
    };
    let puts = [
        (first, true),
        (first, false),
        (other_key, true),
        (elsewhere, true),
        (elsewhere, false),
        (first, true),
    ];
    for (by, is_new) in puts {
        let secret = Bytes::from_static(b"secret");
        let put =
            stand
                .engine()
                .put_device_credentials(stand.house.id(), stand.device, 0, by, secret);
        assert_eq!(put.await.unwrap(), is_new, "{by:?}");
    }
}

#[actix::test]
async fn an_edit_that_comes_before_its_message_is_shown_with_it() {
    let stand = Stand::open().await;
    let (engine, tenant) = (stand.engine(), stand.house.id());
    let gateway = stand.connect().await;
    for kind in ["receipt.read", "message.updated", "message.received"] {
        let events = vec![message(kind, "1")];
        let stored = engine.ingest_from_device(&gateway.session, events).await;
        assert_eq!(stored.unwrap().len(), 1);
    }
    let query = MessageQuery {
        device: stand.device,
        before: None,
        after: None,
        chat: Some("c".into()),
        direction: None,
        state: None,
        limit: 10,
        scan_max: 100,
    };
    let shown = engine.device_messages(tenant, &query).await.unwrap();
    assert_eq!((shown.messages.len(), shown.next), (1, None));
    let shown = &shown.messages[0];
    assert_eq!(shown.message.state, Some(MessageState::Read));
    assert_eq!(shown.payload, Some(message("message.received", "1").data));
    assert_eq!(shown.edit, Some(message("message.updated", "1").data));
}

#[actix::test]
async fn what_is_done_all_the_time_is_news_when_somebody_else_does_it_each_by_itself() {
    let stand = Stand::open().await;
    let (tenant, device, engine) = (stand.house.id(), stand.device, stand.engine());
    let other = Keeper {
        key: KeyId::from_uuid(Uuid::from_u128(2)),
        ..keeper()
    };
    for what in [
        Habit::Keep { fence: 0 },
        Habit::Keep { fence: 1 },
        Habit::Read { fence: 0 },
        Habit::Read { fence: 1 },
        Habit::Connect,
    ] {
        for (by, is_news) in [(keeper(), true), (keeper(), false), (other, true)] {
            assert_eq!(
                engine.is_news(tenant, device, what, by),
                is_news,
                "{what:?}"
            );
        }
    }
}

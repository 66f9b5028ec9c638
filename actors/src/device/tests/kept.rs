//! What is kept of a device: credentials and messages.

use bytes::Bytes;
use domain::device::MessageState;
use store::log::MessageQuery;

use super::stand::{Stand, message};
use crate::engine::{CredentialsError, KeptCredentials};

#[actix::test]
async fn credentials_are_kept_sealed_and_only_for_the_session_that_holds_the_device() {
    let stand = Stand::open().await;
    let (engine, tenant, device) = (stand.engine(), stand.house.id(), stand.device);
    let put = |fence, text: &'static str| {
        engine.put_device_credentials(tenant, device, fence, Bytes::from_static(text.as_bytes()))
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

//! Credentials of connectors: kept under the present session, and gone with their device.

use bytes::Bytes;
use domain::{fence::Fence, time::Timestamp};

use super::{
    Ground,
    author::{Author, commit, commit_one, device, received_at, tenant},
    devices::{credentials, fenced, kept, open, through},
};
use crate::log::{Credentials, Write};

pub async fn credentials_are_kept_under_the_present_fence_only(ground: &dyn Ground) {
    let log = ground.open().await;
    assert_eq!(kept(&*log, 1, device(1)).await, None);
    // Before the first session the fence is 0.
    commit_one(&*log, credentials(1, device(1), 0, b"first")).await;
    commit_one(&*log, open(1, device(1), 3)).await;
    for (fence, refused) in [(0, true), (2, true), (4, true), (3, false), (3, false)] {
        let outcomes = commit(&*log, &[credentials(1, device(1), fence, b"next")]).await;
        let refused = refused.then_some((device(1), 3));
        assert_eq!(fenced(&outcomes[0]), refused, "{fence}");
    }
    let expected = Credentials {
        fence: Fence::new(3),
        sealed: Bytes::from_static(b"next"),
        at: received_at(3),
    };
    assert_eq!(kept(&*log, 1, device(1)).await, Some(expected));
    assert_eq!(kept(&*log, 1, device(2)).await, None);
    assert_eq!(kept(&*log, 2, device(1)).await, None);

    // Of two in one commit the last one stays.
    let parts = [
        credentials(1, device(1), 3, b"a"),
        open(1, device(1), 4),
        credentials(1, device(1), 3, b"late"),
        credentials(1, device(1), 4, b"b"),
    ];
    let outcomes = commit(&*log, &parts).await;
    assert_eq!(fenced(&outcomes[2]), Some((device(1), 4)));
    let sealed = kept(&*log, 1, device(1)).await.unwrap().sealed;
    assert_eq!(sealed, Bytes::from_static(b"b"));
}

pub async fn large_credentials_come_back_byte_for_byte(ground: &dyn Ground) {
    let log = ground.open().await;
    let sealed: Vec<u8> = (0..1024 * 1024_u32)
        .map(|byte| byte.to_be_bytes()[3])
        .collect();
    let credentials = Credentials {
        fence: Fence::new(0),
        sealed: sealed.into(),
        at: Timestamp::from_micros(-7),
    };
    let part = Write::Credentials {
        tenant: tenant(1),
        device: device(1),
        credentials: credentials.clone(),
    };
    commit_one(&*log, part).await;
    commit_one(&*log, open(1, device(1), 1)).await;
    assert_eq!(kept(&*log, 1, device(1)).await, Some(credentials));
}

pub async fn a_device_that_is_deleted_leaves_its_fence_only(ground: &dyn Ground) {
    let log = ground.open().await;
    let forget = Write::ForgetDevice {
        tenant: tenant(1),
        device: device(1),
    };
    commit_one(&*log, forget.clone()).await;
    let parts = [
        open(1, device(1), 1),
        open(1, device(2), 1),
        credentials(1, device(1), 1, b"gone"),
        credentials(1, device(2), 1, b"stays"),
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    let parts = [
        credentials(1, device(1), 1, b"gone too"),
        open(1, device(1), 2),
        forget,
    ];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    assert_eq!(kept(&*log, 1, device(1)).await, None);
    assert!(kept(&*log, 1, device(2)).await.is_some());

    // What its last session sends late is refused, and one that is made again goes on with the next fence.
    let mut late = Author::new(1);
    let outcomes = commit(
        &*log,
        &[Write::Append(through(&mut late, &[(device(1), 1)]))],
    )
    .await;
    assert_eq!(fenced(&outcomes[0]), Some((device(1), 2)));
    let parts = [open(1, device(1), 3), credentials(1, device(1), 3, b"new")];
    assert!(commit(&*log, &parts).await.iter().all(Result::is_ok));
    let sealed = kept(&*log, 1, device(1)).await.unwrap().sealed;
    assert_eq!(sealed, Bytes::from_static(b"new"));
}

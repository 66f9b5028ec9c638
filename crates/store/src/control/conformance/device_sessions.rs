//! Cases: sessions of devices. The newest wins, and no older one says anything any more.

use std::time::Duration;

use domain::{
    device::DeviceState,
    fence::Fence,
    ids::{DeviceId, TenantId},
};
use tokio::task::JoinSet;

use super::{
    Home, Place, at,
    devices::{create, read},
    expire, fresh_uuid,
};
use crate::{
    StoreError,
    control::{Device, Holder, LeaseKey, LeaseKind, OpenedDevice, Owner, SessionId},
};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

async fn begin(home: &Home, node: &str) -> SessionId {
    home.control.begin_session(node, LONG).await.unwrap()
}

/// A node that shares the control plane with others.
fn shared(session: SessionId, node: &str) -> Holder {
    Holder {
        session: Some(session),
        node: node.to_owned(),
        boot: session.to_string(),
    }
}

/// A node alone.
fn alone(boot: &str) -> Holder {
    Holder {
        session: None,
        node: "alone".to_owned(),
        boot: boot.to_owned(),
    }
}

async fn open(home: &Home, device: DeviceId, holder: &Holder) -> OpenedDevice {
    let opened = home
        .control
        .open_device_session(home.tenant, device, holder, Some("g/1"), at(10))
        .await;
    opened.unwrap().expect("the device is there")
}

async fn set(home: &Home, device: DeviceId, fence: Fence, state: DeviceState) -> bool {
    let set =
        home.control
            .set_device_state(home.tenant, device, fence, state, Some("why"), None, at(20));
    set.await.unwrap()
}

async fn close(home: &Home, device: DeviceId, fence: Fence) -> bool {
    let (state, reason) = (DeviceState::Offline, Some("closed"));
    home.control
        .close_device_session(home.tenant, device, fence, state, reason, at(30))
        .await
        .unwrap()
}

async fn owner(home: &Home, device: DeviceId) -> Option<Owner> {
    let owner = home.control.device_owner(home.tenant, device).await;
    owner.unwrap()
}

pub(super) async fn a_device_goes_through_a_session(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let a = begin(&home, "a").await;
    let opened = open(&home, made.id, &shared(a, "a")).await;
    let expected = OpenedDevice {
        fence: Fence::FIRST,
        before: DeviceState::Offline,
        before_fence: 0,
        was_live: false,
        before_node: None,
        before_gateway: None,
        workspace: home.workspace,
    };
    assert_eq!(opened, expected);
    let mut device = Device {
        state: DeviceState::Connecting,
        fence: 1,
        node: Some("a".to_owned()),
        session: Some(a),
        is_live: true,
        gateway: Some("g/1".to_owned()),
        last_seen_at: Some(at(10)),
        ..made.clone()
    };
    assert_eq!(read(&home, made.id).await.as_ref(), Some(&device));
    let held = Owner {
        session: a,
        node: "a".to_owned(),
        fence: Fence::FIRST,
    };
    assert_eq!(owner(&home, made.id).await, Some(held));
    let leases = home.control.leases_of(a, LeaseKind::Device).await.unwrap();
    assert_eq!(leases, [(LeaseKey::Device(made.id), Fence::FIRST)]);

    assert!(set(&home, made.id, Fence::FIRST, DeviceState::Connected).await);
    device.state = DeviceState::Connected;
    device.reason = Some("why".to_owned());
    device.last_seen_at = Some(at(20));
    assert_eq!(read(&home, made.id).await.as_ref(), Some(&device));

    assert!(close(&home, made.id, Fence::FIRST).await);
    device.state = DeviceState::Offline;
    device.reason = Some("closed".to_owned());
    device.last_seen_at = Some(at(30));
    (device.node, device.session, device.is_live) = (None, None, false);
    assert_eq!(read(&home, made.id).await, Some(device));
    assert_eq!(owner(&home, made.id).await, None);
    let opened = open(&home, made.id, &shared(a, "a")).await;
    assert_eq!((opened.fence, opened.was_live), (Fence::new(2), false));
}

pub(super) async fn the_newest_session_wins_and_the_older_one_says_no_more(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let (a, b) = (begin(&home, "a").await, begin(&home, "b").await);
    let old = open(&home, made.id, &shared(a, "a")).await.fence;
    assert!(set(&home, made.id, old, DeviceState::Connected).await);
    let opened = open(&home, made.id, &shared(b, "b")).await;
    let expected = OpenedDevice {
        fence: Fence::new(2),
        before: DeviceState::Connected,
        before_fence: 1,
        was_live: true,
        before_node: Some("a".to_owned()),
        before_gateway: Some("g/1".to_owned()),
        workspace: home.workspace,
    };
    assert_eq!(opened, expected);
    let after = read(&home, made.id).await;
    assert!(!set(&home, made.id, old, DeviceState::Offline).await);
    assert!(!close(&home, made.id, old).await);
    let late = [(home.tenant, made.id, old, at(99))];
    home.control.devices_seen(&late).await.unwrap();
    assert_eq!(read(&home, made.id).await, after);
    assert_eq!(owner(&home, made.id).await.unwrap().session, b);
    // The same node takes it from itself in the same way.
    let again = open(&home, made.id, &shared(b, "b")).await;
    assert_eq!((again.fence, again.was_live), (Fence::new(3), true));
    assert!(!close(&home, made.id, Fence::new(2)).await);
    assert!(close(&home, made.id, Fence::new(3)).await);
}

pub(super) async fn a_session_of_a_node_that_died_is_not_live(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let (a, b) = (begin(&home, "a").await, begin(&home, "b").await);
    let fence = open(&home, made.id, &shared(a, "a")).await.fence;
    assert!(set(&home, made.id, fence, DeviceState::Connected).await);
    expire(&home.control, a).await;
    let dead = read(&home, made.id).await.unwrap();
    assert_eq!((dead.is_live, dead.state), (false, DeviceState::Connected));
    let listed = home.control.devices(home.tenant, None, None, 9).await;
    assert_eq!(listed.unwrap(), [dead]);
    assert_eq!(owner(&home, made.id).await, None);
    let opened = open(&home, made.id, &shared(b, "b")).await;
    assert_eq!(
        (opened.before, opened.was_live),
        (DeviceState::Connected, false)
    );

    // Nor is one of a node that ended in order.
    home.control.end_session(b).await.unwrap();
    assert!(!read(&home, made.id).await.unwrap().is_live);
}

pub(super) async fn a_node_whose_own_session_has_ended_opens_none(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let ended = begin(&home, "a").await;
    home.control.end_session(ended).await.unwrap();
    let expired = begin(&home, "b").await;
    expire(&home.control, expired).await;
    for session in [ended, expired] {
        let refused = home
            .control
            .open_device_session(home.tenant, made.id, &shared(session, "a"), None, at(1))
            .await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(read(&home, made.id).await, Some(made));
}

pub(super) async fn sessions_of_a_node_alone_end_with_its_process(place: &Place) {
    let home = Home::new(place).await;
    let (one, two) = (
        create(&home, None).await.unwrap().id,
        create(&home, None).await.unwrap().id,
    );
    let fence = open(&home, one, &alone("boot 1")).await.fence;
    assert!(set(&home, one, fence, DeviceState::Connected).await);
    let live = read(&home, one).await.unwrap();
    assert_eq!((live.is_live, live.session), (true, None));
    assert_eq!(owner(&home, one).await, None, "nobody else is there to ask");

    let control = &home.control;
    let ended = control.end_device_sessions_of_other_boots("boot 1").await;
    assert_eq!(ended.unwrap(), 0);
    open(&home, two, &alone("boot 2")).await;
    let ended = control.end_device_sessions_of_other_boots("boot 2").await;
    assert_eq!(ended.unwrap(), 1);
    assert!(read(&home, two).await.unwrap().is_live);
    let dead = read(&home, one).await.unwrap();
    assert_eq!((dead.is_live, dead.node), (false, None));
    let opened = open(&home, one, &alone("boot 2")).await;
    assert_eq!(opened.fence, Fence::new(2));
    assert_eq!(
        (opened.before, opened.was_live),
        (DeviceState::Connected, false)
    );
}

pub(super) async fn of_a_thousand_contests_each_has_one_winner(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let (a, b) = (begin(&home, "a").await, begin(&home, "b").await);
    let other = place.open().await;
    for round in 0..1_000_u64 {
        let mut contest = JoinSet::new();
        for (control, session, node) in [(&home.control, a, "a"), (&other, b, "b")] {
            let (control, tenant) = (control.clone(), home.tenant);
            contest.spawn(async move {
                let holder = shared(session, node);
                let opened = control
                    .open_device_session(tenant, made.id, &holder, None, at(1))
                    .await;
                (session, opened.unwrap().unwrap().fence)
            });
        }
        let mut outcomes = contest.join_all().await;
        outcomes.sort_by_key(|(_, fence)| *fence);
        let fences: Vec<u64> = outcomes.iter().map(|(_, fence)| fence.get()).collect();
        assert_eq!(fences, [2 * round + 1, 2 * round + 2]);
        let [(_, lost), (winner, won)] = outcomes[..] else {
            panic!("two contestants");
        };
        if round % 10 == 0 {
            assert_eq!(owner(&home, made.id).await.unwrap().session, winner);
            assert!(!set(&home, made.id, lost, DeviceState::Connected).await);
            assert!(set(&home, made.id, won, DeviceState::Connected).await);
        }
    }
}

pub(super) async fn a_fence_is_raised_to_what_the_region_knows(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let raise = |tenant: TenantId, fence| {
        home.control
            .raise_device_fence(tenant, made.id, Fence::new(fence))
    };
    // Before its first session, and after it; never down.
    for (at_least, next) in [(4, 5), (9, 10), (3, 11), (11, 12)] {
        raise(home.tenant, at_least).await.unwrap();
        let opened = open(&home, made.id, &alone("boot")).await;
        assert_eq!(opened.fence, Fence::new(next));
    }
    raise(home.neighbour().await.tenant, 90).await.unwrap();
    let opened = open(&home, made.id, &alone("boot")).await;
    assert_eq!(opened.fence, Fence::new(13));
    // A device that was carried over comes without its lease.
    sqlx::query("DELETE FROM leases")
        .execute(home.control.database.pool())
        .await
        .unwrap();
    let opened = open(&home, made.id, &alone("boot")).await;
    assert_eq!(opened.fence, Fence::new(14));
}

pub(super) async fn what_was_seen_is_noted_and_never_moves_back(place: &Place) {
    let home = Home::new(place).await;
    // More than one statement takes, though few of them are there.
    let mut seen = Vec::new();
    for number in 0..600 {
        let mut device = DeviceId::from_uuid(fresh_uuid());
        if number % 50 == 7 {
            device = create(&home, None).await.unwrap().id;
            open(&home, device, &alone("boot")).await;
        }
        seen.push((home.tenant, device, Fence::FIRST, at(100 + number)));
    }
    home.control.devices_seen(&[]).await.unwrap();
    let mut twice = seen.clone();
    twice.extend(seen.iter().map(|one| (one.0, one.1, one.2, at(50))));
    twice.push((
        home.tenant,
        DeviceId::from_uuid(fresh_uuid()),
        Fence::FIRST,
        at(1),
    ));
    home.control.devices_seen(&twice).await.unwrap();
    let foreign = home.neighbour().await.tenant;
    let earlier: Vec<_> = [(home.tenant, at(60)), (foreign, at(900))]
        .map(|(tenant, at)| (tenant, seen[7].1, seen[7].2, at))
        .to_vec();
    for one in earlier {
        home.control.devices_seen(&[one]).await.unwrap();
    }
    for number in (7..600).step_by(50) {
        let (_, device, _, at) = seen[number];
        let found = read(&home, device).await.unwrap();
        assert_eq!(found.last_seen_at, Some(at), "{number}");
        assert_eq!(found.version, 1);
    }
}

pub(super) async fn a_device_that_leaves_ends_its_session_and_opens_no_other(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let a = begin(&home, "a").await;
    let fence = open(&home, made.id, &shared(a, "a")).await.fence;
    let mark = home
        .control
        .mark_device_leaving(home.tenant, made.id, None)
        .await;
    let gone = mark.unwrap();
    assert_eq!((gone.is_live, gone.session, gone.fence), (true, Some(a), 1));
    let holder = shared(a, "a");
    let open = async || {
        let opened = home
            .control
            .open_device_session(home.tenant, made.id, &holder, None, at(1));
        opened.await.unwrap()
    };
    assert_eq!(open().await, None);
    // The session that is still there may say how it ended.
    assert!(set(&home, made.id, fence, DeviceState::Connected).await);
    assert!(
        home.control
            .delete_device(home.tenant, made.id)
            .await
            .unwrap()
    );
    assert!(!set(&home, made.id, fence, DeviceState::Connected).await);
    assert!(!close(&home, made.id, fence).await);
    assert_eq!(owner(&home, made.id).await, None);
    let leases = home.control.leases_of(a, LeaseKind::Device).await.unwrap();
    assert_eq!(leases, []);
    assert_eq!(open().await, None);
}

pub(super) async fn a_foreign_tenant_opens_and_ends_no_session(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let foreign = Home {
        tenant: home.neighbour().await.tenant,
        control: home.control.clone(),
        workspace: home.workspace,
    };
    let a = begin(&home, "a").await;
    let fence = open(&home, made.id, &shared(a, "a")).await.fence;
    let before = read(&home, made.id).await;
    let holder = shared(a, "a");
    let opened = home
        .control
        .open_device_session(foreign.tenant, made.id, &holder, None, at(1))
        .await;
    assert_eq!(opened.unwrap(), None);
    assert!(!set(&foreign, made.id, fence, DeviceState::Connected).await);
    assert!(!close(&foreign, made.id, fence).await);
    assert_eq!(owner(&foreign, made.id).await, None);
    assert_eq!(read(&home, made.id).await, before);
    assert!(owner(&home, made.id).await.is_some());
}

//! Cases: devices as their owners configure them. Their sessions are in `device_sessions`.

use domain::{
    device::DeviceState,
    ids::{DeviceId, WorkspaceId},
};

use super::{Home, Place, at, audit, fresh_uuid, new_workspace};
use crate::{
    StoreError,
    control::{AuditEntry, AuditFilter, ChangedDevice, Device, DeviceChange, NewDevice},
};

/// A device with every field set.
pub(super) fn new_device(home: &Home) -> NewDevice {
    NewDevice {
        id: DeviceId::from_uuid(fresh_uuid()),
        tenant: home.tenant,
        workspace: home.workspace,
        name: "Zoë's \"phone\"".to_owned(),
        connector: "baileys".to_owned(),
        settings: r#"{"b":1,"a":[]}"#.to_owned(),
    }
}

pub(super) async fn create(home: &Home, max: Option<u32>) -> Result<Device, StoreError> {
    let device = new_device(home);
    home.control.create_device(&device, max, at(1)).await
}

pub(super) async fn read(home: &Home, device: DeviceId) -> Option<Device> {
    home.control.device(home.tenant, device).await.unwrap()
}

/// What the audit log tells of a change, if the tenant is who had it made.
fn note(device: &Device) -> AuditEntry {
    AuditEntry {
        resource_id: device.id.to_string(),
        meta: serde_json::json!({ "version": device.version }),
        ..audit::entry(device.tenant, 9)
    }
}

/// Another workspace of the tenant.
async fn another_workspace(home: &Home) -> WorkspaceId {
    let workspace = new_workspace("other");
    let made = home.control.create_workspace(home.tenant, workspace).await;
    made.unwrap().id
}

pub(super) async fn a_device_reads_back_as_it_was_made(place: &Place) {
    let home = Home::new(place).await;
    let new = new_device(&home);
    let made = home.control.create_device(&new, None, at(1)).await.unwrap();
    let expected = Device {
        id: new.id,
        tenant: home.tenant,
        workspace: home.workspace,
        name: new.name.clone(),
        connector: new.connector.clone(),
        settings: new.settings.clone(),
        state: DeviceState::Offline,
        reason: None,
        fence: 0,
        node: None,
        session: None,
        is_live: false,
        gateway: None,
        last_seen_at: None,
        moved_at: None,
        is_leaving: false,
        created_at: at(1),
        updated_at: at(1),
        version: 1,
    };
    assert_eq!(made, expected);
    assert_eq!(read(&home, new.id).await, Some(expected));
    let again = home.control.create_device(&new, None, at(2)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
}

pub(super) async fn a_limit_of_devices_holds_however_many_come_at_once(place: &Place) {
    let home = Home::new(place).await;
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (control, device) = (home.control.clone(), new_device(&home));
        creating.spawn(async move { control.create_device(&device, Some(5), at(1)).await });
    }
    let outcomes = creating.join_all().await;
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error, StoreError::LimitReached { max: 5, .. }),
            "{error}"
        );
    }
    let made = home.control.devices(home.tenant, None, None, 100).await;
    assert_eq!(made.unwrap().len(), 5);
    assert!(create(&home.neighbour().await, Some(1)).await.is_ok());
}

pub(super) async fn a_device_for_a_foreign_workspace_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await;
    let astray = NewDevice {
        workspace: foreign.workspace,
        ..new_device(&home)
    };
    let refused = home.control.create_device(&astray, Some(9), at(1)).await;
    assert!(matches!(refused, Err(StoreError::NotFound("workspace"))));
    let made = create(&home, None).await.unwrap();
    let change = DeviceChange {
        workspace: Some(foreign.workspace),
        ..DeviceChange::default()
    };
    let refused = home
        .control
        .update_device(home.tenant, made.id, &change, &note, at(2))
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound("workspace"))));
    assert_eq!(read(&home, made.id).await, Some(made));
}

pub(super) async fn a_change_of_a_device_leaves_the_rest_and_raises_the_version(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let workspace = another_workspace(&home).await;
    let update = async |change: DeviceChange, if_version| {
        let change = DeviceChange {
            if_version,
            ..change
        };
        home.control
            .update_device(home.tenant, made.id, &change, &note, at(9))
            .await
    };
    let named = DeviceChange {
        name: Some("new".to_owned()),
        ..DeviceChange::default()
    };
    let expected = Device {
        name: "new".to_owned(),
        updated_at: at(9),
        version: 2,
        ..made.clone()
    };
    let changed = |device: &Device| ChangedDevice {
        device: device.clone(),
        has_changed: true,
    };
    let updated = update(named.clone(), Some(1)).await;
    assert_eq!(updated.unwrap(), changed(&expected));
    let refused = update(named, Some(1)).await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let all = DeviceChange {
        workspace: Some(workspace),
        name: Some("newer".to_owned()),
        connector: Some("mqtt".to_owned()),
        settings: Some("{}".to_owned()),
        if_version: None,
    };
    let expected = Device {
        workspace,
        name: "newer".to_owned(),
        connector: "mqtt".to_owned(),
        settings: "{}".to_owned(),
        moved_at: Some(at(9)),
        version: 3,
        ..expected
    };
    assert_eq!(update(all.clone(), None).await.unwrap(), changed(&expected));
    // What is said again changes nothing.
    let again = home
        .control
        .update_device(home.tenant, made.id, &all, &note, at(12))
        .await;
    let unchanged = ChangedDevice {
        device: expected.clone(),
        has_changed: false,
    };
    assert_eq!(again.unwrap(), unchanged);
    assert_eq!(read(&home, made.id).await, Some(expected));
}

pub(super) async fn a_change_of_a_device_is_noted_with_it_or_neither_is(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let named = |name: &str, if_version| DeviceChange {
        name: Some(name.to_owned()),
        if_version,
        ..DeviceChange::default()
    };
    let nobody = AuditEntry {
        tenant: domain::ids::TenantId::from_uuid(fresh_uuid()),
        ..note(&made)
    };
    let unnoted = |_: &Device| nobody.clone();
    let refused = home
        .control
        .update_device(home.tenant, made.id, &named("new", None), &unnoted, at(2))
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound("tenant"))));
    assert_eq!(read(&home, made.id).await.as_ref(), Some(&made));
    for (change, is_done) in [
        (named("new", Some(1)), true),
        (named("new", None), true),
        (named("newer", Some(1)), false),
    ] {
        let update = home
            .control
            .update_device(home.tenant, made.id, &change, &note, at(2));
        assert_eq!(update.await.is_ok(), is_done);
    }
    let filter = AuditFilter::default();
    let noted = home.control.audit_log(home.tenant, &filter, None, 9).await;
    let noted: Vec<AuditEntry> = noted.unwrap().into_iter().map(|one| one.entry).collect();
    let changed = read(&home, made.id).await.unwrap();
    assert_eq!(noted, [note(&changed)], "what is so already is not noted");
}

pub(super) async fn a_deletion_of_an_old_version_of_a_device_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let mark = |version| {
        home.control
            .mark_device_leaving(home.tenant, made.id, version)
    };
    let refused = mark(Some(2)).await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    assert_eq!(read(&home, made.id).await.as_ref(), Some(&made));
    let leaving = Device {
        is_leaving: true,
        ..made.clone()
    };
    for version in [Some(1), None] {
        assert_eq!(
            mark(version).await.unwrap(),
            leaving,
            "as often as you like"
        );
    }
    let refused = mark(Some(2)).await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
}

pub(super) async fn a_device_that_leaves_is_there_for_whoever_finishes_it_only(place: &Place) {
    let home = Home::new(place).await;
    let (stays, leaves) = (create(&home, None).await, create(&home, None).await);
    let (stays, leaves) = (stays.unwrap(), leaves.unwrap());
    let control = &home.control;
    let delete = |device| control.delete_device(home.tenant, device);
    assert!(!delete(leaves.id).await.unwrap(), "it is not marked");
    let marked = control.mark_device_leaving(home.tenant, leaves.id, None);
    assert_eq!(marked.await.unwrap().fence, 0);
    let leaving = async |after| control.leaving_devices(after, 1_000).await.unwrap();
    assert_eq!(leaving(None).await, [(home.tenant, leaves.id)]);
    assert_eq!(leaving(Some(leaves.id)).await, []);
    let listed = control.devices(home.tenant, None, None, 10).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&stays));
    let change = DeviceChange {
        name: Some("new".to_owned()),
        ..DeviceChange::default()
    };
    let changed = control
        .update_device(home.tenant, leaves.id, &change, &note, at(2))
        .await;
    assert!(matches!(changed, Err(StoreError::NotFound("device"))));
    let instead = create(&home, Some(2)).await;
    assert!(instead.is_ok(), "it takes nobody's place: {instead:?}");

    assert!(delete(leaves.id).await.unwrap());
    assert!(!delete(leaves.id).await.unwrap(), "once");
    assert_eq!(read(&home, leaves.id).await, None);
    assert_eq!(leaving(None).await, []);
    assert_eq!(read(&home, stays.id).await, Some(stays));
    let refused = control
        .mark_device_leaving(home.tenant, leaves.id, None)
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound("device"))));
}

pub(super) async fn devices_are_listed_page_by_page_and_by_workspace(place: &Place) {
    let home = Home::new(place).await;
    let workspace = another_workspace(&home).await;
    let mut made = Vec::new();
    for number in 0..5 {
        let mut device = new_device(&home);
        if number % 2 == 1 {
            device.workspace = workspace;
        }
        let device = home.control.create_device(&device, None, at(1)).await;
        made.push(device.unwrap());
    }
    let list = |of, after, limit| home.control.devices(home.tenant, of, after, limit);
    assert_eq!(list(None, None, 2).await.unwrap(), made[..2]);
    assert_eq!(list(None, Some(made[1].id), 9).await.unwrap(), made[2..]);
    let found = list(Some(workspace), None, 1).await.unwrap();
    assert_eq!(found, [made[1].clone()]);
    let found = list(Some(workspace), Some(made[1].id), 9).await.unwrap();
    assert_eq!(found, [made[3].clone()]);
}

pub(super) async fn a_foreign_tenant_sees_and_changes_no_device(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let foreign = home.neighbour().await.tenant;
    let control = &home.control;
    assert_eq!(control.device(foreign, made.id).await.unwrap(), None);
    let listed = control.devices(foreign, None, None, 10).await.unwrap();
    assert_eq!(listed, []);
    let change = DeviceChange {
        name: Some("stolen".to_owned()),
        ..DeviceChange::default()
    };
    let updated = control.update_device(foreign, made.id, &change, &note, at(2));
    let answers = [
        updated.await.err(),
        control
            .mark_device_leaving(foreign, made.id, None)
            .await
            .err(),
    ];
    for error in answers {
        assert!(matches!(error, Some(StoreError::NotFound("device"))));
    }
    assert!(!control.delete_device(foreign, made.id).await.unwrap());
    assert_eq!(read(&home, made.id).await, Some(made));
}

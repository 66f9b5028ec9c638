//! Cases: API keys.

use std::net::IpAddr;

use domain::{
    ids::KeyId,
    key::{KeyRecord, KeyRefusal},
    permission::Permissions,
    plan::Tier,
};

use super::{Home, Place, at, new_key, new_workspace};
use crate::StoreError;

async fn insert(home: &Home) -> KeyRecord {
    let (key, hash) = new_key(home.tenant, None);
    home.control
        .insert_key(home.tenant, &key, &hash)
        .await
        .unwrap();
    key
}

async fn read(home: &Home, key: KeyId) -> KeyRecord {
    home.control.key(home.tenant, key).await.unwrap().unwrap()
}

pub(super) async fn a_key_reads_back_as_it_was_made_by_id_and_by_hash(place: &Place) {
    let home = Home::new(place).await;
    let (mut key, hash) = new_key(home.tenant, Some(home.workspace));
    key.revoked_at = Some(at(2));
    key.grace_until = Some(at(3));
    key.last_used_at = Some(at(4));
    home.control
        .insert_key(home.tenant, &key, &hash)
        .await
        .unwrap();
    assert_eq!(read(&home, key.id).await, key);
    let (found, tenant) = home.control.key_by_hash(&hash).await.unwrap().unwrap();
    assert_eq!((found, tenant.id), (key, home.tenant));
    let (_, unknown) = new_key(home.tenant, None);
    assert_eq!(home.control.key_by_hash(&unknown).await.unwrap(), None);
}

pub(super) async fn a_hash_is_taken_once(place: &Place) {
    let home = Home::new(place).await;
    let key = insert(&home).await;
    let (other, _) = new_key(home.tenant, None);
    let refused = home
        .control
        .insert_key(home.tenant, &other, &super::hash_of(key.id))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
}

pub(super) async fn a_key_for_a_foreign_workspace_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await;
    let (key, hash) = new_key(home.tenant, Some(foreign.workspace));
    let refused = home.control.insert_key(home.tenant, &key, &hash).await;
    assert!(matches!(refused, Err(StoreError::NotFound("workspace"))));
}

pub(super) async fn keys_are_listed_page_by_page_and_by_workspace(place: &Place) {
    let home = Home::new(place).await;
    let orders = new_workspace("orders");
    let orders = home
        .control
        .create_workspace(home.tenant, orders)
        .await
        .unwrap();
    let mut made = Vec::new();
    for workspace in [None, Some(home.workspace), Some(orders.id), Some(orders.id)] {
        let (key, hash) = new_key(home.tenant, workspace);
        home.control
            .insert_key(home.tenant, &key, &hash)
            .await
            .unwrap();
        made.push(key);
    }
    let list = |workspace, after, limit| home.control.keys(home.tenant, workspace, after, limit);
    assert_eq!(list(None, None, 3).await.unwrap(), made[..3]);
    assert_eq!(list(None, Some(made[2].id), 3).await.unwrap(), made[3..]);
    assert_eq!(list(Some(orders.id), None, 9).await.unwrap(), made[2..]);
}

pub(super) async fn a_change_raises_the_version_and_an_old_version_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let before = insert(&home).await;
    let wanted = KeyRecord {
        name: "Renamed".to_owned(),
        permissions: Permissions::all(),
        tier: Tier::None,
        ip_allow: Vec::new(),
        expires_at: None,
        ..before.clone()
    };
    let after = home
        .control
        .update_key(home.tenant, &wanted, Some(before.version))
        .await
        .unwrap();
    assert_eq!(
        after,
        KeyRecord {
            version: 2,
            ..wanted
        }
    );
    let refused = home.control.update_key(home.tenant, &before, Some(1)).await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let refused = home
        .control
        .revoke_key(home.tenant, before.id, at(9), Some(1))
        .await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    assert_eq!(read(&home, before.id).await, after);
}

pub(super) async fn a_revoked_key_is_still_found_and_stays_revoked_since_the_first_time(
    place: &Place,
) {
    let home = Home::new(place).await;
    let key = insert(&home).await;
    for moment in [at(5), at(50)] {
        let revoked = home
            .control
            .revoke_key(home.tenant, key.id, moment, None)
            .await
            .unwrap();
        assert_eq!(revoked.revoked_at, Some(at(5)));
    }
    let changed = KeyRecord {
        revoked_at: None,
        ..key.clone()
    };
    home.control
        .update_key(home.tenant, &changed, None)
        .await
        .unwrap();
    let hash = super::hash_of(key.id);
    let (found, _) = home.control.key_by_hash(&hash).await.unwrap().unwrap();
    let ip: IpAddr = "10.1.2.3".parse().unwrap();
    assert_eq!(found.check(at(6), ip), Err(KeyRefusal::Revoked));
}

pub(super) async fn a_rotated_key_is_of_use_until_its_grace_is_over(place: &Place) {
    let home = Home::new(place).await;
    let old = insert(&home).await;
    let (new, hash) = new_key(home.tenant, None);
    let ending = home
        .control
        .rotate_key(home.tenant, old.id, &new, &hash, at(60))
        .await
        .unwrap();
    assert_eq!((ending.id, ending.version), (old.id, 2));
    let ip: IpAddr = "10.1.2.3".parse().unwrap();
    let found = read(&home, old.id).await;
    assert_eq!(found.check(at(59), ip), Ok(()));
    assert_eq!(found.check(at(60), ip), Err(KeyRefusal::Revoked));
    let (found, _) = home.control.key_by_hash(&hash).await.unwrap().unwrap();
    assert_eq!(found.check(at(60), ip), Ok(()));
}

pub(super) async fn of_many_rotations_at_once_one_wins(place: &Place) {
    let home = Home::new(place).await;
    let old = insert(&home).await;
    let mut rotating = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (control, tenant) = (home.control.clone(), home.tenant);
        let (new, hash) = new_key(tenant, None);
        rotating.spawn(async move {
            control
                .rotate_key(tenant, old.id, &new, &hash, at(60))
                .await
        });
    }
    let outcomes = rotating.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
    }
    let keys = home.control.keys(home.tenant, None, None, 100).await;
    assert_eq!(keys.unwrap().len(), 2);
}

pub(super) async fn a_rotation_that_fails_leaves_the_old_key_as_it_was(place: &Place) {
    let home = Home::new(place).await;
    let old = insert(&home).await;
    let (new, _) = new_key(home.tenant, None);
    let taken = super::hash_of(old.id);
    let refused = home
        .control
        .rotate_key(home.tenant, old.id, &new, &taken, at(60))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(read(&home, old.id).await, old);
    home.control
        .revoke_key(home.tenant, old.id, at(1), None)
        .await
        .unwrap();
    let hash = super::hash_of(new.id);
    let refused = home
        .control
        .rotate_key(home.tenant, old.id, &new, &hash, at(60))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    let absent = home.control.key(home.tenant, new.id).await.unwrap();
    assert_eq!(absent, None);
}

pub(super) async fn use_is_written_down_and_never_moves_back(place: &Place) {
    let home = Home::new(place).await;
    let key = insert(&home).await;
    let (unknown, _) = new_key(home.tenant, None);
    for used in [at(10), at(30), at(20)] {
        home.control
            .touch_keys(&[(unknown.id, used), (key.id, used)])
            .await
            .unwrap();
    }
    let found = read(&home, key.id).await;
    assert_eq!(found.last_used_at, Some(at(30)));
    assert_eq!(found.version, key.version);
    home.control.touch_keys(&[]).await.unwrap();
}

pub(super) async fn a_foreign_tenant_sees_and_changes_no_key(place: &Place) {
    let home = Home::new(place).await;
    let key = insert(&home).await;
    let foreign = home.neighbour().await.tenant;
    let control = &home.control;
    assert_eq!(control.key(foreign, key.id).await.unwrap(), None);
    assert_eq!(control.keys(foreign, None, None, 10).await.unwrap(), []);
    let (new, hash) = new_key(foreign, None);
    let answers = [
        control.update_key(foreign, &key, None).await.err(),
        control.revoke_key(foreign, key.id, at(1), None).await.err(),
        control
            .rotate_key(foreign, key.id, &new, &hash, at(60))
            .await
            .err(),
    ];
    for error in answers {
        assert!(matches!(error, Some(StoreError::NotFound("key"))));
    }
    assert_eq!(read(&home, key.id).await, key);
    assert_eq!(control.key_by_hash(&hash).await.unwrap(), None);
}

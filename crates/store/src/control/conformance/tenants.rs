//! Cases: tenants, and what concerns the whole store.

use domain::plan::PlanName;

use super::{Home, Place, as_made, at, hash_of, new_key, new_tenant, new_workspace};
use crate::{StoreError, control::TenantChange};

pub(super) async fn a_tenant_reads_back_as_it_was_made(place: &Place) {
    let control = place.open().await;
    let new = new_tenant("acme");
    let workspace = new_workspace("default");
    let made = control
        .create_tenant(new.clone(), workspace, None)
        .await
        .unwrap();
    assert_eq!(made, as_made(&new));
    assert_eq!(control.tenant(new.id).await.unwrap(), Some(made.clone()));
    assert_eq!(control.tenant_by_slug("acme").await.unwrap(), Some(made));
    assert_eq!(control.tenant(new_tenant("b").id).await.unwrap(), None);
    assert_eq!(control.tenant_by_slug("ACME").await.unwrap(), None);
}

pub(super) async fn a_slug_is_taken_once_however_many_want_it(place: &Place) {
    let control = place.open().await;
    let mut making = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let control = control.clone();
        making.spawn(async move {
            control
                .create_tenant(new_tenant("acme"), new_workspace("default"), None)
                .await
        });
    }
    let outcomes = making.join_all().await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::Conflict(_)), "{error}");
        assert_eq!(error.to_string(), "the slug acme is taken");
    }
    assert_eq!(control.tenants(None, 100).await.unwrap().len(), 1);
}

pub(super) async fn a_tenant_comes_with_its_workspace_and_key_or_not_at_all(place: &Place) {
    let home = Home::new(place).await;
    let (taken, hash) = new_key(home.tenant, None);
    home.control
        .insert_key(home.tenant, &taken, &hash)
        .await
        .unwrap();

    let new = new_tenant("other");
    let workspace = new_workspace("default");
    let (key, _) = new_key(new.id, Some(workspace.id));
    let refused = home
        .control
        .create_tenant(new.clone(), workspace.clone(), Some((key.clone(), hash)))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(home.control.tenant(new.id).await.unwrap(), None);

    let hash = hash_of(key.id);
    let tenant = home
        .control
        .create_tenant(new, workspace.clone(), Some((key.clone(), hash)))
        .await
        .unwrap();
    let found = home
        .control
        .workspace_by_slug(tenant.id, "default")
        .await
        .unwrap();
    assert_eq!(found.unwrap().id, workspace.id);
    let found = home.control.key_by_hash(&hash).await.unwrap();
    assert_eq!(found, Some((key, tenant)));
}

pub(super) async fn tenants_are_listed_page_by_page(place: &Place) {
    let control = place.open().await;
    let mut made = Vec::new();
    for slug in ["a", "b", "c"] {
        made.push(Home::in_control(control.clone(), slug).await.tenant);
    }
    let ids = |tenants: Vec<crate::control::Tenant>| {
        tenants
            .into_iter()
            .map(|tenant| tenant.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(control.tenants(None, 2).await.unwrap()), made[..2]);
    assert_eq!(
        ids(control.tenants(Some(made[1]), 2).await.unwrap()),
        made[2..]
    );
    assert_eq!(control.tenants(Some(made[2]), 2).await.unwrap(), []);
}

pub(super) async fn a_change_of_a_tenant_leaves_the_rest_and_raises_the_version(place: &Place) {
    let home = Home::new(place).await;
    let before = home.control.tenant(home.tenant).await.unwrap().unwrap();
    let change = TenantChange {
        plan: Some(PlanName::Free),
        suspended: Some(true),
        name: None,
    };
    let after = home
        .control
        .update_tenant(home.tenant, change, Some(before.version))
        .await
        .unwrap();
    assert_eq!(after.plan, PlanName::Free);
    assert!(after.suspended);
    assert_eq!(after.name, before.name);
    assert_eq!(after.version, before.version + 1);
    let change = TenantChange {
        name: Some("Renamed".to_owned()),
        ..TenantChange::default()
    };
    let renamed = home
        .control
        .update_tenant(home.tenant, change, None)
        .await
        .unwrap();
    assert_eq!((renamed.plan, renamed.suspended), (PlanName::Free, true));
    assert_eq!(
        home.control.tenant(home.tenant).await.unwrap(),
        Some(renamed)
    );
}

pub(super) async fn a_change_of_an_old_version_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let change = TenantChange {
        suspended: Some(true),
        ..TenantChange::default()
    };
    let refused = home
        .control
        .update_tenant(home.tenant, change.clone(), Some(7))
        .await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let nobody = new_tenant("nobody").id;
    let refused = home.control.update_tenant(nobody, change, Some(1)).await;
    assert!(matches!(refused, Err(StoreError::NotFound("tenant"))));
    let tenant = home.control.tenant(home.tenant).await.unwrap().unwrap();
    assert!(!tenant.suspended);
}

pub(super) async fn everything_is_there_after_the_store_was_closed_and_opened(place: &Place) {
    let home = Home::new(place).await;
    let (key, hash) = new_key(home.tenant, Some(home.workspace));
    home.control
        .insert_key(home.tenant, &key, &hash)
        .await
        .unwrap();
    let webhook = super::webhooks::create(&home, None).await.unwrap();
    let no = home
        .control
        .append_audit(&super::audit::entry(home.tenant, 1))
        .await
        .unwrap();
    let workspace = home
        .control
        .workspace(home.tenant, home.workspace)
        .await
        .unwrap();
    home.control.close().await;

    let control = place.open().await;
    let (found, tenant) = control.key_by_hash(&hash).await.unwrap().unwrap();
    assert_eq!((found, tenant.id), (key, home.tenant));
    let webhooks = control.all_webhooks(home.tenant).await.unwrap();
    assert_eq!(webhooks, std::slice::from_ref(&webhook));
    assert_eq!(
        control
            .workspace(home.tenant, home.workspace)
            .await
            .unwrap(),
        workspace
    );
    let again = Home { control, ..home };
    assert_eq!(
        super::webhooks::create(&again, None).await.unwrap().no,
        webhook.no + 1
    );
    let next = again
        .control
        .append_audit(&super::audit::entry(again.tenant, 2))
        .await
        .unwrap();
    assert_eq!(next, no + 1);
}

pub(super) async fn a_closed_store_is_unavailable(place: &Place) {
    let home = Home::new(place).await;
    assert!(home.control.ping().await.is_ok());
    home.control.close().await;
    let answers = [
        home.control.ping().await.err(),
        home.control.tenant(home.tenant).await.err(),
        home.control
            .delete_workspace(home.tenant, home.workspace, at(1), None)
            .await
            .err(),
    ];
    for error in answers {
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    }
}

pub(super) async fn operators_see_counts(place: &Place) {
    let home = Home::new(place).await;
    home.neighbour().await;
    let mut used = Vec::new();
    for seconds in [10, 20, 30] {
        let (key, hash) = new_key(home.tenant, None);
        home.control
            .insert_key(home.tenant, &key, &hash)
            .await
            .unwrap();
        used.push((key.id, at(seconds)));
    }
    home.control.touch_keys(&used).await.unwrap();
    let counts = home.control.operator_counts(at(20)).await.unwrap();
    assert_eq!((counts.tenants, counts.keys_used), (2, 2));
}

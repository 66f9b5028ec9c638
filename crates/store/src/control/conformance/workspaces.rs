//! Cases: workspaces and their templates.

use domain::template::{ActorField, Template};

use super::{Home, Place, at, new_workspace};
use crate::{StoreError, control::Workspace};

fn ids(workspaces: &[Workspace]) -> Vec<String> {
    let slugs = workspaces.iter().map(|workspace| workspace.slug.clone());
    slugs.collect()
}

pub(super) async fn a_workspace_reads_back_as_it_was_made(place: &Place) {
    let home = Home::new(place).await;
    let mut new = new_workspace("orders");
    new.retention_days = None;
    let made = home
        .control
        .create_workspace(home.tenant, new.clone())
        .await
        .unwrap();
    assert_eq!((made.id, made.version), (new.id, 1));
    assert_eq!((made.created_at, made.updated_at), (at(0), at(0)));
    let by_id = home.control.workspace(home.tenant, new.id).await.unwrap();
    assert_eq!(by_id, Some(made.clone()));
    let by_slug = home
        .control
        .workspace_by_slug(home.tenant, "orders")
        .await
        .unwrap();
    assert_eq!(by_slug, Some(made));
}

pub(super) async fn a_slug_is_unique_within_its_tenant_only(place: &Place) {
    let home = Home::new(place).await;
    home.neighbour().await;
    let refused = home
        .control
        .create_workspace(home.tenant, new_workspace("default"))
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "the slug default is taken");
    let nobody = super::new_tenant("nobody").id;
    let refused = home
        .control
        .create_workspace(nobody, new_workspace("default"))
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound("tenant"))));
}

pub(super) async fn a_change_raises_the_version_and_an_old_version_is_refused(place: &Place) {
    let Home {
        control,
        tenant,
        workspace,
    } = Home::new(place).await;
    let changed = control
        .update_workspace(tenant, workspace, "Renamed", None, at(5), Some(1))
        .await
        .unwrap();
    assert_eq!(changed.name, "Renamed");
    assert_eq!(changed.retention_days, None);
    assert_eq!((changed.version, changed.updated_at), (2, at(5)));
    let refused = control
        .update_workspace(tenant, workspace, "Again", Some(1), at(6), Some(1))
        .await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let refused = control
        .delete_workspace(tenant, workspace, at(6), Some(1))
        .await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let now = control.workspace(tenant, workspace).await.unwrap();
    assert_eq!(now, Some(changed));
}

pub(super) async fn a_template_is_set_and_removed(place: &Place) {
    let Home {
        control,
        tenant,
        workspace,
    } = Home::new(place).await;
    let template = Template {
        required_actor_fields: vec![ActorField::Id, ActorField::Email],
        required_payload_keys: vec!["größe".to_owned()],
        require_project: true,
        ..Template::default()
    };
    let set = control
        .set_template(tenant, workspace, Some(&template), at(1), Some(1))
        .await
        .unwrap();
    assert_eq!(set.template, Some(template));
    assert_eq!(set.version, 2);
    let refused = control
        .set_template(tenant, workspace, None, at(2), Some(1))
        .await;
    assert!(matches!(refused, Err(StoreError::VersionMismatch)));
    let found = control.workspace(tenant, workspace).await.unwrap();
    assert_eq!(found, Some(set));
    let removed = control
        .set_template(tenant, workspace, None, at(2), None)
        .await
        .unwrap();
    assert_eq!((removed.template, removed.version), (None, 3));
}

pub(super) async fn a_deleted_workspace_is_gone_and_its_slug_is_free(place: &Place) {
    let Home {
        control,
        tenant,
        workspace,
    } = Home::new(place).await;
    control
        .delete_workspace(tenant, workspace, at(1), Some(1))
        .await
        .unwrap();
    assert_eq!(control.workspace(tenant, workspace).await.unwrap(), None);
    let by_slug = control.workspace_by_slug(tenant, "default").await.unwrap();
    assert_eq!(by_slug, None);
    assert_eq!(control.workspaces(tenant, None, 10).await.unwrap(), []);
    let again = control
        .delete_workspace(tenant, workspace, at(2), None)
        .await;
    assert!(matches!(again, Err(StoreError::NotFound("workspace"))));
    let heir = control
        .create_workspace(tenant, new_workspace("default"))
        .await
        .unwrap();
    assert_ne!(heir.id, workspace);
}

pub(super) async fn workspaces_are_listed_page_by_page(place: &Place) {
    let home = Home::new(place).await;
    for slug in ["a", "b", "c"] {
        home.control
            .create_workspace(home.tenant, new_workspace(slug))
            .await
            .unwrap();
    }
    let first = home.control.workspaces(home.tenant, None, 2).await.unwrap();
    assert_eq!(ids(&first), ["default", "a"]);
    let after = Some(first[1].id);
    let second = home
        .control
        .workspaces(home.tenant, after, 10)
        .await
        .unwrap();
    assert_eq!(ids(&second), ["b", "c"]);
}

pub(super) async fn a_foreign_tenant_sees_and_changes_no_workspace(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await;
    let (control, tenant) = (&home.control, foreign.tenant);
    let before = control
        .workspace(home.tenant, home.workspace)
        .await
        .unwrap();
    let seen = control.workspace(tenant, home.workspace).await.unwrap();
    assert_eq!(seen, None);
    let seen = control.workspaces(tenant, None, 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    let answers = [
        control
            .update_workspace(tenant, home.workspace, "Mine", None, at(1), None)
            .await
            .err(),
        control
            .set_template(
                tenant,
                home.workspace,
                Some(&Template::default()),
                at(1),
                None,
            )
            .await
            .err(),
        control
            .delete_workspace(tenant, home.workspace, at(1), None)
            .await
            .err(),
    ];
    for error in answers {
        assert!(matches!(error, Some(StoreError::NotFound("workspace"))));
    }
    let after = control
        .workspace(home.tenant, home.workspace)
        .await
        .unwrap();
    assert_eq!(after, before);
}

pub(super) async fn what_decides_for_how_long_events_are_kept_is_known_of_deleted_workspaces_too(
    place: &Place,
) {
    let home = Home::new(place).await;
    home.neighbour().await;
    let (control, tenant) = (&home.control, home.tenant);
    let mut own = Vec::new();
    for (slug, days) in [("short", Some(7)), ("long", Some(400)), ("plain", None)] {
        let mut new = new_workspace(slug);
        new.retention_days = days;
        let made = control.create_workspace(tenant, new).await.unwrap();
        own.extend(days.map(|days| (made.id, days)));
    }
    let (short, _) = own[0];
    control
        .delete_workspace(tenant, short, at(5), None)
        .await
        .unwrap();
    let mut found = control.keepings(&[tenant]).await.unwrap();
    assert_eq!(found.len(), 1);
    let mut keeping = found.remove(&tenant).unwrap();
    // The workspace that every tenant begins with has a time of its own here, too.
    keeping.own.retain(|(id, _)| *id != home.workspace);
    keeping.own.sort_unstable();
    own.sort_unstable();
    assert_eq!(keeping.own, own);
    assert_eq!(control.shortest_own_retention().await.unwrap(), Some(7));
    let of = control.tenant_of_workspace(short).await.unwrap();
    assert_eq!(of, Some(tenant));
    // The longer of what a workspace and its template say.
    for (at_most, expected) in [(3, 400), (500, 500)] {
        let template = Template {
            retention_days: Some(at_most),
            ..Template::default()
        };
        let (long, _) = *own.iter().find(|(_, days)| *days == 400).unwrap();
        let set = control.set_template(tenant, long, Some(&template), at(6), None);
        set.await.unwrap();
        let keepings = control.keepings(&[tenant]).await.unwrap();
        let found = keepings[&tenant].own.iter().find(|(id, _)| *id == long);
        assert_eq!(found.map(|(_, days)| *days), Some(expected));
    }
    // A template alone counts, and one that asks for nothing does not.
    let mut plain = new_workspace("templated");
    plain.retention_days = None;
    let plain = control.create_workspace(tenant, plain).await.unwrap().id;
    for days in [None, Some(11)] {
        let template = Template {
            retention_days: days,
            default_category: Some("\"retention_days\":null".to_owned()),
            ..Template::default()
        };
        let set = control.set_template(tenant, plain, Some(&template), at(7), None);
        set.await.unwrap();
        let keepings = control.keepings(&[tenant]).await.unwrap();
        let found = keepings[&tenant].own.iter().find(|(id, _)| *id == plain);
        assert_eq!(found.map(|(_, days)| *days), days);
    }
    assert_eq!(control.keepings(&[]).await.unwrap().len(), 0);
    let nobody = new_workspace("nobody").id;
    assert_eq!(control.tenant_of_workspace(nobody).await.unwrap(), None);
}

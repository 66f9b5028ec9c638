//! Cases: webhooks and their numbers.

use std::collections::BTreeMap;

use domain::{
    filter::TypeFilter, ids::WebhookId, position::Position, retry::RetrySchedule,
    webhook::WebhookState,
};

use super::{Home, Place, at, fresh_uuid};
use crate::{StoreError, control::SealedWebhook};

/// A webhook with every field set.
fn new_webhook(home: &Home) -> SealedWebhook {
    let seconds = |seconds| std::time::Duration::from_secs(seconds);
    SealedWebhook {
        id: WebhookId::from_uuid(fresh_uuid()),
        no: 0,
        tenant: home.tenant,
        url: "https://example.com/a?b=c".to_owned(),
        events: serde_json::from_str::<TypeFilter>(r#"["order.*","a.b"]"#).unwrap(),
        workspace: Some(home.workspace),
        description: "Größe 'x' \"y\"".to_owned(),
        state: WebhookState::Active,
        headers: BTreeMap::from([("x-a".to_owned(), "1".to_owned())]),
        timeout_ms: 15_000,
        retry: RetrySchedule::custom([seconds(0), seconds(7)]).unwrap(),
        max_in_flight: 64,
        rate_per_second: Some(10),
        ordered: true,
        secret: "sealed".to_owned(),
        previous_secret: Some(("sealed before".to_owned(), at(100))),
        version: 1,
        created_at: at(1),
        updated_at: at(1),
        starts_after: Position::new((1 << 40) - 1),
    }
}

pub(super) async fn create(home: &Home, max: Option<u32>) -> Result<SealedWebhook, StoreError> {
    let webhook = new_webhook(home);
    home.control.create_webhook(home.tenant, webhook, max).await
}

async fn read(home: &Home, webhook: WebhookId) -> Option<SealedWebhook> {
    home.control.webhook(home.tenant, webhook).await.unwrap()
}

pub(super) async fn a_webhook_reads_back_as_it_was_made(place: &Place) {
    let home = Home::new(place).await;
    let mut bare = new_webhook(&home);
    bare.workspace = None;
    bare.previous_secret = None;
    bare.rate_per_second = None;
    bare.retry = RetrySchedule::Fast;
    for (no, webhook) in [(1, new_webhook(&home)), (2, bare)] {
        let made = home
            .control
            .create_webhook(home.tenant, webhook.clone(), None)
            .await
            .unwrap();
        assert_eq!(made, SealedWebhook { no, ..webhook });
        assert_eq!(read(&home, made.id).await, Some(made.clone()));
        let by_no = home.control.webhook_by_no(home.tenant, no).await.unwrap();
        assert_eq!(by_no, Some(made));
    }
    let none = home.control.webhook_by_no(home.tenant, u64::MAX).await;
    assert_eq!(none.unwrap(), None);
}

pub(super) async fn a_number_is_never_given_twice(place: &Place) {
    let home = Home::new(place).await;
    let neighbour = home.neighbour().await;
    assert_eq!(create(&home, None).await.unwrap().no, 1);
    let last = create(&neighbour, None).await.unwrap();
    assert_eq!(last.no, 2);
    let no = home
        .control
        .delete_webhook(neighbour.tenant, last.id, None)
        .await
        .unwrap();
    assert_eq!(no, 2);
    assert_eq!(create(&home, None).await.unwrap().no, 3);
}

pub(super) async fn a_limit_holds_however_many_come_at_once(place: &Place) {
    let home = Home::new(place).await;
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let (control, tenant) = (home.control.clone(), home.tenant);
        let webhook = new_webhook(&home);
        creating.spawn(async move { control.create_webhook(tenant, webhook, Some(5)).await });
    }
    let outcomes = creating.join_all().await;
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error, StoreError::LimitReached { max: 5, .. }),
            "{error}"
        );
    }
    let made = home.control.all_webhooks(home.tenant).await.unwrap();
    let mut numbers: Vec<u64> = made.iter().map(|webhook| webhook.no).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let neighbour = home.neighbour().await;
    assert!(create(&neighbour, Some(1)).await.is_ok());
}

pub(super) async fn a_webhook_that_was_refused_takes_no_number(place: &Place) {
    let home = Home::new(place).await;
    assert_eq!(create(&home, Some(1)).await.unwrap().no, 1);
    let refused = create(&home, Some(1)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plan allows 1 webhooks and no more"
    );
    assert_eq!(create(&home, Some(2)).await.unwrap().no, 2);
}

pub(super) async fn a_webhook_for_a_foreign_workspace_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await;
    let made = create(&home, None).await.unwrap();
    let astray = SealedWebhook {
        workspace: Some(foreign.workspace),
        ..new_webhook(&home)
    };
    let refused = home
        .control
        .update_webhook(home.tenant, made.id, &astray, None)
        .await;
    assert!(matches!(refused, Err(StoreError::NotFound("workspace"))));
    let refused = home.control.create_webhook(home.tenant, astray, None).await;
    assert!(matches!(refused, Err(StoreError::NotFound("workspace"))));
}

pub(super) async fn a_change_raises_the_version_and_an_old_version_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let before = create(&home, None).await.unwrap();
    let wanted = SealedWebhook {
        url: "https://example.org".to_owned(),
        events: TypeFilter::default(),
        workspace: None,
        state: WebhookState::Paused,
        ordered: false,
        rate_per_second: None,
        secret: "sealed anew".to_owned(),
        previous_secret: None,
        updated_at: at(9),
        ..before.clone()
    };
    let update = |version| {
        home.control
            .update_webhook(home.tenant, before.id, &wanted, version)
    };
    assert_eq!(update(Some(1)).await.unwrap(), 2);
    assert!(matches!(
        update(Some(1)).await,
        Err(StoreError::VersionMismatch)
    ));
    let after = read(&home, before.id).await;
    assert_eq!(
        after,
        Some(SealedWebhook {
            version: 2,
            ..wanted.clone()
        })
    );
    assert_eq!(update(None).await.unwrap(), 3);
}

pub(super) async fn a_state_is_set_whatever_else_was_changed(place: &Place) {
    let home = Home::new(place).await;
    let before = create(&home, None).await.unwrap();
    let version = home
        .control
        .set_webhook_state(home.tenant, before.id, WebhookState::Suspended, at(7))
        .await
        .unwrap();
    assert_eq!(version, 2);
    let wanted = SealedWebhook {
        state: WebhookState::Suspended,
        updated_at: at(7),
        version,
        ..before.clone()
    };
    assert_eq!(read(&home, before.id).await, Some(wanted));
}

pub(super) async fn a_deletion_of_an_old_version_is_refused(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let delete = |version| home.control.delete_webhook(home.tenant, made.id, version);
    assert!(matches!(
        delete(Some(2)).await,
        Err(StoreError::VersionMismatch)
    ));
    assert_eq!(delete(Some(1)).await.unwrap(), made.no);
    assert_eq!(read(&home, made.id).await, None);
    assert!(matches!(
        delete(None).await,
        Err(StoreError::NotFound("webhook"))
    ));
}

pub(super) async fn webhooks_are_listed_page_by_page_or_all_at_once(place: &Place) {
    let home = Home::new(place).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(create(&home, None).await.unwrap());
    }
    let list = |after, limit| home.control.webhooks(home.tenant, after, limit);
    assert_eq!(list(None, 2).await.unwrap(), made[..2]);
    assert_eq!(list(Some(made[1].id), 2).await.unwrap(), made[2..]);
    assert_eq!(home.control.all_webhooks(home.tenant).await.unwrap(), made);
}

pub(super) async fn a_foreign_tenant_sees_and_changes_no_webhook(place: &Place) {
    let home = Home::new(place).await;
    let made = create(&home, None).await.unwrap();
    let foreign = home.neighbour().await.tenant;
    let control = &home.control;
    assert_eq!(control.webhook(foreign, made.id).await.unwrap(), None);
    let by_no = control.webhook_by_no(foreign, made.no).await.unwrap();
    assert_eq!(by_no, None);
    assert_eq!(control.webhooks(foreign, None, 10).await.unwrap(), []);
    assert_eq!(control.all_webhooks(foreign).await.unwrap(), []);
    let bare = SealedWebhook {
        workspace: None,
        ..made.clone()
    };
    let answers = [
        control
            .update_webhook(foreign, made.id, &bare, None)
            .await
            .err(),
        control
            .set_webhook_state(foreign, made.id, WebhookState::Paused, at(1))
            .await
            .err(),
        control.delete_webhook(foreign, made.id, None).await.err(),
    ];
    for error in answers {
        assert!(matches!(error, Some(StoreError::NotFound("webhook"))));
    }
    assert_eq!(read(&home, made.id).await, Some(made));
}

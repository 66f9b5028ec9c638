//! Cases: the audit log.

use domain::ids::TenantId;

use super::{Home, Place, at};
use crate::control::{AuditEntry, AuditFilter, Control, RecordedAudit};

/// An entry with every field set.
pub(super) fn entry(tenant: TenantId, second: u64) -> AuditEntry {
    AuditEntry {
        tenant,
        at: at(second),
        actor: "operator".to_owned(),
        action: "webhook.created".to_owned(),
        resource_type: "webhook".to_owned(),
        resource_id: "wh_1".to_owned(),
        meta: serde_json::json!({"url": "https://example.com/ü", "number": 1}),
        ip: Some("2001:db8::1".parse().unwrap()),
        user_agent: Some("curl/8".to_owned()),
    }
}

async fn numbers(
    control: &Control,
    tenant: TenantId,
    filter: &AuditFilter,
    after: Option<u64>,
    limit: u32,
) -> Vec<u64> {
    let entries = control.audit_log(tenant, filter, after, limit).await;
    let numbers = entries.unwrap().into_iter().map(|entry| entry.no);
    numbers.collect()
}

pub(super) async fn entries_read_back_as_they_were_written_newest_first(place: &Place) {
    let home = Home::new(place).await;
    let full = entry(home.tenant, 1);
    let bare = AuditEntry {
        meta: serde_json::Value::Null,
        ip: None,
        user_agent: None,
        ..entry(home.tenant, 2)
    };
    assert_eq!(home.control.append_audit(&full).await.unwrap(), 1);
    assert_eq!(home.control.append_audit(&bare).await.unwrap(), 2);
    let all = home
        .control
        .audit_log(home.tenant, &AuditFilter::default(), None, 10)
        .await
        .unwrap();
    let wanted = [(2, bare), (1, full)].map(|(no, entry)| RecordedAudit { no, entry });
    assert_eq!(all, wanted);
}

pub(super) async fn entries_are_filtered_and_paged(place: &Place) {
    let Home {
        control, tenant, ..
    } = Home::new(place).await;
    for second in 1..=6 {
        let mut entry = entry(tenant, second);
        if second % 2 == 0 {
            entry.action = "key.revoked".to_owned();
        }
        if second == 2 {
            entry.resource_type = "device".to_owned();
            entry.resource_id = "dev_1".to_owned();
        }
        if second > 3 {
            entry.actor = "key_1".to_owned();
        }
        control.append_audit(&entry).await.unwrap();
    }
    let all = AuditFilter::default();
    assert_eq!(numbers(&control, tenant, &all, None, 4).await, [6, 5, 4, 3]);
    assert_eq!(numbers(&control, tenant, &all, Some(3), 4).await, [2, 1]);
    let revoked = AuditFilter {
        action: Some("key.revoked".to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(
        numbers(&control, tenant, &revoked, None, 9).await,
        [6, 4, 2]
    );
    let by_key = AuditFilter {
        actor: Some("key_1".to_owned()),
        ..revoked
    };
    assert_eq!(numbers(&control, tenant, &by_key, None, 9).await, [6, 4]);
    let of_thing = |kind: &str, id: Option<&str>| AuditFilter {
        resource_type: Some(kind.to_owned()),
        resource_id: id.map(str::to_owned),
        ..AuditFilter::default()
    };
    for (filter, expected) in [
        (of_thing("webhook", None), vec![6, 5, 4, 3, 1]),
        (of_thing("webhook", Some("wh_1")), vec![6, 5, 4, 3, 1]),
        (of_thing("webhook", Some("wh_2")), vec![]),
        (of_thing("device", Some("dev_1")), vec![2]),
    ] {
        assert_eq!(numbers(&control, tenant, &filter, None, 9).await, expected);
    }
    let between = AuditFilter {
        from: Some(at(2)),
        to: Some(at(5)),
        ..AuditFilter::default()
    };
    assert_eq!(
        numbers(&control, tenant, &between, None, 9).await,
        [4, 3, 2]
    );
}

pub(super) async fn entries_written_at_once_are_numbered_without_holes(place: &Place) {
    let home = Home::new(place).await;
    let mut appending = tokio::task::JoinSet::new();
    for second in 0..30 {
        let (control, entry) = (home.control.clone(), entry(home.tenant, second));
        appending.spawn(async move { control.append_audit(&entry).await.unwrap() });
    }
    let mut given = appending.join_all().await;
    given.sort_unstable();
    let wanted: Vec<u64> = (1..=30).collect();
    assert_eq!(given, wanted);
}

pub(super) async fn a_foreign_tenant_sees_no_entry(place: &Place) {
    let home = Home::new(place).await;
    let foreign = home.neighbour().await.tenant;
    let all = AuditFilter::default();
    let control = &home.control;
    control.append_audit(&entry(home.tenant, 1)).await.unwrap();
    assert_eq!(numbers(control, foreign, &all, None, 9).await, [0; 0]);
    let first = control.append_audit(&entry(foreign, 1)).await.unwrap();
    assert_eq!(first, 1);
}

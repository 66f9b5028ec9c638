//! `GET /v1/audit-logs`: who changed what, when, and from where.

use std::net::IpAddr;

use domain::{permission::Permission, time::Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::control::{AuditFilter, RecordedAudit};
use url::form_urlencoded;

use super::{
    call::{Answer, Call},
    envelope::ListBody,
    listing,
    problem::{Code, Problem},
};

const LIST: &str = "audit";

#[derive(Serialize)]
struct ShownEntry<'a> {
    no: u64,
    at: Timestamp,
    actor: &'a str,
    action: &'a str,
    resource_type: &'a str,
    resource_id: &'a str,
    meta: &'a Value,
    ip: Option<IpAddr>,
    user_agent: Option<&'a str>,
}

/// Lists what was done, newest first.
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::AuditRead)?;
    call.require_tenant_key()?;
    let page = call.page()?;
    let filter = filter(call.request().query_string())?;
    let after = page.after_as::<u64>(LIST)?;
    let control = call.engine().control();
    let entries = control
        .audit_log(call.tenant(), &filter, after, listing::wanted(&page))
        .await?;
    let push = |list: &mut ListBody, entry: &RecordedAudit| {
        list.push(&shown(entry))?;
        Ok(entry.no)
    };
    listing::answer(call.request(), &page, LIST, &entries, push)
}

fn filter(query: &str) -> Result<AuditFilter, Problem> {
    let mut filter = AuditFilter::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "action" => filter.action = Some(value.into_owned()),
            "actor" => filter.actor = Some(value.into_owned()),
            "resource" => filter.resource_id = Some(value.into_owned()),
            "resource_type" => filter.resource_type = Some(value.into_owned()),
            "from" => filter.from = Some(time(&name, &value)?),
            "to" => filter.to = Some(time(&name, &value)?),
            "limit" | "cursor" => {}
            other => {
                let detail = format!(
                    "`{other}` is no parameter of this list: expected action, actor, resource, resource_type, from, to, \
                     limit or cursor"
                );
                return Err(Problem::new(Code::BadRequest, detail));
            }
        }
    }
    Ok(filter)
}

fn time(name: &str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text)
        .map_err(|error| Problem::new(Code::BadRequest, format!("{name}: it is {error}")))
}

fn shown(recorded: &RecordedAudit) -> ShownEntry<'_> {
    let entry = &recorded.entry;
    ShownEntry {
        no: recorded.no,
        at: entry.at,
        actor: &entry.actor,
        action: &entry.action,
        resource_type: &entry.resource_type,
        resource_id: &entry.resource_id,
        meta: &entry.meta,
        ip: entry.ip,
        user_agent: entry.user_agent.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_from_the_query() {
        let query = "action=key.created&from=2026-01-01T00:00:00Z&limit=5&resource=dev_1&resource_type=device";
        let filter = filter(query).unwrap();
        assert_eq!(filter.resource_id.as_deref(), Some("dev_1"));
        assert_eq!(filter.resource_type.as_deref(), Some("device"));
        assert_eq!(filter.action.as_deref(), Some("key.created"));
        assert_eq!(filter.from, Timestamp::parse("2026-01-01T00:00:00Z").ok());
        assert_eq!((filter.actor, filter.to), (None, None));
    }

    #[test]
    fn a_parameter_that_nobody_knows_is_refused() {
        for query in ["actoin=x", "from=yesterday", "to="] {
            assert_eq!(
                filter(query).unwrap_err().code(),
                Code::BadRequest,
                "{query}"
            );
        }
    }
}

//! Replays of past events to one webhook: begun, listed, watched.

use actix_web::http::StatusCode;
use actors::engine::{Moment, ReplayInput, ReplayStart};
use bytes::Bytes;
use domain::{
    ids::{ReplayId, WebhookId},
    permission::Permission,
    position::Position,
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::log::{Replay, ReplayState};

use super::id;
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    idempotency::IdempotencyKey,
    members::{Given, Members},
    problem::Problem,
};

/// The most types that a replay is narrowed to.
const TYPES_MAX: usize = 100;

#[derive(Serialize)]
struct ShownReplay<'a> {
    id: ReplayId,
    webhook_id: WebhookId,
    from: Position,
    to: Position,
    types: &'a [String],
    only: &'static str,
    state: &'static str,
    total: u64,
    done: u64,
    failed: u64,
    cursor: Position,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// `POST /v1/webhooks/{id}/replay`
pub(crate) async fn replay(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    call.once(&key, &body.0, start(&call, &body.0)).await
}

async fn start(call: &Call, body: &Bytes) -> Answer {
    let input = parse(body)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let webhook = id(call)?;
    match call
        .engine()
        .start_replay(tenant, workspace, webhook, input)
        .await?
    {
        ReplayStart::DryRun { total } => {
            envelope::one(StatusCode::OK, &json!({"dry_run": true, "total": total}))
        }
        ReplayStart::Started(replay) => {
            let meta = json!({"replay": replay.id, "total": replay.total});
            call.audit("webhook.replay_started", "webhook", webhook, meta)
                .await;
            envelope::one(StatusCode::ACCEPTED, &shown(webhook, &replay))
        }
    }
}

/// `GET /v1/webhooks/{id}/replays`: the newest first, as many as `limit` says.
pub(crate) async fn list_replays(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let limit = u32::from(call.page()?.limit);
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let webhook = id(&call)?;
    let replays = call
        .engine()
        .replays(tenant, workspace, webhook, limit)
        .await?;
    let mut list = ListBody::new();
    for replay in &replays {
        list.push(&shown(webhook, replay))?;
    }
    Ok(list.finish(call.request(), None, Map::new()))
}

/// `GET /v1/webhooks/{id}/replays/{replay_id}`
pub(crate) async fn get_replay(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let webhook = id(&call)?;
    let replay = call.named("replay_id", "replay")?;
    let replay = call
        .engine()
        .replay(tenant, workspace, webhook, replay)
        .await?;
    envelope::one(StatusCode::OK, &shown(webhook, &replay))
}

fn parse(body: &[u8]) -> Result<ReplayInput, Problem> {
    let mut members = Members::parse(body, &["from", "to", "types", "only", "dry_run"])?;
    let (from, to) = range(&mut members);
    let any = |text: &str| Ok::<String, &str>(text.to_owned());
    let types = members.list("types", TYPES_MAX, any).or(Vec::new());
    let only_failed = members.take("only", |value| match value.as_str() {
        Some("failed") => Ok(true),
        Some("all") => Ok(false),
        Some(_) | None => Err("expected failed or all"),
    });
    let dry_run = members.read("dry_run", "true or false").or(false);
    members.end()?;
    Ok(ReplayInput {
        from,
        to,
        types,
        only_failed: only_failed.or(false),
        dry_run,
    })
}

/// Reads `from` and `to`, each a position or a time.
pub(in crate::http) fn range(members: &mut Members) -> (Option<Moment>, Option<Moment>) {
    let (from, to) = (members.take("from", moment), members.take("to", moment));
    let is_backward = match (&from, &to) {
        (Given::Value(Moment::Time(from)), Given::Value(Moment::Time(to))) => from > to,
        (Given::Value(Moment::Position(from)), Given::Value(Moment::Position(to))) => from > to,
        _ => false,
    };
    if is_backward {
        members.wrong("/to", "expected a moment that is not before `from`");
    }
    (from.value(), to.value())
}

fn moment(value: &Value) -> Result<Moment, &'static str> {
    let expected = "expected a position, or an RFC 3339 time such as 2026-01-31T12:00:00Z";
    if let Some(position) = value.as_u64() {
        return Ok(Moment::Position(Position::new(position)));
    }
    let text = value.as_str().ok_or(expected)?;
    match text.parse() {
        Ok(position) => Ok(Moment::Position(Position::new(position))),
        Err(_not_a_number) => Timestamp::parse(text)
            .map(Moment::Time)
            .map_err(|_no_time| expected),
    }
}

fn shown(webhook: WebhookId, replay: &Replay) -> ShownReplay<'_> {
    ShownReplay {
        id: replay.id,
        webhook_id: webhook,
        from: replay.from,
        to: replay.to,
        types: &replay.types,
        only: if replay.only_failed { "failed" } else { "all" },
        state: match replay.state {
            ReplayState::Running => "running",
            ReplayState::Completed => "completed",
            ReplayState::Cancelled => "cancelled",
        },
        total: replay.total,
        done: replay.done,
        failed: replay.failed,
        cursor: replay.cursor,
        created_at: replay.created_at,
        updated_at: replay.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_given_by_positions_or_times() {
        let input = parse(br#"{"from":7,"to":"2026-01-01T00:00:00Z","only":"failed"}"#).unwrap();
        assert_eq!(input.from, Some(Moment::Position(Position::new(7))));
        assert!(matches!(input.to, Some(Moment::Time(_))));
        assert!(input.only_failed && !input.dry_run);
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        for body in [
            r#"{"from":7,"to":6}"#,
            r#"{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}"#,
        ] {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!(problem.errors()[0].pointer, "/to", "{body}");
        }
    }
}

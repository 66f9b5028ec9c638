//! `GET /v1/events`, one event, and what proves it.

use actix_web::{HttpResponse, http::StatusCode};
use domain::{
    filter::EventFilter, ids::WorkspaceId, permission::Permission, position::Position,
    verify::ProofBundle,
};
use serde_json::Map;
use store::log::{EventQuery, Order};

use super::{
    call::{Answer, Call},
    envelope::{self, ListBody},
    event_query, page,
    problem::{Code, Problem},
};

/// Events looked at for one page. A page may hold fewer than asked for, and still have a next one.
const SCAN_MAX: u32 = 50_000;
/// About how many bytes of payload one page holds.
const PAGE_BYTES: usize = 16 * 1024 * 1024;
const LIST: &str = "events";

/// Which stretch of the log a list shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Only after this position.
    pub(crate) after: Option<Position>,
    /// Which end comes first.
    pub(crate) order: Order,
}

/// Lists events.
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::EventsRead)?;
    let query = event_query::list(&call).await?;
    let order = match query.order.as_deref() {
        None | Some("asc") => Order::Ascending,
        Some("desc") => Order::Descending,
        Some(_) => {
            return Err(Problem::new(
                Code::BadRequest,
                "order: expected asc or desc",
            ));
        }
    };
    let after = query
        .after
        .map(|text| text.parse().map(Position::new))
        .transpose()
        .map_err(|_not_a_number| Problem::new(Code::BadRequest, "after: expected a position"))?;
    answer(&call, query.filter, Stretch { after, order }).await
}

/// Answers a page of events that pass a filter.
pub(crate) async fn answer(
    call: &Call,
    filter: EventFilter,
    Stretch { after, order }: Stretch,
) -> Answer {
    let page = call.page()?;
    let cursor = page.after_as::<u64>(LIST)?.map(Position::new);
    let (after, before) = match order {
        Order::Ascending => (cursor.or(after), None),
        Order::Descending => (after, cursor),
    };
    let search = EventQuery {
        filter,
        after,
        before,
        order,
        limit: u32::from(page.limit),
        scan_max: SCAN_MAX,
        bytes_max: PAGE_BYTES,
    };
    let found = call
        .engine()
        .search(call.tenant(), call.caller().region(), &search)
        .await?;
    let mut list = ListBody::new();
    for event in &found.page.events {
        list.push_with(|out| event.write_json(found.region, out));
    }
    let next = found.page.next.map(|next| page::cursor(LIST, next.get()));
    Ok(list.finish(call.request(), next, Map::new()))
}

/// One event.
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::EventsRead)?;
    let id = call.named("id", "event")?;
    let (event, region) = call.engine().event(call.tenant(), id).await?;
    see(&call, event.workspace)?;
    let mut body = Vec::new();
    event.write_json(region, &mut body);
    Ok(envelope::one_raw(StatusCode::OK, &body))
}

/// One event with a proof of its place in the log.
pub(crate) async fn proof(call: Call) -> Answer {
    call.require(Permission::EventsRead)?;
    let id = call.named("id", "event")?;
    let (engine, tenant) = (call.engine(), call.tenant());
    let (event, _) = engine.event(tenant, id).await?;
    see(&call, event.workspace)?;
    let proof = engine.proof(tenant, id).await?;
    let bundle = ProofBundle::new(
        &proof.event,
        proof.region,
        proof.checkpoint.checkpoint.size,
        proof.path,
        (
            proof.checkpoint.note,
            &engine.signer(proof.region).verifier(),
        ),
    );
    envelope::one(StatusCode::OK, &bundle)
}

/// The signed state of a workspace's log, as a C2SP note.
pub(crate) async fn checkpoint(call: Call) -> Answer {
    call.require(Permission::WorkspacesRead)?;
    let id: WorkspaceId = call.named("id", "workspace")?;
    see(&call, id)?;
    let (engine, tenant) = (call.engine(), call.tenant());
    let workspace = engine.workspace(tenant, id).await?;
    let signed = engine
        .checkpoint(tenant, call.caller().region(), workspace.id)
        .await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("x-verifier-key", signed.verifier))
        .body(signed.note))
}

/// A workspace key sees its workspace only.
pub(crate) fn see(call: &Call, workspace: WorkspaceId) -> Result<(), Problem> {
    match call.caller().workspace() {
        Some(own) if own != workspace => Err(Problem::not_found("event")),
        Some(_) | None => Ok(()),
    }
}

//! `GET /v1/events`, one event, and what proves it.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::Engine;
use domain::{
    filter::EventFilter,
    ids::{EventId, WorkspaceId},
    permission::Permission,
    position::Position,
    verify::ProofBundle,
};
use serde_json::Map;
use store::log::{EventQuery, Order};

use super::{
    auth::Authorized,
    envelope::{self, ListBody},
    event_query,
    page::{self, PageRequest},
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
pub(crate) async fn list(
    request: HttpRequest,
    caller: Authorized,
    page: PageRequest,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::EventsRead)?;
    let query = event_query::list(&request, &caller, &engine).await?;
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
    let wanted = (query.filter, Stretch { after, order });
    answer(&request, &caller, &engine, &page, wanted).await
}

/// Answers a page of events that pass a filter.
pub(crate) async fn answer(
    request: &HttpRequest,
    caller: &Authorized,
    engine: &Engine,
    page: &PageRequest,
    (filter, Stretch { after, order }): (EventFilter, Stretch),
) -> Result<HttpResponse, Problem> {
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
    let found = engine
        .search(caller.tenant(), caller.region(), &search)
        .await?;
    let mut list = ListBody::new();
    for event in &found.page.events {
        list.push_with(|out| event.write_json(found.region, out));
    }
    let next = found.page.next.map(|next| page::cursor(LIST, next.get()));
    Ok(list.finish(request, next, Map::new()))
}

/// One event.
pub(crate) async fn get(
    caller: Authorized,
    id: web::Path<String>,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::EventsRead)?;
    let (event, region) = engine.event(caller.tenant(), event_id(&id)?).await?;
    see(&caller, event.workspace)?;
    let mut body = Vec::new();
    event.write_json(region, &mut body);
    Ok(envelope::one_raw(StatusCode::OK, &body))
}

/// One event with a proof of its place in the log.
pub(crate) async fn proof(
    caller: Authorized,
    id: web::Path<String>,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::EventsRead)?;
    let id = event_id(&id)?;
    let (event, _) = engine.event(caller.tenant(), id).await?;
    see(&caller, event.workspace)?;
    let proof = engine.proof(caller.tenant(), id).await?;
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
pub(crate) async fn checkpoint(
    caller: Authorized,
    id: web::Path<String>,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::WorkspacesRead)?;
    let id: WorkspaceId = id
        .parse()
        .map_err(|_no_id| Problem::not_found("workspace"))?;
    see(&caller, id)?;
    let workspace = engine.workspace(caller.tenant(), id).await?;
    let signed = engine
        .checkpoint(caller.tenant(), caller.region(), workspace.id)
        .await?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("x-verifier-key", signed.verifier))
        .body(signed.note))
}

/// What cannot be an id names nothing.
pub(crate) fn event_id(text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|_no_id| Problem::not_found("event"))
}

/// A workspace key sees its workspace only.
pub(crate) fn see(caller: &Authorized, workspace: WorkspaceId) -> Result<(), Problem> {
    match caller.workspace() {
        Some(own) if own != workspace => Err(Problem::not_found("event")),
        Some(_) | None => Ok(()),
    }
}

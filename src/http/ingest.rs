//! `POST /v1/events`: one event, a batch, NDJSON or CloudEvents in; what became of each out.
//!
//! Parses, resolves the workspace, asks the engine once, renders. The bodies are written by hand, because this is the path
//! that everything else waits for.

mod answer;
mod read;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    Engine, EngineError,
    tenant::{IdempotentRequest, Ingested, Item},
};
use bytes::Bytes;
use domain::{
    event::NewEvent,
    idempotency::ANSWERS_KEPT_FOR,
    new_event::{Draft, Input, InputCode, InputError, Limits},
    permission::Permission,
};

use super::{
    auth::Authorized,
    body::RawBody,
    envelope,
    idempotency::{IDEMPOTENCY_REPLAYED, IdempotencyKey},
    problem::{Code, Problem},
    workspace_names::WorkspaceNames,
};
use answer::Fate;

/// Takes events.
pub(crate) async fn ingest(
    request: HttpRequest,
    caller: Authorized,
    key: IdempotencyKey,
    body: RawBody,
    engine: web::Data<Engine>,
    names: web::Data<WorkspaceNames>,
    limits: web::Data<Limits>,
) -> Result<HttpResponse, Problem> {
    caller.require(Permission::EventsWrite)?;
    let input = read::read(&request, &body.0, &limits)?;
    match input {
        Input::One(draft) => one(&caller, key, &body.0, draft, &engine, &names).await,
        Input::Batch(drafts) => batch(&caller, key, &body.0, drafts, &engine, &names).await,
    }
}

async fn one(
    caller: &Authorized,
    key: IdempotencyKey,
    body: &Bytes,
    draft: Draft,
    engine: &Engine,
    names: &WorkspaceNames,
) -> Result<HttpResponse, Problem> {
    let event = resolve(caller, draft, "", engine, names).await?;
    let region = caller.region();
    let idempotent = key
        .for_events(caller, body)
        .map(|(key_hash, request_hash)| {
            let render = move |items: &[Item]| match items.first() {
                Some(item) => answer::stored_one(item, region),
                None => (StatusCode::ACCEPTED.as_u16(), Bytes::new()),
            };
            IdempotentRequest {
                key_hash,
                request_hash,
                keep_for: ANSWERS_KEPT_FOR,
                render: Box::new(render),
            }
        });
    match ask(caller, engine, vec![event], idempotent).await? {
        Ingested::Items(items, _) => match items.into_iter().next() {
            Some(item) => answer::one(&item, region),
            None => Err(Problem::internal(&"an event without an outcome")),
        },
        Ingested::Replayed(kept) => Ok(replayed(kept.status, &kept.body)),
    }
}

async fn batch(
    caller: &Authorized,
    key: IdempotencyKey,
    body: &Bytes,
    drafts: Vec<Result<Draft, InputError>>,
    engine: &Engine,
    names: &WorkspaceNames,
) -> Result<HttpResponse, Problem> {
    let mut fates = Vec::with_capacity(drafts.len());
    let mut events = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        let resolved = match draft {
            Ok(draft) => resolve(caller, draft, &format!("/{index}"), engine, names).await,
            Err(error) => Err(refused(&error)),
        };
        match resolved {
            Ok(event) => {
                events.push(event);
                fates.push(Fate::Asked);
            }
            Err(problem) if problem.code().status().is_client_error() => {
                fates.push(Fate::Refused(problem));
            }
            Err(problem) => return Err(problem),
        }
    }
    let region = caller.region();
    let fates = Arc::new(fates.into_iter().map(answer::prepare).collect::<Vec<_>>());
    let idempotent = key
        .for_events(caller, body)
        .map(|(key_hash, request_hash)| {
            let fates = Arc::clone(&fates);
            let render = move |items: &[Item]| {
                let (status, body) = answer::render_batch(&fates, items, region);
                (status.as_u16(), Bytes::from(body))
            };
            IdempotentRequest {
                key_hash,
                request_hash,
                keep_for: ANSWERS_KEPT_FOR,
                render: Box::new(render),
            }
        });
    if events.is_empty() && idempotent.is_none() {
        let (status, body) = answer::render_batch(&fates, &[], region);
        return Ok(envelope::json(status, body));
    }
    match ask(caller, engine, events, idempotent).await? {
        Ingested::Items(items, _) => {
            let (status, body) = answer::render_batch(&fates, &items, region);
            Ok(envelope::json(status, body))
        }
        Ingested::Replayed(kept) => Ok(replayed(kept.status, &kept.body)),
    }
}

async fn ask(
    caller: &Authorized,
    engine: &Engine,
    events: Vec<NewEvent>,
    idempotent: Option<IdempotentRequest>,
) -> Result<Ingested, Problem> {
    let outcome = engine.ingest(caller.tenant(), events, idempotent).await;
    match &outcome {
        Ok(Ingested::Items(_, Some(standing))) | Err(EngineError::RateLimited { standing, .. }) => {
            caller.context().set_standing(*standing);
        }
        Ok(_) | Err(_) => {}
    }
    Ok(outcome?)
}

/// Finds the workspace that an event names, or the one that it means when it names none.
async fn resolve(
    caller: &Authorized,
    draft: Draft,
    pointer: &str,
    engine: &Engine,
    names: &WorkspaceNames,
) -> Result<NewEvent, Problem> {
    let workspace = match (&draft.workspace, caller.workspace()) {
        (None, Some(own)) => own,
        (named, own) => {
            let tenant = caller.tenant();
            let found = names.find(engine, tenant, named.as_ref()).await?;
            let found = found.filter(|found| own.is_none_or(|own| own == *found));
            found.ok_or_else(|| {
                let pointer = format!("{pointer}/workspace");
                Problem::invalid_field(&pointer, "expected the id or slug of a workspace of yours")
            })?
        }
    };
    Ok(draft.into_event(workspace))
}

fn replayed(status: u16, body: &Bytes) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::ACCEPTED);
    let mut response = envelope::json(status, body.to_vec());
    if status.is_client_error() {
        response.headers_mut().insert(
            actix_web::http::header::CONTENT_TYPE,
            super::problem::PROBLEM_JSON,
        );
    }
    response
        .headers_mut()
        .insert(IDEMPOTENCY_REPLAYED.0, IDEMPOTENCY_REPLAYED.1);
    response
}

/// What a wrong input looks like to its sender.
fn refused(error: &InputError) -> Problem {
    let code = match error.code {
        InputCode::MalformedJson => Code::MalformedJson,
        InputCode::InvalidField => Code::InvalidField,
        InputCode::UnknownField => Code::UnknownField,
        InputCode::PayloadTooLarge => Code::PayloadTooLarge,
    };
    let detail = if error.pointer.is_empty() {
        error.detail.clone()
    } else {
        format!("`{}`: {}", error.pointer, error.detail)
    };
    Problem::new(code, detail).with_error(&error.pointer, error.detail.clone())
}

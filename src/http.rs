//! HTTP: what stands between a socket and a handler, and the handlers, one file for each resource.
//!
//! Handlers translate: they extract, ask the engine once, and answer. No SQL, no business rule, no retry.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod context;
mod cors;
pub(crate) mod envelope;
pub(crate) mod etag;
mod failure;
pub(crate) mod limits;
mod operations;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod trace;
pub(crate) mod event_query;
pub(crate) mod event_routes;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod idempotency;
pub(crate) mod inbox;
pub(crate) mod ingest;
pub(crate) mod json_body;
pub(crate) mod tail;
pub(crate) mod workspace_names;

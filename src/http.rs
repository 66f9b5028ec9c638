//! HTTP: what stands between a socket and a handler, and the handlers, one file for each resource.
//!
//! Handlers translate: they extract, ask the engine once, and answer. No SQL, no business rule, no retry.

mod audit_logs;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod carry;
pub(crate) mod context;
mod cors;
mod dead_letters;
mod deliveries;
pub(crate) mod devices;
mod docs;
pub(crate) mod envelope;
pub(crate) mod etag;
pub(crate) mod event_query;
pub(crate) mod events;
pub(crate) mod exports;
mod failure;
mod health;
pub(crate) mod idempotency;
pub(crate) mod inbox;
pub(crate) mod ingest;
mod internal;
mod keys;
pub(crate) mod limits;
mod listing;
mod members;
mod older;
mod openapi;
mod operations;
pub(crate) mod page;
pub(crate) mod problem;
mod regions;
pub(crate) mod routes;
pub(crate) mod server;
mod signup;
mod slug;
pub(crate) mod tail;
pub(crate) mod trace;
mod webhooks;
pub(crate) mod workspace_names;
mod workspaces;

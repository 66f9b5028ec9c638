//! The API row by row: what each call answers when it succeeds, and with which code it refuses.

mod aliases;
mod cloudevents;
mod conventions;
mod dead_letters;
mod deliveries;
mod event_input;
mod event_search;
mod events;
mod exports;
mod foreign;
mod idempotency;
mod inbox;
mod key_rules;
mod keys;
mod limits;
mod openapi;
mod operations;
mod proofs;
mod tail;
mod webhook_actions;
mod webhook_input;
mod webhooks;
mod workspaces;

//! The rules of Trunkline: the words of the design as types, and every decision that needs no I/O.
//!
//! No async, no sockets, no database: what this crate decides can be tested without a runtime.

pub mod breaker;
pub mod chain;
pub mod checkpoint;
pub mod clock;
pub mod cloudevents;
pub mod dedup;
pub mod device;
pub mod event;
pub mod event_id;
pub mod export;
pub mod fence;
pub mod filter;
pub mod idempotency;
pub mod ids;
pub mod json;
pub mod key;
pub mod merkle;
mod mistakes;
pub mod new_event;
pub mod permission;
pub mod plan;
pub mod position;
pub mod rate;
pub mod region;
pub mod retention;
pub mod retry;
pub mod seal;
pub mod signature;
pub mod template;
pub mod time;
pub mod verify;
pub mod webhook;

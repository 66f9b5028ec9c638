//! The engine: one actor per tenant, webhook, device and region, and the registry that starts, bounds and replaces them.
//!
//! Knows neither HTTP nor SQL. What it decides it decides with types of `domain`; what it keeps is in `store`.

pub mod auth;
pub mod device;
pub mod engine;
pub mod feed;
pub mod placement;
pub mod recent;
pub mod region;
pub mod registry;
pub mod tenant;
pub mod webhook;
pub mod webhook_board;

pub use engine::{Engine, EngineError, EngineOptions};

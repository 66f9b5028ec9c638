//! The connector itself, between a fake network and an engine.

mod connector;
mod endings;
mod engine;
mod messages;
mod network;
mod pairing;
mod real_engine;
mod reconnects;

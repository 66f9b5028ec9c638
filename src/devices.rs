//! Devices at the edge: the connections by which they come in, and what all of them need.
//!
//! A connection translates between its protocol's frames and the engine's words. Which session is live, what a frame does to
//! it and what is kept is decided by the engine.

pub(crate) mod credential;
pub(crate) mod gateway;
pub(crate) mod intake;
pub(crate) mod mqtt;
pub(crate) mod sessions;
mod visits;

#[cfg(test)]
mod contract;

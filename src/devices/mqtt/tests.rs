//! What comes from devices: whole, broken, and random.

mod fuzz;
mod packets;
mod payloads;

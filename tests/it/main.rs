//! Journeys against the real binary: what the README and API.md promise, seen from outside.
//!
//! One test binary. `contract` takes the API row by row, `journeys` follows users from beginning to end, `faults` breaks
//! something on purpose, `cluster` does so with three nodes over one PostgreSQL and one NATS, `devices` plays gateways. Nothing
//! of the engine is linked in (but our client of the gateway protocol, which is under test, too): every test starts the program
//! in a folder of its own and talks to it as others do. Waiting is always for a condition; the caps on it only guard against
//! hanging for ever.

mod cluster;
mod contract;
mod devices;
mod faults;
mod harness;
mod journeys;

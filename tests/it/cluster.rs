//! Three nodes of the program over one PostgreSQL and one NATS, of which something is broken while clients write and read.
//!
//! Every test ends with the same judgement ([`judge`]): whatever was acknowledged is in the log exactly once, positions have
//! neither hole nor fork, chains verify, every tail on every node saw every position once and in order, and every webhook got
//! every event.

mod bus_failures;
mod contests;
mod database_failures;
mod deaths;
mod devices;
mod everywhere;
mod ingest;
mod judge;
mod moves;
mod nodes;
mod readers;
mod stand;

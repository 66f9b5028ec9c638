//! What breaks, and what goes on nevertheless.

mod bad_endpoints;
mod bad_inputs;
mod disk_full;
mod kills;
mod neighbours;
mod panics;
mod reconnects;
mod slow_tenant;
mod stuck_readers;

//! What becomes of devices' sessions, on real stores: one node with a clock that the test moves, and several nodes on the same
//! stores.

mod commands;
mod contests;
mod faults;
mod kept;
mod leaving;
mod limits;
mod moving;
mod nodes;
mod sessions;
mod stand;

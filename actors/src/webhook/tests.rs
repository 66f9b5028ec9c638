//! A whole engine in one process, on a database in a temporary folder and a receiver on a free port.
//!
//! Everything lives on the test's own thread, whose clock stands still unless a test moves it.

mod busy;
mod faults;
mod flow;
pub(crate) mod house;
mod order;
mod replays;
pub(crate) mod retention;
mod sink;

pub(crate) mod samples;

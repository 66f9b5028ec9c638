//! The conformance suite on `PostgreSQL`, and what only a server can show.

mod disk;
mod ground;
mod months;
mod nodes;
mod partitions;
mod schema;
mod server;
mod sessions;

use self::ground::Database;
use crate::log::conformance::conformance_tests;

conformance_tests!(Database::new().await);

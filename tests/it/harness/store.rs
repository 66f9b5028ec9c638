//! What an engine under test keeps its data in: its folder alone, or a PostgreSQL database of its own.
//!
//! `TRUNKLINE_TEST_STORE=postgres` runs every test on PostgreSQL whose engine was not given a store.

use std::sync::Arc;

use super::postgres::{self, Database, query};

/// The variable that chooses.
const CHOICE: &str = "TRUNKLINE_TEST_STORE";
/// Forgets that anybody runs on the database.
const FORGET_SESSIONS: &str = "
    DO $$ BEGIN
        IF to_regclass('trunkline.node_sessions') IS NOT NULL THEN
            DELETE FROM trunkline.node_sessions;
        END IF;
    END $$";

/// Where the data are. Cheap to clone; the last clone takes the database with it.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// In files of the engine's own.
    Embedded,
    /// In a database.
    Postgres(Arc<Database>),
    /// Where the test's own variables say.
    Given,
}

impl Store {
    /// An empty store of the kind that the environment asks for.
    pub(crate) fn fresh() -> Store {
        match std::env::var(CHOICE).as_deref() {
            Ok("postgres") => Store::Postgres(Arc::new(Database::fresh())),
            Ok("" | "sqlite") | Err(_) => Store::Embedded,
            Ok(other) => panic!("{CHOICE} is `{other}`: expected sqlite or postgres"),
        }
    }

    /// The variables by which an engine finds it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        match self {
            Store::Embedded | Store::Given => Vec::new(),
            Store::Postgres(database) => vec![
                ("DATABASE_URL".to_owned(), database.url()),
                ("MASTER_KEY".to_owned(), database.master_key()),
            ],
        }
    }

    /// Everything that is kept outside of the engine's folder.
    pub(crate) fn dump(&self) -> Vec<u8> {
        match self {
            Store::Embedded | Store::Given => Vec::new(),
            Store::Postgres(database) => postgres::dump(&database.url()),
        }
    }

    /// Says that the only engine on it was killed: without a word the next one would have to wait until the lease of the
    /// dead one has run out, which the tests of clusters do.
    pub(crate) fn forget_the_dead(&self) {
        if let Store::Postgres(database) = self {
            query(&database.url(), FORGET_SESSIONS);
        }
    }
}

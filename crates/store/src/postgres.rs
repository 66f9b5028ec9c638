//! What every part of the store has to know to reach a `PostgreSQL` server. Decides nothing about what is kept there.

pub(crate) mod pooling;

use std::{fmt, time::Duration};

/// How to reach a server, and how many connections and how much patience to have.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Such as `postgres://user:password@host/database?sslmode=require`.
    pub url: String,
    /// Connections that one part of the store may have open.
    pub pool_size: u32,
    /// How long the server may work on one statement.
    pub statement_timeout: Duration,
    /// How long it may take until there is a connection.
    pub connect_timeout: Duration,
}

impl PostgresOptions {
    /// A server, with a pool and with timeouts that suit a small installation.
    pub fn new(url: impl Into<String>) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            pool_size: 8,
            statement_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// The URL may hold a password: it is never shown.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("pool_size", &self.pool_size)
            .field("statement_timeout", &self.statement_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

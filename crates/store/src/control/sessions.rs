//! Sessions: the processes that work on this control plane, for as long as their hearts beat.
//!
//! Time is the database's: a node whose clock is wrong neither lives longer nor dies earlier. What a node does when it
//! cannot tell whether its session lives is its own to decide.

use std::{fmt, str::FromStr, time::Duration};

use domain::time::Timestamp;
use sqlx::any::AnyRow;
use uuid::{NoContext, Uuid};

use super::{
    Control,
    columns::{big, number, parsed, text, time},
    database::Patient,
    failure::{Failed, Outcome as _},
};
use crate::StoreError;

/// Names one process of a node, from its first heartbeat to its last. Never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Uuid);

/// A session that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSession {
    /// Its id.
    pub id: SessionId,
    /// What the node calls itself.
    pub node: String,
    /// When it began, by the database's clock.
    pub started_at: Timestamp,
    /// When it ends if no heartbeat comes, by the database's clock.
    pub expires_at: Timestamp,
    /// What it owns.
    pub leases: u64,
}

/// What a heartbeat came to. An error is neither: nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The session lives on.
    Renewed,
    /// The session has ended, and what it owned is or will be somebody else's.
    Lost,
}

/// Sessions that are listed at most.
const LISTED_MAX: i64 = 10_000;

const NOW: &str = "
    SELECT now
    FROM   database_clock";

const BEGIN: &str = "
    INSERT INTO node_sessions (id, node, started_at, expires_at)
    SELECT $1, $2, now, now + $3
    FROM   database_clock";

const RENEW: &str = "
    UPDATE node_sessions
    SET    expires_at = (SELECT now FROM database_clock) + $2
    WHERE  id = $1
    AND    expires_at > (SELECT now FROM database_clock)";

const END: &str = "
    DELETE FROM node_sessions
    WHERE  id = $1";

/// An end in order gives everything back by name, so that the next owner knows that it took nothing away.
const GIVE_BACK: &str = "
    UPDATE leases
    SET    session = NULL
    WHERE  session = $1";

const REAP: &str = "
    DELETE FROM node_sessions
    WHERE  expires_at <= (SELECT now FROM database_clock)";

const LIVE: &str = "
    SELECT   node_sessions.id, node_sessions.node, node_sessions.started_at, node_sessions.expires_at,
             COUNT(leases.key) AS leases
    FROM     node_sessions
    LEFT JOIN leases ON leases.session = node_sessions.id
    WHERE    node_sessions.expires_at > (SELECT now FROM database_clock)
    GROUP BY node_sessions.id, node_sessions.node, node_sessions.started_at, node_sessions.expires_at
    ORDER BY node_sessions.started_at, node_sessions.id
    LIMIT    $1";

impl Control {
    /// Begins a session that lives for `ttl`, and longer with each heartbeat.
    pub async fn begin_session(&self, node: &str, ttl: Duration) -> Result<SessionId, StoreError> {
        let begin = async {
            let row = sqlx::query(NOW)
                .fetch_one(&mut self.database.sessions().await?)
                .await
                .or_fail()?;
            let session = SessionId::at(time(&row, "now")?);
            sqlx::query(BEGIN)
                .bind(session.to_string())
                .bind(node)
                .bind(micros(ttl))
                .execute(&mut self.database.sessions().await?)
                .await
                .or_fail()?;
            Ok(session)
        };
        self.database.patiently(begin).await
    }

    /// The heartbeat: the session lives for `ttl` from now on, unless it has ended.
    pub async fn renew_session(
        &self,
        session: SessionId,
        ttl: Duration,
    ) -> Result<Renewal, StoreError> {
        let renew = async {
            let done = sqlx::query(RENEW)
                .bind(session.to_string())
                .bind(micros(ttl))
                .execute(&mut self.database.sessions().await?)
                .await
                .or_fail()?;
            Ok(match done.rows_affected() {
                0 => Renewal::Lost,
                _ => Renewal::Renewed,
            })
        };
        self.database.patiently(renew).await
    }

    /// Ends a session in order: all its leases are free at once, as released ones.
    pub async fn end_session(&self, session: SessionId) -> Result<(), StoreError> {
        self.database.again(|| self.try_to_end(session)).await
    }

    /// The sessions that live, oldest first.
    pub async fn live_sessions(&self) -> Result<Vec<NodeSession>, StoreError> {
        let list = async {
            let rows = sqlx::query(LIVE)
                .bind(LISTED_MAX)
                .fetch_all(&mut self.database.sessions().await?)
                .await
                .or_fail()?;
            rows.iter().map(from_row).collect()
        };
        self.database.patiently(list).await
    }

    /// Ends every session whose heartbeat did not come in time, and answers how many there were: their leases are free.
    /// A claim does it by itself.
    pub async fn reap_sessions(&self) -> Result<u64, StoreError> {
        let reap = || async { self.try_to_reap(self.database.sessions().await?).await };
        self.database.again(reap).await
    }

    /// Reaps on a connection. Two nodes that reap at once may meet the same rows in different orders.
    pub(super) async fn try_to_reap(&self, mut connection: Patient) -> Result<u64, Failed> {
        let done = sqlx::query(REAP)
            .execute(&mut connection)
            .await
            .or_collide()?;
        Ok(done.rows_affected())
    }

    async fn try_to_end(&self, session: SessionId) -> Result<(), Failed> {
        let mut transaction = self.database.begin_for_sessions().await?;
        // The session first: a claim of its own that is on its way ends before, and no other one can begin.
        for statement in [END, GIVE_BACK] {
            sqlx::query(statement)
                .bind(session.to_string())
                .execute(&mut *transaction)
                .await
                .or_collide()?;
        }
        transaction.commit().await.or_collide()
    }
}

impl SessionId {
    /// A fresh id that sorts by the moment when its session began.
    fn at(now: Timestamp) -> SessionId {
        let millis = now.unix_millis();
        let nanos = u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
        SessionId(Uuid::new_v7(uuid::Timestamp::from_unix(
            NoContext,
            millis / 1_000,
            nanos,
        )))
    }
}

/// Lower case, with hyphens.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<SessionId, uuid::Error> {
        Uuid::try_parse(text).map(SessionId)
    }
}

/// A duration as the database counts.
fn micros(duration: Duration) -> i64 {
    big(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).min(MICROS_MAX)
}

/// A century: what is added to a moment must not leave the numbers.
const MICROS_MAX: i64 = 100 * 365 * 86_400 * 1_000_000;

fn from_row(row: &AnyRow) -> Result<NodeSession, StoreError> {
    Ok(NodeSession {
        id: parsed(row, "id")?,
        node: text(row, "node")?,
        started_at: time(row, "started_at")?,
        expires_at: time(row, "expires_at")?,
        leases: number(row, "leases")?,
    })
}

//! Leases: which session owns a tenant, a device or a job, and the fence that tells it from whoever owned it before.
//!
//! A lease is free when it was released, or when its session's row is gone: only a session that has expired is ever
//! removed against its will, and a heartbeat that comes at the same moment either keeps the row or finds none. Sessions are
//! locked before leases everywhere, so that no two transactions wait for each other.

mod key;
mod owners;

use domain::fence::Fence;
use sqlx::AnyConnection;

use self::owners::{OWNER, owner_of};
pub use self::{
    key::{LeaseKey, LeaseKind},
    owners::Owner,
};
use super::{
    Control,
    columns::{big, maybe_parsed, number, text},
    database::Database,
    failure::{Failed, Outcome as _},
    sessions::SessionId,
};
use crate::StoreError;

/// What a claim came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the claimer's.
    Granted {
        /// What its writes carry.
        fence: Fence,
        /// Whose it was.
        from: Before,
    },
    /// It belongs to another session, which lives.
    Held {
        /// Which one.
        by: SessionId,
        /// What that node calls itself.
        node: String,
        /// What its writes carry.
        fence: Fence,
    },
    /// The claimer's own session has ended: it can own nothing.
    SessionGone,
}

/// Whose a lease was before it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nobody's, ever.
    Fresh,
    /// The claimer's already: its fence is the same.
    Mine,
    /// Nobody's, because its last owner gave it back.
    Released,
    /// A session's that went without a word.
    Stolen,
}

/// Whether a session lives. Within a transaction that writes, it lives until that has ended: `SQLite` lets nobody else
/// write meanwhile, and `PostgreSQL` keeps the row, but lets heartbeats through.
const LIVES_SQLITE: &str = "
    SELECT node
    FROM   node_sessions
    WHERE  id = $1
    AND    expires_at > (SELECT now FROM database_clock)";
const LIVES_POSTGRES: &str = "
    SELECT node
    FROM   node_sessions
    WHERE  id = $1
    AND    expires_at > (SELECT now FROM database_clock)
    FOR KEY SHARE";

/// Locks the lease's row, made if need be, and reads it as it is once it is locked.
const LOCK: &str = "
    INSERT INTO leases (kind, key, session, node, fence)
    VALUES ($1, $2, NULL, '', 0)
    ON CONFLICT (kind, key) DO UPDATE
    SET    fence = leases.fence
    RETURNING session, node, fence";

const IS_THERE: &str = "
    SELECT id
    FROM   node_sessions
    WHERE  id = $1";

const GRANT: &str = "
    UPDATE leases
    SET    session = $3,
           node = $4,
           fence = $5
    WHERE  kind = $1
    AND    key = $2";

const RELEASE: &str = "
    UPDATE leases
    SET    session = NULL,
           fence = CASE WHEN fence < $5 THEN $6 ELSE fence END
    WHERE  kind = $1
    AND    key = $2
    AND    session = $3
    AND    fence = $4";

const HAND_OVER: &str = "
    UPDATE leases
    SET    session = $4,
           node = $5,
           fence = fence + 1
    WHERE  kind = $1
    AND    key = $2
    AND    session = $3
    RETURNING fence";

impl Control {
    /// Claims a lease for a session. Of many that claim at once, exactly one gets it; a session that claims what it owns
    /// keeps its fence. The fence grows with every new owner, and never goes back.
    pub async fn claim(&self, session: SessionId, key: &LeaseKey) -> Result<Claim, StoreError> {
        // By itself, so that no session's row stays locked while a lease is waited for.
        let reap = || async { self.try_to_reap(self.database.writer().await?).await };
        self.database.again(reap).await?;
        self.database
            .again(|| self.try_to_claim(session, key))
            .await
    }

    /// Gives a lease back, if it is still this session's under this fence. `false` if it is not.
    pub async fn release(
        &self,
        session: SessionId,
        key: &LeaseKey,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        self.release_above(session, key, fence, fence).await
    }

    /// Like [`Control::release`]; the next owner's fence is higher than `above` too. For whoever was refused by a store that
    /// has seen higher fences than this control plane, which was restored from an older state.
    pub async fn release_above(
        &self,
        session: SessionId,
        key: &LeaseKey,
        fence: Fence,
        above: Fence,
    ) -> Result<bool, StoreError> {
        let release = async {
            let done = sqlx::query(RELEASE)
                .bind(key.kind().name())
                .bind(key.text())
                .bind(session.to_string())
                .bind(big(fence.get()))
                .bind(big(above.get()))
                .bind(big(above.get()))
                .execute(&mut self.database.writer().await?)
                .await
                .or_fail()?;
            Ok(done.rows_affected() > 0)
        };
        self.database.patiently(release).await
    }

    /// Makes another session, which lives, the owner of what this one owns, and answers its fence. `None` if it is not
    /// this session's, or the other one has ended.
    pub async fn hand_over(
        &self,
        session: SessionId,
        key: &LeaseKey,
        to: SessionId,
    ) -> Result<Option<Fence>, StoreError> {
        self.database
            .again(|| self.try_to_hand_over(session, key, to))
            .await
    }

    async fn try_to_claim(&self, session: SessionId, key: &LeaseKey) -> Result<Claim, Failed> {
        let mut transaction = self.database.begin().await?;
        let lives = lives(&self.database);
        let Some(node) = node_of(&mut transaction, lives, session).await? else {
            transaction.rollback().await.or_collide()?;
            return Ok(Claim::SessionGone);
        };
        // Most that is not free is found out without writing anything.
        let owner = sqlx::query(OWNER)
            .bind(key.kind().name())
            .bind(key.text())
            .fetch_optional(&mut *transaction)
            .await
            .or_collide()?;
        if let Some(owner) = owner.map(|row| owner_of(&row)).transpose()?
            && owner.session != session
        {
            transaction.rollback().await.or_collide()?;
            return Ok(owner.into_held());
        }
        let row = sqlx::query(LOCK)
            .bind(key.kind().name())
            .bind(key.text())
            .fetch_one(&mut *transaction)
            .await
            .or_collide()?;
        let fence = Fence::new(number(&row, "fence")?);
        let from = match maybe_parsed::<SessionId>(&row, "session")? {
            Some(holder) if holder == session => {
                transaction.commit().await.or_collide()?;
                let from = Before::Mine;
                return Ok(Claim::Granted { fence, from });
            }
            Some(holder) if is_there(&mut transaction, holder).await? => {
                transaction.rollback().await.or_collide()?;
                return Ok(owner_of(&row)?.into_held());
            }
            Some(_gone) => Before::Stolen,
            None if fence == Fence::new(0) => Before::Fresh,
            None => Before::Released,
        };
        let fence = fence.next();
        sqlx::query(GRANT)
            .bind(key.kind().name())
            .bind(key.text())
            .bind(session.to_string())
            .bind(node)
            .bind(big(fence.get()))
            .execute(&mut *transaction)
            .await
            .or_collide()?;
        transaction.commit().await.or_collide()?;
        Ok(Claim::Granted { fence, from })
    }

    async fn try_to_hand_over(
        &self,
        session: SessionId,
        key: &LeaseKey,
        to: SessionId,
    ) -> Result<Option<Fence>, Failed> {
        let mut transaction = self.database.begin().await?;
        let lives = lives(&self.database);
        let Some(node) = node_of(&mut transaction, lives, to).await? else {
            transaction.rollback().await.or_collide()?;
            return Ok(None);
        };
        let row = sqlx::query(HAND_OVER)
            .bind(key.kind().name())
            .bind(key.text())
            .bind(session.to_string())
            .bind(to.to_string())
            .bind(node)
            .fetch_optional(&mut *transaction)
            .await
            .or_collide()?;
        transaction.commit().await.or_collide()?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Fence::new(number(&row, "fence")?)))
    }
}

/// The statement that says whether a session lives, and keeps it alive for the rest of the transaction.
pub(super) fn lives(database: &Database) -> &'static str {
    database.choose(LIVES_SQLITE, LIVES_POSTGRES)
}

/// What a session's node calls itself, if `sql` says that the session lives.
pub(super) async fn node_of(
    on: &mut AnyConnection,
    sql: &'static str,
    session: SessionId,
) -> Result<Option<String>, Failed> {
    let row = sqlx::query(sql)
        .bind(session.to_string())
        .fetch_optional(on)
        .await
        .or_collide()?;
    Ok(row.map(|row| text(&row, "node")).transpose()?)
}

/// Whether a session has not been removed. Asked after the lease was locked, because only then does the answer include
/// every session that could have owned it before.
async fn is_there(on: &mut AnyConnection, session: SessionId) -> Result<bool, Failed> {
    let row = sqlx::query(IS_THERE)
        .bind(session.to_string())
        .fetch_optional(on)
        .await
        .or_collide()?;
    Ok(row.is_some())
}

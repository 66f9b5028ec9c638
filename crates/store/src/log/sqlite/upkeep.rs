//! What operators need of a region: sweeping, a probe, counts.
//!
//! Decides no schedule; every call does a bounded amount of work.

use std::time::Duration;

use domain::time::Timestamp;
use sqlx::{Arguments as _, sqlite::SqliteArguments};
use tokio::time::Instant;

use super::{
    SqliteLog,
    failure::store_error,
    reader::{Extent, Reader},
};
use crate::{
    StoreError,
    log::{Counts, stored::unsigned},
};

/// Rows of a table that one sweep looks at, from the oldest on.
const SWEEP_ROWS: i64 = 2_000;

impl SqliteLog {
    /// Deletes what is out of date. Rows lie in the order in which they were written, which is that of their age.
    pub(super) async fn sweep_rows(
        &self,
        now: Timestamp,
        attempts_before: Timestamp,
    ) -> Result<u64, StoreError> {
        const ANSWERS: &str = "
            DELETE FROM idempotent_answers
            WHERE  no IN (SELECT no FROM idempotent_answers ORDER BY no LIMIT ?2)
                   AND expires_at < ?1";
        const ATTEMPTS: &str = "
            DELETE FROM attempts
            WHERE  no IN (SELECT no FROM attempts ORDER BY no LIMIT ?2)
                   AND at < ?1";

        let mut gone = 0;
        for (sql, before) in [(ANSWERS, now), (ATTEMPTS, attempts_before)] {
            let arguments = numbers(&[before.micros(), SWEEP_ROWS]);
            gone += self.writer.lock().await.execute(sql, arguments).await?;
        }
        Ok(gone)
    }

    /// Writes a row to disk, reads it back, and says how long both took.
    pub(super) async fn probe_disk(&self) -> Result<Duration, StoreError> {
        const WRITE: &str = "
            INSERT INTO probe (no, value)
            VALUES (1, ?1)
            ON CONFLICT (no) DO UPDATE SET value = value + excluded.value";
        const READ: &str = "SELECT value FROM probe WHERE no = 1";

        let begun = Instant::now();
        let mut writer = self.writer.lock().await;
        if writer.is_resting() {
            // A region that nobody uses needs no connection to say that its file is there and may be written.
            drop(writer);
            self.files.touch().await?;
            return Ok(begun.elapsed());
        }
        writer.execute(WRITE, numbers(&[1])).await?;
        drop(writer);
        let written: Option<i64> = sqlx::query_scalar(READ)
            .fetch_optional(&self.reader.pool)
            .await
            .map_err(store_error)?;
        match written {
            Some(_) => Ok(begun.elapsed()),
            None => Err(StoreError::Corrupt(
                "the probe's row was written and is not there".to_owned(),
            )),
        }
    }
}

impl Reader {
    /// Counts for operators.
    pub(super) async fn counts(&self, events_since: Timestamp) -> Result<Counts, StoreError> {
        const EXCEPTIONS: &str = "
            SELECT (SELECT count(*) FROM exceptions INDEXED BY exceptions_retrying WHERE state = 1),
                   (SELECT count(*) FROM exceptions INDEXED BY exceptions_dead     WHERE state = 3)";
        const ACTIVE: &str = "
            SELECT oldest, newest
            FROM   (SELECT (SELECT   e.place
                            FROM     events AS e
                            WHERE    e.place BETWEEN t.no << 40 AND (t.no << 40) | 1099511627775
                            ORDER BY e.place
                            LIMIT    1) AS oldest,
                           (SELECT   e.place
                            FROM     events AS e
                            WHERE    e.place BETWEEN t.no << 40 AND (t.no << 40) | 1099511627775
                            ORDER BY e.place DESC
                            LIMIT    1) AS newest
                    FROM   tenants AS t)
            WHERE  (SELECT received_at FROM events WHERE place = newest) >= ?1
            LIMIT  ?2";

        let (retrying, dead): (i64, i64) = sqlx::query_as(EXCEPTIONS)
            .fetch_one(&self.pool)
            .await
            .map_err(store_error)?;
        let active: Vec<(i64, i64)> = sqlx::query_as(ACTIVE)
            .bind(events_since.micros())
            .bind(i64::MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(store_error)?;
        let mut events = 0;
        for (oldest, newest) in active {
            let extent = Extent { oldest, newest };
            events += newest - self.place_before(extent, events_since).await?;
        }
        Ok(Counts {
            retrying: unsigned(retrying)?,
            dead: unsigned(dead)?,
            events: unsigned(events)?,
        })
    }
}

/// Numbers as the arguments of a statement.
pub(super) fn numbers(numbers: &[i64]) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for number in numbers {
        arguments
            .add(*number)
            .expect("numbers always have an encoding");
    }
    arguments
}

//! What operators need of a region: sweeping, a probe, counts.
//!
//! Decides no schedule; every call does a bounded amount of work.

use std::time::Duration;

use domain::time::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{
    PostgresLog,
    partitions::Month,
    reader::{Reader, column},
    schema,
};
use crate::{
    StoreError,
    log::{Counts, stored::unsigned},
};

/// Rows of a table that one sweep deletes, from the oldest on.
const SWEEP_ROWS: i64 = 2_000;

impl PostgresLog {
    /// Deletes what is out of date, and makes the partitions of the months to come.
    pub(super) async fn sweep_rows(
        &self,
        now: Timestamp,
        attempts_before: Timestamp,
    ) -> Result<u64, StoreError> {
        const ANSWERS: &str = "
            DELETE FROM idempotent_answers AS a
            USING  (SELECT   tenant_no, key_hash
                    FROM     idempotent_answers
                    WHERE    expires_at < $1
                    ORDER BY expires_at
                    LIMIT    $2
                    FOR UPDATE SKIP LOCKED) AS old
            WHERE  a.tenant_no = old.tenant_no AND a.key_hash = old.key_hash";
        const ATTEMPTS: &str = "
            DELETE FROM attempts AS a
            USING  (SELECT   tenant_no, webhook_no, position, attempt
                    FROM     attempts
                    WHERE    at < $1
                    ORDER BY at
                    LIMIT    $2
                    FOR UPDATE SKIP LOCKED) AS old
            WHERE  a.tenant_no = old.tenant_no AND a.webhook_no = old.webhook_no
                   AND a.position = old.position AND a.attempt = old.attempt";

        let mut gone = 0;
        for (sql, before) in [(ANSWERS, now), (ATTEMPTS, attempts_before)] {
            let before = before.micros();
            gone += self.writer.execute(sql, &[&before, &SWEEP_ROWS]).await?;
        }
        let month = Month::of(now.to_chrono());
        if *self.made_for.lock() != Some(month) {
            match schema::make_partitions(&self.server, month).await {
                Ok(()) => *self.made_for.lock() = Some(month),
                // The last partition takes what comes, and the next sweep tries again.
                Err(error) => {
                    let schema = &self.server.schema;
                    warn!(%schema, %error, "no partitions were made ahead in {schema}: {error}");
                }
            }
        }
        Ok(gone)
    }

    /// Writes a row, reads it back, and says how long both took.
    pub(super) async fn probe_server(&self) -> Result<Duration, StoreError> {
        const WRITE: &str = "
            INSERT INTO probe AS p (no, value)
            VALUES (1, 1)
            ON CONFLICT (no) DO UPDATE SET value = p.value + 1";
        const READ: &str = "SELECT value FROM probe WHERE no = 1";

        let begun = Instant::now();
        self.writer.execute(WRITE, &[]).await?;
        match self.reader.row(READ, &[]).await? {
            Some(_) => Ok(begun.elapsed()),
            None => Err(StoreError::Corrupt(
                "the probe's row was written and is not there".to_owned(),
            )),
        }
    }
}

impl Reader {
    /// Counts for operators. Of each tenant that wrote lately, the place where that began is searched for.
    pub(super) async fn counts(&self, events_since: Timestamp) -> Result<Counts, StoreError> {
        const COUNT: &str = "
            SELECT (SELECT count(*) FROM exceptions WHERE state = 1),
                   (SELECT count(*) FROM exceptions WHERE state = 3),
                   (SELECT coalesce(sum(newest - low), 0)::BIGINT
                    FROM   tenants AS t
                    CROSS JOIN LATERAL (SELECT t.no << 40 AS zero, (t.no << 40) + t.head AS newest)
                           AS places
                    CROSS JOIN LATERAL (SELECT   e.place AS oldest
                                        FROM     events AS e
                                        WHERE    e.place > zero AND e.place <= newest
                                        ORDER BY e.place
                                        LIMIT    1) AS first
                    CROSS JOIN LATERAL (
                        WITH RECURSIVE search (low, high) AS (
                            SELECT oldest - 1, newest + 1
                            UNION ALL
                            SELECT CASE WHEN is_before THEN middle ELSE low END,
                                   CASE WHEN is_before THEN high ELSE middle END
                            FROM   search
                            CROSS JOIN LATERAL (SELECT low + (high - low) / 2 AS middle) AS m
                            CROSS JOIN LATERAL (SELECT (SELECT e.received_at
                                                        FROM   events AS e
                                                        WHERE  e.place = middle
                                                        LIMIT  1) < $1 AS is_before) AS b
                            WHERE  high - low > 1)
                        SELECT low FROM search WHERE high - low <= 1 LIMIT 1) AS found
                    WHERE  t.head > 0 AND t.last_at >= $1)";

        let row = self.row(COUNT, &[&events_since.micros()]).await?;
        let Some(row) = row else {
            return Ok(Counts::default());
        };
        Ok(Counts {
            retrying: unsigned(column(&row, 0)?)?,
            dead: unsigned(column(&row, 1)?)?,
            events: unsigned(column(&row, 2)?)?,
        })
    }
}

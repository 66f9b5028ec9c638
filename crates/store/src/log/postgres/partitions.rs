//! Makes the partitions of `events`: one a month, the present one and those to come.
//!
//! Drops none: that is retention's, in [`super::months`]. Rows that came before their month was made, because a clock jumped, are moved over from the last partition.

use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};
use domain::time::Timestamp;
use tokio_postgres::Client;

use crate::StoreError;

use super::failure::store_error;

/// Months that are made ahead of the present one.
const AHEAD: u32 = 2;
/// Months for which partitions are made after the fact.
const BACK_MAX: u32 = 120;

/// One month of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    first_day: NaiveDate,
}

impl Month {
    /// The month of a moment.
    pub(super) fn of(time: DateTime<Utc>) -> Month {
        let day = time.date_naive();
        Month {
            first_day: day.with_day(1).unwrap_or(day),
        }
    }

    /// So many months later.
    pub(super) fn plus(self, months: u32) -> Month {
        let first_day = self.first_day.checked_add_months(Months::new(months));
        Month {
            first_day: first_day.unwrap_or(self.first_day),
        }
    }

    /// The month itself and those that are made ahead.
    pub(super) fn and_ahead(self) -> impl Iterator<Item = Month> {
        (0..=AHEAD).map(move |months| self.plus(months))
    }

    /// Months from which on to make ahead, so that every month between two moments is made. What is further back
    /// than [`BACK_MAX`] months belongs to a clock that jumped, and stays in the last partition.
    pub(super) fn between(
        oldest: DateTime<Utc>,
        newest: DateTime<Utc>,
    ) -> impl Iterator<Item = Month> {
        let last = Month::of(newest);
        let bound = last.first_day.checked_sub_months(Months::new(BACK_MAX));
        let first_day = Month::of(oldest).first_day;
        let first = Month {
            first_day: bound.map_or(first_day, |bound| first_day.max(bound)),
        };
        (0..)
            .step_by(AHEAD as usize + 1)
            .map(move |months| first.plus(months))
            .take_while(move |month| month.first_day <= last.first_day)
    }

    /// Its partition.
    pub(super) fn table(self) -> String {
        self.first_day.format("events_%Y_%m").to_string()
    }

    /// The month whose partition has this name.
    pub(super) fn named(table: &str) -> Option<Month> {
        let text = table.strip_prefix("events_")?;
        let first_day = NaiveDate::parse_from_str(&format!("{text}_01"), "%Y_%m_%d").ok()?;
        let month = Month { first_day };
        (month.table() == table).then_some(month)
    }

    /// When it begins, and when the next one does.
    pub(super) fn bounds(self) -> (Timestamp, Timestamp) {
        let next = self.plus(1);
        (
            Timestamp::from_micros(self.begins_at()),
            Timestamp::from_micros(next.begins_at()),
        )
    }

    /// When it begins, as events count time.
    fn begins_at(self) -> i64 {
        let midnight = self.first_day.and_time(chrono::NaiveTime::MIN);
        midnight.and_utc().timestamp_micros()
    }
}

/// Makes the partitions of a month and of those to come, if they are not there. Nobody else may be doing so.
pub(super) async fn make_ahead(
    client: &Client,
    schema: &str,
    now: Month,
) -> Result<(), StoreError> {
    const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL";

    for month in now.and_ahead() {
        let name = format!("{schema}.{}", month.table());
        let found = client.query_one(IS_THERE, &[&name]).await;
        let is_there: bool = found.and_then(|row| row.try_get(0)).map_err(store_error)?;
        if !is_there {
            if let Err(error) = client.batch_execute(&make(month)).await {
                client
                    .batch_execute("ROLLBACK")
                    .await
                    .map_err(store_error)?;
                return Err(store_error(error));
            }
            tracing::info!(partition = %name, "made the partition {name} for events");
        }
    }
    Ok(())
}

/// The statements that make one month. Attaching takes a lock that waits for running statements, so it does not wait long.
fn make(month: Month) -> String {
    let table = month.table();
    let (from, to) = (month.begins_at(), month.plus(1).begins_at());
    format!(
        "BEGIN;
         SET LOCAL lock_timeout = '3s';
         CREATE TABLE {table} (LIKE events INCLUDING DEFAULTS INCLUDING STORAGE);
         WITH moved AS (
             DELETE FROM events_other
             WHERE  received_at >= {from} AND received_at < {to}
             RETURNING *)
         INSERT INTO {table} SELECT * FROM moved;
         ALTER TABLE events ATTACH PARTITION {table} FOR VALUES FROM ({from}) TO ({to});
         COMMIT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_over_the_end_of_a_year() {
        let month = Month::of("2026-11-30T23:59:59Z".parse().unwrap());
        let tables: Vec<String> = month.and_ahead().map(Month::table).collect();
        assert_eq!(
            tables,
            ["events_2026_11", "events_2026_12", "events_2027_01"]
        );
        assert_eq!(month.begins_at(), 1_793_491_200_000_000);
    }

    #[test]
    fn a_month_is_known_again_by_its_partition_and_nothing_else_is_one() {
        let month = Month::of("2026-11-30T23:59:59Z".parse().unwrap());
        assert_eq!(Month::named(&month.table()), Some(month));
        for other in [
            "events_other",
            "events_2026_13",
            "events_2026_1",
            "events",
            "streams",
        ] {
            assert_eq!(Month::named(other), None, "{other}");
        }
    }

    #[test]
    fn every_month_between_two_moments_is_made_but_none_of_a_clock_that_jumped() {
        let made = |oldest: &str| -> Vec<String> {
            let newest = "2026-11-21T00:00:00Z".parse().unwrap();
            let months = Month::between(oldest.parse().unwrap(), newest);
            months
                .flat_map(Month::and_ahead)
                .map(Month::table)
                .collect()
        };
        assert_eq!(made("2026-11-01T00:00:00Z").len(), 3);
        let year = made("2026-02-28T00:00:00Z");
        assert_eq!((&*year[0], year.len()), ("events_2026_02", 12));
        assert!(year.contains(&"events_2026_11".to_owned()));
        assert_eq!(made("1970-01-01T00:00:00Z")[0], "events_2016_11");
    }
}

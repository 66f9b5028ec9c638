//! Counts what a key, a tenant or a webhook has used of its rate.
//!
//! A token bucket in whole numbers: a bucket holds `count` tokens and fills up evenly within `per`. So a window of that
//! length never sees more than twice `count` (a full bucket and what flows in meanwhile), and no rounding ever gives a
//! token too many. Does not know whose bucket it is.

use std::time::Duration;

use crate::time::Timestamp;

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many; also how many at once.
    pub count: u32,
    /// In how much time.
    pub per: Duration,
}

/// What has been used of one limit.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// What was used and has not flowed back, in tokens times microseconds of the period: a microsecond gives back
    /// exactly `count` of these, whatever the limit is.
    spent: u128,
    /// When `spent` was true.
    at: Timestamp,
    limit: Limit,
}

/// What is left of a limit, for the `RateLimit` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many there are at most.
    pub limit: u32,
    /// How many are left now.
    pub remaining: u32,
    /// When the bucket is full again if nothing more is taken.
    pub reset: Duration,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too little is left at this moment.
    #[error("the rate is used up for {} ms", retry_after.as_millis())]
    ForNow {
        /// When there will be enough, if nothing else is taken meanwhile.
        retry_after: Duration,
        /// What is left.
        standing: Standing,
    },
    /// More was asked for at once than the limit ever allows: waiting does not help.
    #[error("more at once than the limit of {}", standing.limit)]
    Ever {
        /// What is left.
        standing: Standing,
    },
}

impl Limit {
    /// So many a second.
    pub const fn per_second(count: u32) -> Limit {
        Limit {
            count,
            per: Duration::from_secs(1),
        }
    }

    /// So many a minute.
    pub const fn per_minute(count: u32) -> Limit {
        Limit {
            count,
            per: Duration::from_mins(1),
        }
    }

    /// So many an hour.
    pub const fn per_hour(count: u32) -> Limit {
        Limit {
            count,
            per: Duration::from_hours(1),
        }
    }

    /// The period in microseconds; a period shorter than one counts as one.
    fn per_micros(self) -> u128 {
        self.per.as_micros().max(1)
    }

    /// A full bucket, in the units of [`Bucket::spent`].
    fn capacity(self) -> u128 {
        u128::from(self.count) * self.per_micros()
    }
}

impl Bucket {
    /// A full bucket.
    pub const fn full(limit: Limit) -> Bucket {
        Bucket {
            spent: 0,
            at: Timestamp::from_micros(0),
            limit,
        }
    }

    /// Takes `n` tokens, or none if there are not so many.
    ///
    /// `limit` may differ from call to call (a plan was changed): what was used stays used. A clock that goes back gives
    /// nothing back.
    pub fn take(&mut self, n: u32, now: Timestamp, limit: Limit) -> Result<Standing, Refused> {
        self.flow(now, limit);
        if n > limit.count {
            return Err(Refused::Ever {
                standing: self.standing(),
            });
        }
        let spent = self.spent + u128::from(n) * limit.per_micros();
        match spent.checked_sub(limit.capacity()) {
            None | Some(0) => {
                self.spent = spent;
                Ok(self.standing())
            }
            Some(missing) => Err(Refused::ForNow {
                retry_after: self.time_for(missing),
                standing: self.standing(),
            }),
        }
    }

    /// What is left, without taking anything.
    pub fn peek(&mut self, now: Timestamp, limit: Limit) -> Standing {
        self.flow(now, limit);
        self.standing()
    }

    /// Says whether nothing is used, so that the bucket can be forgotten.
    pub fn is_full(&mut self, now: Timestamp) -> bool {
        self.flow(now, self.limit);
        self.spent == 0
    }

    fn flow(&mut self, now: Timestamp, limit: Limit) {
        let elapsed = now.since(self.at).as_micros();
        let returned = elapsed.saturating_mul(u128::from(self.limit.count));
        self.spent = self.spent.saturating_sub(returned);
        self.at = self.at.max(now);
        if limit != self.limit {
            let tokens_kept =
                self.spent.saturating_mul(limit.per_micros()) / self.limit.per_micros();
            self.spent = tokens_kept.min(limit.capacity());
            self.limit = limit;
        }
    }

    fn standing(&self) -> Standing {
        let left = self.limit.capacity().saturating_sub(self.spent) / self.limit.per_micros();
        Standing {
            limit: self.limit.count,
            remaining: u32::try_from(left).unwrap_or(self.limit.count),
            reset: self.time_for(self.spent),
        }
    }

    /// How long it takes until so much has flowed back, rounded up.
    fn time_for(&self, amount: u128) -> Duration {
        let micros = amount.div_ceil(u128::from(self.limit.count.max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_full_bucket_gives_its_count_at_once() {
        let limit = Limit::per_second(3);
        let mut bucket = Bucket::full(limit);
        for remaining in [2, 1, 0] {
            assert_eq!(bucket.take(1, at(0), limit).unwrap().remaining, remaining);
        }
        let refused = bucket.take(1, at(0), limit).unwrap_err();
        let standing = Standing {
            limit: 3,
            remaining: 0,
            reset: Duration::from_secs(1),
        };
        let retry_after = Duration::from_micros(333_334);
        assert_eq!(
            refused,
            Refused::ForNow {
                retry_after,
                standing
            }
        );
    }

    #[test]
    fn what_was_refused_is_given_after_the_time_that_was_said() {
        let limit = Limit::per_minute(7);
        let mut bucket = Bucket::full(limit);
        bucket.take(7, at(0), limit).unwrap();
        let Err(Refused::ForNow { retry_after, .. }) = bucket.take(3, at(10), limit) else {
            panic!("seven were taken");
        };
        let almost = at(10).plus(retry_after.checked_sub(Duration::from_micros(1)).unwrap());
        assert!(bucket.take(3, almost, limit).is_err());
        assert!(bucket.take(3, at(10).plus(retry_after), limit).is_ok());
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let limit = Limit::per_second(10);
        let mut bucket = Bucket::full(limit);
        bucket.take(6, at(0), limit).unwrap();
        assert!(bucket.take(5, at(0), limit).is_err());
        assert_eq!(bucket.take(4, at(0), limit).unwrap().remaining, 0);
    }

    #[test]
    fn more_than_the_bucket_holds_is_refused_for_ever() {
        let limit = Limit::per_second(10);
        let refused = Bucket::full(limit).take(11, at(0), limit);
        assert!(matches!(refused, Err(Refused::Ever { .. })));
        let none = Limit::per_second(0);
        assert!(matches!(
            Bucket::full(none).take(1, at(0), none),
            Err(Refused::Ever { .. })
        ));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_back() {
        let limit = Limit::per_second(1);
        let mut bucket = Bucket::full(limit);
        bucket.take(1, at(10_000), limit).unwrap();
        assert!(bucket.take(1, at(0), limit).is_err());
        assert!(bucket.take(1, at(10_500), limit).is_err());
        assert!(bucket.take(1, at(11_000), limit).is_ok());
    }

    #[test]
    fn what_was_used_stays_used_when_the_limit_changes() {
        let (small, large) = (Limit::per_second(10), Limit::per_minute(100));
        let mut bucket = Bucket::full(small);
        bucket.take(10, at(0), small).unwrap();
        assert_eq!(bucket.peek(at(0), large).remaining, 90);
        assert_eq!(bucket.peek(at(0), small).remaining, 0);
        assert!(bucket.is_full(at(1_000)));
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_bucket_and_what_flows_in(
            count in 1_u32..50,
            per_micros in 1_u64..10_000,
            steps in proptest::collection::vec((1_u32..60, 0_u64..3_000), 1..80),
        ) {
            let limit = Limit { count, per: Duration::from_micros(per_micros) };
            let mut bucket = Bucket::full(limit);
            let mut now = 1_000_000_u64;
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (n, wait) in steps {
                now += wait;
                let time = Timestamp::from_micros(i64::try_from(now).unwrap());
                if bucket.take(n, time, limit).is_ok() {
                    taken.push((now, n.into()));
                }
            }
            for (first, (start, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (end, n) in &taken[first..] {
                    sum += n;
                    let flowed = (end - start) * u64::from(count) / per_micros;
                    prop_assert!(sum <= u64::from(count) + flowed);
                }
            }
        }

        #[test]
        fn an_honest_client_that_waits_is_always_served(
            count in 1_u32..50,
            per_micros in 1_u64..10_000,
            asked in proptest::collection::vec(1_u32..50, 1..40),
        ) {
            let limit = Limit { count, per: Duration::from_micros(per_micros) };
            let mut bucket = Bucket::full(limit);
            let mut now = at(1);
            for n in asked {
                if let Err(Refused::ForNow { retry_after, .. }) = bucket.take(n, now, limit) {
                    prop_assert!(retry_after > Duration::ZERO);
                    prop_assert!(retry_after <= limit.per);
                    now = now.plus(retry_after);
                    prop_assert!(bucket.take(n, now, limit).is_ok());
                }
            }
        }
    }
}

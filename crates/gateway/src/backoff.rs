//! How long to wait before the next attempt to connect.
//!
//! Pure: chance comes in as an argument. Waits grow to a limit and are spread, so that thousands of gateways do not come
//! back in the same moment.

use std::time::Duration;

/// The waits of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    least: Duration,
    most: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(least: Duration, most: Duration) -> Backoff {
        Backoff {
            least,
            most,
            attempts: 0,
        }
    }

    /// The next wait: between half and all of a time that doubles. `chance` is 0 to 1.
    pub(crate) fn next(&mut self, chance: f64) -> Duration {
        let doubled = self.least.saturating_mul(1 << self.attempts.min(20));
        self.attempts = self.attempts.saturating_add(1);
        let whole = doubled.min(self.most);
        whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// A session has lasted: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// A short wait that is spread all the same, for an engine that asked to come back.
    pub(crate) fn soon(&self, chance: f64) -> Duration {
        self.least.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        let waits: Vec<u128> = (0..10).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(
            waits,
            [
                250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert_eq!(backoff.next(0.0), Duration::from_secs(15));
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(250));
    }
}

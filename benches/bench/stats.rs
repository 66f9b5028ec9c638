//! Medians and quantiles.
//!
//! Keeps every measured value: a bench run is bounded, and an exact p99 is worth the memory.

use std::time::Duration;

/// Measured times in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one time.
    pub(crate) fn add(&mut self, time: Duration) {
        self.add_micros(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds one time in microseconds.
    pub(crate) fn add_micros(&mut self, micros: u32) {
        self.0.push(micros);
    }

    /// Takes in all of `other`.
    pub(crate) fn merge(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The time below which `permille` of a thousand stay; `None` without any.
    pub(crate) fn quantile(&mut self, permille: usize) -> Option<u32> {
        let last = self.0.len().checked_sub(1)?;
        let (_, value, _) = self.0.select_nth_unstable(last * permille / 1_000);
        Some(*value)
    }
}

/// The middle value; the mean of the two middle ones of an even number; 0 without any.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

/// How many a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench run stay far below 2^53"
)]
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let mut latencies = Latencies::default();
        (1..=100)
            .rev()
            .for_each(|micros| latencies.add_micros(micros));
        assert_eq!(latencies.quantile(500), Some(50));
        assert_eq!(latencies.quantile(990), Some(99));
        assert_eq!(Latencies::default().quantile(500), None);
    }
}

//! Small statistics over measured durations.

use std::time::Duration;

/// The value below which `share` (0.0 to 1.0) of the values lie.
pub(crate) fn percentile(values: &[Duration], share: f64) -> Duration {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list that is in memory"
    )]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}

/// The middle value.
pub(crate) fn median(values: &[Duration]) -> Duration {
    percentile(values, 0.5)
}

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

/// Two ways of running that are measured in turns, until their medians are clear.
///
/// A machine that does something else for a second spoils one round, not the comparison: the medians over the rounds are
/// compared. Only if they are still too far apart after [`Turns::ROUNDS_MAX`] rounds is the difference taken for real.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    calm: Vec<Duration>,
    troubled: Vec<Duration>,
}

impl Turns {
    /// No verdict before so many rounds.
    const ROUNDS_MIN: usize = 5;
    /// A verdict after so many.
    const ROUNDS_MAX: usize = 15;
    /// What trouble elsewhere may cost: a tenth, as the issue says, …
    const TENTHS_MAX: u32 = 11;
    /// … and what the scheduler of a busy machine does by itself.
    const FLOOR: Duration = Duration::from_millis(2);

    /// Adds one round; answers whether the comparison is over. Panics if it ends badly.
    pub(crate) fn round(&mut self, calm: Duration, troubled: Duration) -> bool {
        self.calm.push(calm);
        self.troubled.push(troubled);
        let (calm, troubled) = (median(&self.calm), median(&self.troubled));
        let is_good = troubled <= calm * Turns::TENTHS_MAX / 10 + Turns::FLOOR;
        let rounds = self.calm.len();
        eprintln!("round {rounds}: calm {calm:?}, troubled {troubled:?}");
        assert!(
            is_good || rounds < Turns::ROUNDS_MAX,
            "trouble elsewhere moves {calm:?} to {troubled:?}: {:?} to {:?}",
            self.calm,
            self.troubled
        );
        is_good && rounds >= Turns::ROUNDS_MIN
    }
}

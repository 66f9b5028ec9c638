//! Engine and ceiling taking turns, so that what else the machine does hits both.

use serde::Serialize;

use crate::{
    load::Sample,
    stats::{Latencies, median},
};

/// One side's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Side {
    /// One figure for each round.
    pub(crate) rounds: Vec<f64>,
    /// Middle time of a request over all rounds, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<u32>,
    /// Time below which 99 % of the requests stay, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<u32>,
}

/// Both sides' figures, round by round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rounds {
    /// The engine.
    pub(crate) engine: Side,
    /// The ceiling.
    pub(crate) ceiling: Side,
}

/// What one round of one side came to.
#[derive(Debug)]
pub(crate) struct Round {
    /// The figure.
    pub(crate) figure: f64,
    /// Times of requests, where they are taken.
    pub(crate) latencies: Latencies,
}

impl Side {
    /// A side without times.
    pub(crate) fn of(rounds: Vec<f64>) -> Side {
        Side {
            rounds,
            p50_us: None,
            p99_us: None,
        }
    }

    /// The middle time and the 99th percentile, if times were taken.
    pub(crate) fn quantiles(&self) -> Option<(u32, u32)> {
        self.p50_us.zip(self.p99_us)
    }
}

impl Rounds {
    /// Median over the rounds of engine divided by ceiling.
    pub(crate) fn ratio(&self) -> f64 {
        let pairs = self.engine.rounds.iter().zip(&self.ceiling.rounds);
        let ratios: Vec<f64> = pairs.map(|(engine, ceiling)| engine / ceiling).collect();
        median(&ratios)
    }
}

impl From<Sample> for Round {
    fn from(sample: Sample) -> Round {
        Round {
            figure: sample.rate(),
            latencies: sample.latencies,
        }
    }
}

impl From<f64> for Round {
    fn from(figure: f64) -> Round {
        Round {
            figure,
            latencies: Latencies::default(),
        }
    }
}

/// Runs both sides `rounds` times in turns; who begins changes with every round.
pub(crate) async fn alternate(
    rounds: usize,
    mut engine: impl AsyncFnMut() -> anyhow::Result<Round>,
    mut ceiling: impl AsyncFnMut() -> anyhow::Result<Round>,
) -> anyhow::Result<Rounds> {
    let mut engine_rounds = Vec::with_capacity(rounds);
    let mut ceiling_rounds = Vec::with_capacity(rounds);
    for round in 0..rounds {
        if round % 2 == 0 {
            engine_rounds.push(engine().await?);
            ceiling_rounds.push(ceiling().await?);
        } else {
            ceiling_rounds.push(ceiling().await?);
            engine_rounds.push(engine().await?);
        }
    }
    Ok(Rounds {
        engine: summarise(engine_rounds),
        ceiling: summarise(ceiling_rounds),
    })
}

/// One side out of its rounds.
pub(crate) fn summarise(rounds: Vec<Round>) -> Side {
    let mut all = Latencies::default();
    let mut figures = Vec::with_capacity(rounds.len());
    for round in rounds {
        figures.push(round.figure);
        all.merge(round.latencies);
    }
    Side {
        rounds: figures,
        p50_us: all.quantile(500),
        p99_us: all.quantile(990),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_ratios() {
        let rounds = Rounds {
            engine: Side::of(vec![50.0, 10.0, 60.0]),
            ceiling: Side::of(vec![100.0, 20.0, 100.0]),
        };
        assert!((rounds.ratio() - 0.5).abs() < f64::EPSILON);
    }
}

//! How long a run of the model takes.

use std::time::{Duration, Instant};

use artifacts::SplitData;
use serde::{Deserialize, Serialize};

use super::batches::Batches;
use super::model::Model;
use crate::error::Error;

/// Runs that are not measured: the first ones allocate and fill caches.
const WARM_UP: usize = 10;
/// Different batches that take turns.
const BATCHES: usize = 4;
/// Runs that are measured at most: enough for ten above the 99th percentile.
const MOST_RUNS: usize = 1000;
/// Runs that are measured at least, however long they take.
const LEAST_RUNS: usize = 20;
/// No run is begun after this time, but for the least.
const BUDGET: Duration = Duration::from_secs(2);

/// Times of runs of the model, one after the other, images and results in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many images a run had.
    pub images: usize,
    /// How many runs were measured.
    pub runs: usize,
    /// The time that half of the runs kept within.
    pub median_seconds: f64,
    /// The time that 99 % of the runs kept within.
    pub percentile_99_seconds: f64,
}

impl Latency {
    /// Measures runs of `images` images, or of as many as the split has.
    pub(crate) fn measure(model: &mut Model, data: &SplitData, images: usize) -> Result<Self, Error> {
        let batches: Vec<_> = Batches::new(data, data.len().min(images * BATCHES), images)
            .filter(|batch| batch.images.len() == images.min(data.len()) * data.pixels())
            .collect();
        let mut batches = batches.iter().cycle();
        let mut run = || {
            let batch = batches.next().expect("the split has an image");
            let begin = Instant::now();
            model.run(&batch.images).map(|_scores| begin.elapsed())
        };
        for _ in 0..WARM_UP {
            run()?;
        }
        let begin = Instant::now();
        let mut times = Vec::with_capacity(MOST_RUNS);
        while times.len() < MOST_RUNS && (times.len() < LEAST_RUNS || begin.elapsed() < BUDGET) {
            times.push(run()?);
        }
        Ok(Self::of(images.min(data.len()), times))
    }

    fn of(images: usize, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            images,
            runs: times.len(),
            median_seconds: percentile(&times, 50).as_secs_f64(),
            percentile_99_seconds: percentile(&times, 99).as_secs_f64(),
        }
    }
}

/// The smallest of the sorted times that at least `percent` % of them do not exceed (Hyndman and Fan's type 1).
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        // numpy.percentile(range(1, n + 1), [50, 99], method="inverted_cdf")
        for (runs, median, percentile_99) in
            [(1, 1, 1), (2, 1, 2), (3, 2, 3), (20, 10, 20), (100, 50, 99), (1000, 500, 990)]
        {
            let times = (1..=runs).rev().map(Duration::from_secs).collect();
            let latency = Latency::of(1, times);
            let found = (latency.median_seconds, latency.percentile_99_seconds);
            assert_eq!(found, (f64::from(median), f64::from(percentile_99)), "{runs} runs");
        }
    }
}

//! Which seeds a test simulates, and how the one that fails is named.

use std::ops::Range;

use crate::task::catch;

/// The seeds of a test of simulations.
///
/// The environment can choose others, so that a failing seed replays without a change of code:
/// `MILLRACE_SEED=n` simulates `n` alone, `MILLRACE_SEEDS=n` simulates `n` from the first on.
///
/// ```
/// use millrace_streams::Seeds;
///
/// let seeds = Seeds::of(0..3);
/// let doubled = seeds.simulate(|seed| 2 * seed);
/// if seeds.are_default() {
///     assert_eq!(doubled[..3], [0, 2, 4]);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Seeds {
    seeds: Range<u64>,
    every: u64,
    at: u64,
    are_default: bool,
}

impl Seeds {
    /// These seeds, unless the environment says otherwise.
    ///
    /// # Panics
    /// When the environment says what is no number.
    pub fn of(seeds: Range<u64>) -> Self {
        Self::chosen(seeds, number("MILLRACE_SEED"), number("MILLRACE_SEEDS"))
    }

    fn chosen(default: Range<u64>, only: Option<u64>, count: Option<u64>) -> Self {
        let end = default.end;
        let seeds = match (only, count) {
            (Some(only), _) => only..only.saturating_add(1),
            (None, Some(count)) => default.start..default.start.saturating_add(count),
            (None, None) => default,
        };
        Self {
            are_default: only.is_none() && seeds.end >= end,
            seeds,
            every: 1,
            at: 0,
        }
    }

    /// Every `every`th of the seeds, from number `at` on, for tests that share them.
    #[must_use]
    pub fn share(mut self, at: u64, every: u64) -> Self {
        (self.at, self.every) = (at, every.max(1));
        self
    }

    /// True if the environment has not chosen fewer seeds: only then do sums over all of them have
    /// to come to anything.
    pub fn are_default(&self) -> bool {
        self.are_default
    }

    /// Simulates each seed.
    ///
    /// # Panics
    /// When `simulate` panics: with the seed, and how to replay it.
    pub fn simulate<T>(&self, mut simulate: impl FnMut(u64) -> T) -> Vec<T> {
        let mine = |seed: &u64| seed % self.every == self.at;
        let seeds = self.seeds.clone().filter(mine);
        seeds.map(|seed| named(seed, || simulate(seed))).collect()
    }
}

fn named<T>(seed: u64, simulate: impl FnOnce() -> T) -> T {
    match catch(simulate) {
        Ok(outcome) => outcome,
        // The stated invariant of a simulation is that it does not fail.
        Err(message) => panic!("seed {seed}: {message}; replay it with MILLRACE_SEED={seed}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let Ok(number) = text.parse() else {
        panic!("`{variable}` must be a number, not `{text}`");
    };
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_names_its_seed_and_how_to_replay_it() {
        let seeds = Seeds::chosen(0..9, None, None);
        let failed = catch(|| seeds.simulate(|seed| assert!(seed < 7, "too large")));
        let expected = "seed 7: too large; replay it with MILLRACE_SEED=7";
        assert_eq!(failed, Err(expected.to_owned()));
    }

    #[test]
    fn the_environment_chooses_one_seed_or_how_many() {
        let run = |seeds: Seeds| seeds.simulate(|seed| seed);
        assert_eq!(run(Seeds::chosen(0..3, None, None)), [0, 1, 2]);
        assert_eq!(run(Seeds::chosen(0..3, None, Some(2))), [0, 1]);
        assert_eq!(run(Seeds::chosen(0..3, Some(8), Some(2))), [8]);
        assert!(!Seeds::chosen(0..3, Some(8), None).are_default());
        assert!(Seeds::chosen(0..3, None, Some(30)).are_default());
    }

    #[test]
    fn tests_that_share_seeds_leave_none_out_and_run_none_twice() {
        let share = |at| Seeds::chosen(0..5, None, None).share(at, 2);
        let run = |seeds: Seeds| seeds.simulate(|seed| seed);
        assert_eq!((run(share(0)), run(share(1))), (vec![0, 2, 4], vec![1, 3]));
    }
}

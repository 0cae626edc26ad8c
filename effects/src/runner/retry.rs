//! When a failed call is made again: exponential backoff, with jitter that is no chance.

use std::time::Duration;

/// How often, and how soon, a failed call is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first failure; it doubles with each.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// How often a call is made in all, before its event is given up.
    pub attempts_max: u32,
}

impl Default for RetryPolicy {
    /// Ten attempts within about 50 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(15),
            attempts_max: 10,
        }
    }
}

impl RetryPolicy {
    /// How long to wait after failure number `attempt` (from 1): between half and the whole of the
    /// doubled wait. `seed` spreads calls that failed together.
    pub(super) fn wait(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(30);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        let jitter = spread(seed ^ (u64::from(attempt) << 48)) % 1_000;
        // Below 1000, so it fits.
        whole / 2 + whole / 2 * u32::try_from(jitter).unwrap_or(0) / 1_000
    }
}

/// The finalizer of splitmix64: neighbouring numbers become unlike ones.
const fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_longest_and_lies_in_its_upper_half() {
        let policy = RetryPolicy::default();
        for (attempt, whole) in [(1, 100), (2, 200), (4, 800), (9, 15_000), (4_000, 15_000)] {
            let whole = Duration::from_millis(whole);
            for seed in 0..100 {
                let wait = policy.wait(attempt, seed);
                assert!(wait >= whole / 2 && wait <= whole, "{attempt}: {wait:?}");
            }
        }
    }

    #[test]
    fn calls_that_fail_together_wait_for_different_times() {
        let policy = RetryPolicy::default();
        let waits: std::collections::BTreeSet<_> = (0..100).map(|s| policy.wait(5, s)).collect();
        assert!(waits.len() > 80, "{}", waits.len());
    }
}

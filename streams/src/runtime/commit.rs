//! When to commit: early when the input is drained, at the interval or the byte budget under load.

use std::time::Duration;

/// Decides when a stream thread commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitPolicy {
    /// The longest that something processed stays uncommitted while records keep coming.
    interval: Duration,
    /// The bytes of output and store writes at which a commit does not wait for the interval.
    bytes_max: usize,
    /// The shortest time between two commits for the sake of latency alone.
    early_interval: Duration,
    last_commit: Duration,
    dirty_since: Option<Duration>,
}

impl CommitPolicy {
    pub(crate) fn new(interval: Duration, bytes_max: usize, early_interval: Duration) -> Self {
        let last_commit = Duration::ZERO;
        Self {
            interval,
            bytes_max,
            early_interval,
            last_commit,
            dirty_since: None,
        }
    }

    /// Something is there to commit since `now`, unless it was before.
    pub(crate) fn dirty(&mut self, now: Duration) {
        self.dirty_since.get_or_insert(now);
    }

    /// A commit or an abort has ended.
    pub(crate) fn clean(&mut self, now: Duration) {
        self.last_commit = now;
        self.dirty_since = None;
    }

    /// True if it is time to commit. `drained` tells that no record waits, here or at the log, so
    /// that waiting longer would batch nothing.
    pub(crate) fn is_due(&self, now: Duration, bytes: usize, drained: bool) -> bool {
        let Some(since) = self.dirty_since else {
            return false;
        };
        let early = drained && now.saturating_sub(self.last_commit) >= self.early_interval;
        early || bytes >= self.bytes_max || now.saturating_sub(since) >= self.interval
    }

    /// How long until a commit may be due, if something is there to commit.
    pub(crate) fn wait(&self, now: Duration) -> Option<Duration> {
        let since = self.dirty_since?;
        let early = (self.last_commit + self.early_interval).saturating_sub(now);
        let interval = (since + self.interval).saturating_sub(now);
        Some(early.min(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_drained_input_commits_early_but_not_more_often_than_allowed() {
        let mut policy = CommitPolicy::new(ms(100), 1000, ms(5));
        policy.clean(ms(10));
        policy.dirty(ms(11));
        assert!(!policy.is_due(ms(12), 0, true));
        assert!(policy.is_due(ms(15), 0, true));
    }

    #[test]
    fn under_load_the_interval_or_the_bytes_decide() {
        let mut policy = CommitPolicy::new(ms(100), 1000, ms(5));
        policy.dirty(ms(10));
        policy.dirty(ms(50));
        assert!(!policy.is_due(ms(109), 999, false));
        assert!(policy.is_due(ms(110), 0, false));
        assert!(policy.is_due(ms(11), 1000, false));
    }

    #[test]
    fn with_nothing_to_commit_nothing_is_due() {
        let policy = CommitPolicy::new(ms(100), 1000, ms(5));
        assert!(!policy.is_due(ms(1000), 0, true));
    }
}

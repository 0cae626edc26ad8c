//! What becomes of a thread whose commits fail.
//!
//! A commit may fail for reasons that pass: a rebalance, a coordinator that moves. Its tasks are made
//! anew from committed state, and go on. If the next one fails too, they rest before they try again,
//! longer each time; and what the log refuses for good, or for minutes on end, stops the application.

use std::time::Duration;

use super::StreamThread;
use super::pause::{PAUSE_MAX, doubled};
use crate::error::Error;
use crate::log::{CommitError, LogError};

/// Fewer failures in a row than this do not stop the application.
const FAILURES_MIN: u32 = 10;
/// Nor do failures in a row within less than this: Kafka Streams' `task.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(300);

/// The commits that have failed since the last that did not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    count: u32,
    /// When the first of them failed.
    since: Duration,
    /// The end of the rest.
    until: Duration,
}

impl Failures {
    /// Counts one; false if it was one too many.
    fn count(&mut self, now: Duration) -> bool {
        if self.count == 0 {
            self.since = now;
        } else {
            self.until = now + doubled(self.count - 1, PAUSE_MAX);
        }
        self.count += 1;
        self.count < FAILURES_MIN || now.saturating_sub(self.since) < PATIENCE
    }

    /// True if no task is to run yet.
    pub(super) fn hold(&self, now: Duration) -> bool {
        now < self.until
    }
}

impl StreamThread {
    /// Goes the way back, unless there is no point in it.
    pub(super) fn after_failed_commit(&mut self, error: &CommitError) -> Result<(), Error> {
        let application = self.shared.application.clone();
        tracing::warn!(%error, %application, "commit failed");
        metrics::counter!("commit_failures_total", "application" => application).increment(1);
        let in_vain = !self.failures.count(self.shared.moment().elapsed);
        match error {
            CommitError::Refused(_) => Err(LogError::Config(error.to_string()).into()),
            _ if in_vain => {
                let (count, patience) = (self.failures.count, PATIENCE.as_secs());
                let text =
                    format!("{count} commits in a row have failed, for {patience} s: {error}");
                Err(LogError::Config(text).into())
            }
            _ => self.recover(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn tasks_rest_from_the_second_failure_on_and_longer_each_time() {
        let mut failures = Failures::default();
        assert!(failures.count(ms(0)) && !failures.hold(ms(0)));
        assert!(failures.count(ms(10)) && failures.hold(ms(109)) && !failures.hold(ms(110)));
        assert!(failures.count(ms(200)) && failures.hold(ms(399)) && !failures.hold(ms(400)));
    }

    #[test]
    fn failures_stop_the_application_when_they_are_many_and_go_on_for_minutes() {
        let mut many = Failures::default();
        assert!((0..20).all(|n| many.count(ms(n))));
        assert!(!many.count(PATIENCE));
        let mut few = Failures::default();
        assert!(few.count(ms(0)) && few.count(PATIENCE * 2));
    }
}

//! Asking about many tasks at once, or about each by itself.

use std::time::Duration;

use crate::log::TaskId;

/// How long one answer for all may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks about all tasks together, which takes one question; but only as long as that is answered
/// soon. Then each is asked about by itself, so that one that waits, for a commit that a former
/// owner has under way or for a partition without a leader, keeps no other waiting.
#[derive(Debug, Default)]
pub(super) struct Together {
    /// Since when there has always been a task to ask about.
    since: Option<Duration>,
}

impl Together {
    /// The groups to ask about.
    pub(super) fn groups(&mut self, tasks: Vec<TaskId>, now: Duration) -> Vec<Vec<TaskId>> {
        if tasks.is_empty() {
            self.since = None;
            return Vec::new();
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return vec![tasks];
        }
        tasks.into_iter().map(|task| vec![task]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Vec<TaskId> {
        let task = |partition| TaskId {
            subtopology: 0,
            partition,
        };
        (0..3).map(task).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn tasks_are_asked_about_together_until_that_takes_too_long() {
        let mut together = Together::default();
        assert_eq!(together.groups(tasks(), ms(10)), [tasks()]);
        assert_eq!(together.groups(tasks(), ms(2_009)), [tasks()]);
        assert_eq!(together.groups(tasks(), ms(2_010)).len(), 3);
        assert_eq!(together.groups(Vec::new(), ms(2_600)).len(), 0);
        assert_eq!(together.groups(tasks(), ms(2_700)), [tasks()]);
    }
}

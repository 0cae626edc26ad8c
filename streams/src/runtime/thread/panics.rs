//! What becomes of a task that panics, or fails with something half done.
//!
//! The transaction that it has broken off is aborted, and every task of the thread is made anew from
//! committed state: nothing half done stays. Then it depends on where that was. At a record, the
//! handler decides, and the record is not tried again. Elsewhere, in a punctuation or at a commit,
//! the task waits and is tried again, while the thread's other tasks go on; after too many times the
//! application stops. If the handler says to fail, a panic is tried again like that, and an error
//! stops the application at once.
//!
//! A task for which a serde does not answer waits in the same way, and is never given up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pause::{PAUSE_MAX, doubled};
use super::{Progress, StreamThread};
use crate::error::{Error, ProcessError};
use crate::log::{Position, TaskId};
use crate::task::{OnError, Task};

/// The longest wait for what does not answer, if the others commit more often than that.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A task that ran this long without a failure has got over those before.
const CALM: Duration = Duration::from_secs(60);

/// The failures of a thread's tasks that they have not got over.
#[derive(Debug, Default)]
pub(super) struct Panics {
    tries: BTreeMap<TaskId, Tries>,
    /// Tasks that wait for what does not answer.
    waits: BTreeMap<TaskId, Tries>,
    set_aside: BTreeMap<TaskId, (Position, ProcessError)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    count: u32,
    /// The end of the pause.
    until: Duration,
}

impl Panics {
    /// Counts a failure and holds the task back for a while; false if it was the last try.
    fn hold(&mut self, task: TaskId, now: Duration, retries: u32) -> bool {
        let tries = self.tries.entry(task).or_default();
        tries.calm_down(now);
        if tries.count >= retries {
            return false;
        }
        tries.pause(now, PAUSE_MAX);
        true
    }

    /// Holds a task back for a while, because something that it needs does not answer.
    fn put_off(&mut self, task: TaskId, now: Duration, wait_max: Duration) {
        let waits = self.waits.entry(task).or_default();
        waits.calm_down(now);
        waits.pause(now, wait_max);
    }

    /// True if the task is not to run yet.
    pub(super) fn holds(&self, task: TaskId, now: Duration) -> bool {
        let mut holds = [&self.tries, &self.waits].into_iter();
        holds.any(|holds| holds.get(&task).is_some_and(|tries| now < tries.until))
    }

    /// Tells a task that was made anew at which record it has failed before.
    pub(super) fn tell(&self, task: &mut Task) {
        if let Some((record, fault)) = self.set_aside.get(&task.id()) {
            task.set_aside(record.clone(), fault.clone());
        }
    }

    /// Forgets the record of a task that has committed beyond it.
    pub(super) fn committed(&mut self, task: &Task) {
        let Some((record, _)) = self.set_aside.get(&task.id()) else {
            return;
        };
        let mut offsets = task.inputs().offsets();
        if offsets.any(|(partition, next)| *partition == record.partition && next > record.offset) {
            self.set_aside.remove(&task.id());
        }
    }
}

impl Tries {
    /// Begins to count anew after a calm time.
    fn calm_down(&mut self, now: Duration) {
        if now.saturating_sub(self.until) > CALM {
            *self = Self::default();
        }
    }

    fn pause(&mut self, now: Duration, pause_max: Duration) {
        self.until = now + doubled(self.count, pause_max);
        self.count = self.count.saturating_add(1);
    }
}

impl StreamThread {
    /// Lets a task wait for what does not answer, as `reason` tells. Its next try breaks off what the
    /// others have not committed by then, so they get time to.
    pub(super) fn put_off(&mut self, task: TaskId, reason: &str) {
        tracing::warn!(%reason, %task, "serde unavailable; the task waits");
        let now = self.shared.moment().elapsed;
        let wait_max = WAIT_MAX.max(self.shared.config.commit_interval * 2);
        self.panics.put_off(task, now, wait_max);
    }

    /// Decides what becomes of a task that has failed; answers the error if the application stops.
    pub(super) fn after_failure(&mut self, error: Error) -> Result<Progress, Error> {
        self.needs_recovery = true;
        if matches!(error, Error::Panicked { .. }) {
            metrics::counter!("task_panics_total").increment(1);
        }
        let errors = self.shared.config.errors;
        let goes_on = |fault: &ProcessError| errors.for_error(fault) != OnError::Fail;
        let record = error.at_record().filter(|(_, _, fault)| goes_on(fault));
        if let Some((task, record, fault)) = record {
            let Position { partition, offset } = &record;
            tracing::error!(%task, %partition, offset, %fault, "task failed; its record goes");
            self.panics.set_aside.insert(task, (record, fault));
            return Ok(Progress::Busy);
        }
        let task = match &error {
            Error::Panicked { task, .. } => *task,
            Error::Task { task, source } if goes_on(source) => *task,
            _ => return Err(error),
        };
        let now = self.shared.moment().elapsed;
        if !self
            .panics
            .hold(task, now, self.shared.config.panic_retries)
        {
            return Err(error);
        }
        tracing::error!(%error, "task failed; it is made anew and tried again");
        Ok(Progress::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId {
        subtopology: 0,
        partition: 0,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_task_is_held_back_longer_each_time_and_given_up_in_the_end() {
        let mut panics = Panics::default();
        assert!(panics.hold(TASK, ms(0), 2));
        assert!(panics.holds(TASK, ms(99)));
        assert!(!panics.holds(TASK, ms(100)));
        assert!(panics.hold(TASK, ms(100), 2));
        assert!(panics.holds(TASK, ms(299)));
        assert!(!panics.hold(TASK, ms(300), 2));
    }

    #[test]
    fn a_task_that_waits_for_an_answer_is_never_given_up_and_looks_every_second() {
        let mut panics = Panics::default();
        for second in 0..100 {
            let now = ms(second * 1_000);
            assert!(!panics.holds(TASK, now));
            panics.put_off(TASK, now, WAIT_MAX);
            assert!(panics.holds(TASK, now));
        }
        assert!(panics.hold(TASK, ms(100_000), 1), "that was no failure");
    }

    #[test]
    fn a_task_that_ran_for_long_begins_to_count_again() {
        let mut panics = Panics::default();
        assert!(panics.hold(TASK, ms(0), 1));
        assert!(!panics.hold(TASK, ms(60_000), 1));
        assert!(panics.hold(TASK, ms(60_101), 1));
    }
}

//! What becomes of a task that panics.
//!
//! The transaction that it has broken off is aborted, and every task of the thread is made anew from
//! committed state: nothing half done stays. Then it depends on where the panic was. At a record,
//! the process handler decides, and the record is not tried again. Elsewhere, in a punctuation or at
//! a commit, or if the handler fails, the task waits and is tried again, while the thread's other
//! tasks go on; after too many times the application stops.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Progress, StreamThread};
use crate::error::Error;
use crate::log::{Position, TaskId};
use crate::task::{OnError, Task};

/// The pause before a task is tried again for the first time; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A task that ran this long without a panic has got over those before.
const CALM: Duration = Duration::from_secs(60);

/// The panics of a thread's tasks that they have not got over.
#[derive(Debug, Default)]
pub(super) struct Panics {
    tries: BTreeMap<TaskId, Tries>,
    set_aside: BTreeMap<TaskId, (Position, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    count: u32,
    /// The end of the pause.
    until: Duration,
}

impl Panics {
    /// Counts a panic and holds the task back for a while; false if it was the last try.
    fn hold(&mut self, task: TaskId, now: Duration, retries: u32) -> bool {
        let tries = self.tries.entry(task).or_default();
        if now.saturating_sub(tries.until) > CALM {
            *tries = Tries::default();
        }
        if tries.count >= retries {
            return false;
        }
        let pause = PAUSE_MIN.saturating_mul(1 << tries.count.min(16));
        tries.count += 1;
        tries.until = now + pause.min(PAUSE_MAX);
        true
    }

    /// True if the task is not to run yet.
    pub(super) fn holds(&self, task: TaskId, now: Duration) -> bool {
        self.tries.get(&task).is_some_and(|tries| now < tries.until)
    }

    /// Tells a task that was made anew at which record it has panicked before.
    pub(super) fn tell(&self, task: &mut Task) {
        if let Some((record, message)) = self.set_aside.get(&task.id()) {
            task.set_aside(record.clone(), message.clone());
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

impl StreamThread {
    /// Decides what becomes of a task that has panicked.
    pub(super) fn after_panic(
        &mut self,
        task: TaskId,
        record: Option<Position>,
        message: String,
    ) -> Result<Progress, Error> {
        self.needs_recovery = true;
        metrics::counter!("task_panics_total").increment(1);
        let config = &self.shared.config;
        let fails = config.errors.process == OnError::Fail;
        if let Some(record) = record.clone().filter(|_| !fails) {
            let Position { partition, offset } = &record;
            tracing::error!(%task, %partition, offset, %message, "task panicked; its record goes");
            self.panics.set_aside.insert(task, (record, message));
            return Ok(Progress::Busy);
        }
        let now = self.shared.moment().elapsed;
        if self.panics.hold(task, now, config.panic_retries) {
            tracing::error!(%task, %message, "task panicked; it is made anew and tried again");
            return Ok(Progress::Busy);
        }
        Err(Error::Panicked {
            task,
            record,
            message,
        })
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
    fn a_task_that_ran_for_long_begins_to_count_again() {
        let mut panics = Panics::default();
        assert!(panics.hold(TASK, ms(0), 1));
        assert!(!panics.hold(TASK, ms(60_000), 1));
        assert!(panics.hold(TASK, ms(60_101), 1));
    }
}

//! Removing the stores of tasks that have long been somebody else's.
//!
//! A task that moves away leaves its stores behind, so that it need not be restored if it comes
//! back soon. What nobody has opened for `cleanup_delay` is removed, in the background. That time
//! counts only while every stream thread of the process knows its tasks: otherwise an outage of the
//! log would cost a process all it has.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_state::{Error, StateDir, StoreId};

/// How often to look, at most.
const LOOK: Duration = Duration::from_secs(60);

/// Since when each store of an application is not open.
#[derive(Debug, Default)]
pub(crate) struct Cleanup {
    idle_since: BTreeMap<StoreId, Duration>,
    looked: Option<Duration>,
}

impl Cleanup {
    /// A stream thread does not know its tasks, so nobody's stores are idle.
    pub(crate) fn start_over(&mut self) {
        *self = Self::default();
    }

    /// Removes the stores of `application` that were idle for `delay`. `now` is the time since any
    /// moment.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn step(
        &mut self,
        state: &StateDir,
        application: &str,
        delay: Duration,
        now: Duration,
    ) -> Result<(), Error> {
        let pause = delay.min(LOOK);
        if self.looked.is_some_and(|at| now.saturating_sub(at) < pause) {
            return Ok(());
        }
        self.looked = Some(now);
        let idle = state.idle_stores(application)?;
        self.idle_since.retain(|store, _| idle.contains(store));
        for store in idle {
            let since = *self.idle_since.entry(store.clone()).or_insert(now);
            if now.saturating_sub(since) >= delay {
                tracing::info!(
                    application,
                    task = store.task,
                    store = store.store,
                    "store removed: its task is somebody else's"
                );
                remove(state, &store)?;
                self.idle_since.remove(&store);
            }
        }
        Ok(())
    }
}

fn remove(state: &StateDir, store: &StoreId) -> Result<(), Error> {
    match state.remove_store_in_background(store) {
        // Its task has come back this very moment.
        Err(Error::StoreOpen { .. }) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use millrace_state::StoreOptions;

    use super::*;

    const DELAY: Duration = Duration::from_secs(600);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A flushed store of each task.
    fn state(tasks: &[&str]) -> StateDir {
        let state = StateDir::in_memory();
        let options = StoreOptions {
            ordered: false,
            changelog: true,
        };
        for task in tasks {
            let store = StoreId::new("app", *task, "store");
            let mut store = state.open_store(&store, options).expect("not open");
            store.put(b"k", b"v").expect("small");
            store.commit(Some(1)).expect("sound");
            store.close().expect("flushed");
        }
        state
    }

    fn tasks(state: &StateDir) -> Vec<String> {
        let idle = state.idle_stores("app").expect("readable");
        idle.into_iter().map(|store| store.task).collect()
    }

    #[test]
    fn a_store_that_nobody_opens_is_removed_after_the_delay() {
        let state = state(&["0_0", "0_1"]);
        let mut cleanup = Cleanup::default();
        let mut step = |at| cleanup.step(&state, "app", DELAY, seconds(at));
        step(0).expect("readable");
        let held = StoreId::new("app", "0_1", "store");
        let held = state.open_store(&held, StoreOptions::default());
        step(300).expect("readable");
        drop(held);
        step(599).expect("readable");
        assert_eq!(tasks(&state), ["0_0", "0_1"]);
        step(660).expect("readable");
        assert_eq!(tasks(&state), ["0_1"]);
        step(1_198).expect("readable");
        assert_eq!(tasks(&state), ["0_1"]);
        step(1_260).expect("readable");
        assert_eq!(tasks(&state), Vec::<String>::new());
    }

    #[test]
    fn time_without_an_assignment_does_not_count() {
        let state = state(&["0_0"]);
        let mut cleanup = Cleanup::default();
        for at in [0, 500, 1_000, 1_500] {
            cleanup.step(&state, "app", DELAY, seconds(at)).expect("ok");
            cleanup.start_over();
        }
        assert_eq!(tasks(&state), ["0_0"]);
    }

    #[test]
    fn stores_of_other_applications_are_theirs() {
        let state = state(&["0_0"]);
        let mut cleanup = Cleanup::default();
        for at in [0, 601] {
            let other = cleanup.step(&state, "another", DELAY, seconds(at));
            other.expect("readable");
        }
        assert_eq!(tasks(&state), ["0_0"]);
    }
}

//! The upkeep of a stream thread's stores, between its turns: what they have committed goes to
//! disk, and what a reopened store has on disk comes to memory.

use millrace_state::Store;

use super::{Moment, StreamThread};
use crate::error::Error;
use crate::runtime::changelogs::note_complete;
use crate::runtime::restore::Restoring;
use crate::task::{Task, TaskStore};

/// The records that are warmed in one round, beside other work and without.
const WARM_RECORDS_BUSY: usize = 128;
const WARM_RECORDS_IDLE: usize = 2_048;

impl StreamThread {
    /// Hands what is committed to the disk in the background, where it is time, and with it the
    /// time at which the store was complete.
    pub(super) fn flush_stores(&mut self, now: Moment) -> Result<(), Error> {
        let running = self.running.values_mut().flat_map(Task::stores_mut);
        let restored = self
            .restoring
            .values_mut()
            .filter(|task| task.is_restored());
        for store in running.chain(restored.flat_map(Restoring::stores_mut)) {
            note_complete(store.store_mut(), now.wall_clock);
        }
        for store in self.stores_mut() {
            store.maybe_flush(now.elapsed)?;
        }
        Ok(())
    }

    /// Warms the next store that is not warm by a few records.
    pub(super) fn warm_stores(&mut self, busy: bool) -> Result<(), Error> {
        let records_max = if busy {
            WARM_RECORDS_BUSY
        } else {
            WARM_RECORDS_IDLE
        };
        let cold = self.stores_mut().find(|store| !store.is_warm());
        let warms = cold.is_some();
        if let Some(store) = cold {
            store.warm(records_max)?;
        }
        self.warms = warms;
        Ok(())
    }

    /// The stores of running tasks, and of those that follow their changelogs.
    fn stores_mut(&mut self) -> impl Iterator<Item = &mut Store> {
        let running = self.running.values_mut().flat_map(Task::stores_mut);
        let following = self.restoring.values_mut().filter(|task| task.has_begun());
        let following = following.flat_map(Restoring::stores_mut);
        running.chain(following).map(TaskStore::store_mut)
    }
}

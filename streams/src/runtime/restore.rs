//! Restoring tasks and standbys: stores that follow their changelogs.

use std::time::Duration;

use crate::error::Error;
use crate::log::{Bounds, CommittedOffset, Offset, RecordBatch, TaskId, TopicPartition};
use crate::runtime::changelogs::Changelogs;
use crate::store::restore_batch;
use crate::task::TaskStore;

/// A task whose stores follow their changelogs: until they are restored, or, as a standby, for as
/// long as it lasts.
pub(crate) struct Restoring {
    pub(crate) id: TaskId,
    /// True if the task is to run as soon as it is restored.
    pub(crate) active: bool,
    /// True once no commit of the task's owner before this one is under way any more: what it has
    /// written to the changelogs is then in front of their ends. A standby need not know.
    pub(crate) is_settled: bool,
    /// What is committed for each input, once the stores are restored and the group was asked.
    pub(crate) committed: Option<Vec<(TopicPartition, Option<CommittedOffset>)>>,
    followers: Vec<Follower>,
    /// The changelog records that were applied since the stores were opened.
    replayed: usize,
}

/// One store and how far it has come.
struct Follower {
    store: TaskStore,
    /// The offset to read next.
    position: Offset,
    /// Where the changelog ended when the restore began, with what was not committed yet: the end
    /// of the last owner's transaction reaches each partition by itself, and may come to this one
    /// last. `None` until it is known.
    target: Option<Offset>,
}

impl Restoring {
    pub(crate) fn new(id: TaskId, active: bool, stores: Vec<TaskStore>) -> Self {
        let follower = |store: TaskStore| {
            let position = store.store().position().unwrap_or(0);
            Follower {
                store,
                position,
                target: None,
            }
        };
        Self {
            id,
            active,
            is_settled: false,
            committed: None,
            followers: stores.into_iter().map(follower).collect(),
            replayed: 0,
        }
    }

    /// The changelog partitions.
    pub(crate) fn changelogs(&self) -> Vec<TopicPartition> {
        self.followers
            .iter()
            .map(|follower| follower.store.changelog().clone())
            .collect()
    }

    /// Where to read on, per changelog partition.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        self.followers
            .iter()
            .map(|follower| (follower.store.changelog().clone(), follower.position))
    }

    /// Sets the targets; `bounds` are those of [`Restoring::changelogs`]. A store that does not
    /// fit its changelog is made anew.
    pub(crate) fn begin(&mut self, bounds: &[Bounds], now: &Changelogs) -> Result<(), Error> {
        for (follower, bounds) in self.followers.iter_mut().zip(bounds) {
            let changelog = follower.store.changelog().clone();
            let store = follower.store.store_mut();
            follower.position = now.take_up(store, &changelog, *bounds)?;
            follower.target = Some(bounds.high_watermark);
        }
        Ok(())
    }

    /// True if every store has reached its target.
    pub(crate) fn is_restored(&self) -> bool {
        self.followers
            .iter()
            .all(|f| f.target.is_some_and(|target| f.position >= target))
    }

    /// True if the targets are set.
    pub(crate) fn has_begun(&self) -> bool {
        self.followers
            .iter()
            .all(|follower| follower.target.is_some())
    }

    /// The inputs for which nothing is committed.
    pub(crate) fn fresh_inputs(&self) -> impl Iterator<Item = TopicPartition> {
        let committed = self.committed.iter().flatten();
        let fresh = committed.filter(|(_, offset)| offset.is_none());
        fresh.map(|(partition, _)| partition.clone())
    }

    /// Where to begin in each input: at the committed offset, or, in those of
    /// [`Restoring::fresh_inputs`], at the next of `resets`.
    pub(crate) fn take_offsets(
        &mut self,
        resets: &mut impl Iterator<Item = Offset>,
    ) -> Vec<(TopicPartition, CommittedOffset)> {
        let mut reset = || {
            let (offset, metadata) = (resets.next()?, String::new());
            Some(CommittedOffset { offset, metadata })
        };
        let committed = self.committed.take().into_iter().flatten();
        let offsets = committed.map(|(partition, offset)| (partition, offset.or_else(&mut reset)));
        offsets
            .filter_map(|(partition, offset)| Some((partition, offset?)))
            .collect()
    }

    /// The task's role has changed: as a task to run, it first catches up with the end as it is now.
    pub(crate) fn promote(&mut self, active: bool) {
        if active && !self.active {
            for follower in &mut self.followers {
                follower.target = None;
            }
            self.is_settled = false;
            self.committed = None;
        }
        self.active = active;
    }

    /// The records to read next of `partition` are gone: its store begins again.
    pub(crate) fn restart(&mut self, partition: &TopicPartition) {
        for follower in &mut self.followers {
            if follower.store.changelog() == partition {
                follower.target = None;
            }
        }
    }

    /// Applies a batch; answers false if it belongs to another task.
    pub(crate) fn apply(&mut self, batch: &RecordBatch, now: Duration) -> Result<bool, Error> {
        let mine = |follower: &&mut Follower| *follower.store.changelog() == batch.partition;
        let Some(follower) = self.followers.iter_mut().find(mine) else {
            return Ok(false);
        };
        if batch.position < follower.position {
            return Ok(true);
        }
        follower.position = batch.position;
        self.replayed += batch.len();
        metrics::counter!("restore_records_total").increment(batch.len() as u64);
        restore_batch(follower.store.store_mut(), batch)?;
        follower.store.store_mut().maybe_flush(now)?;
        Ok(true)
    }

    /// The changelog records that it took to come here from what the stores had.
    pub(crate) fn replayed(&self) -> usize {
        self.replayed
    }

    pub(crate) fn stores_mut(&mut self) -> impl Iterator<Item = &mut TaskStore> {
        self.followers
            .iter_mut()
            .map(|follower| &mut follower.store)
    }

    pub(crate) fn into_stores(self) -> Vec<TaskStore> {
        self.followers
            .into_iter()
            .map(|follower| follower.store)
            .collect()
    }
}

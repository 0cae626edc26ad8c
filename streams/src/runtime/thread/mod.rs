//! A stream thread: one member of the group, which runs the tasks that the group gives it.
//!
//! [`StreamThread::step`] does one round: follow the assignment, restore, fetch, process, tick,
//! commit, warm. It is driven by a loop on a thread of its own, or by the simulation, step by step.
//!
//! Whatever goes wrong with a transaction, there is one way back: [`Member::recover`], drop what is
//! not committed, re-read the committed offsets, roll the stores forward from their changelogs, and
//! go on. A store is never ahead of the log, so nothing is ever wiped for it.

mod assignment;
mod failures;
mod panics;
mod pause;
mod restoring;
mod together;
mod upkeep;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use assignment::Target;
use failures::Failures;
use panics::Panics;
use together::Together;

use crate::error::Error;
use crate::global::{GlobalEpoch, GlobalTables};
use crate::log::{
    CommitError, CommittedOffset, LogError, Member, Offset, OutputBatch, Reader, RecordBatch,
    TaskId, TopicPartition,
};
use crate::runtime::changelogs::note_owned;
use crate::runtime::commit::CommitPolicy;
use crate::runtime::restore::Restoring;
use crate::runtime::shared::Shared;
use crate::task::{Inputs, Task};
use crate::time::Timestamp;

/// The records that a task processes before the next task has its turn.
const TURN_RECORDS: usize = 1_000;
/// While this much waits in tasks that can go on, nothing is fetched: the rest waits in the client,
/// so that partitions are paused for tasks that cannot go on alone. A pause throws away what the
/// client has fetched ahead.
const FETCH_AT_BYTES: usize = 512 << 10;
/// The output that is handed to the log before the commit, so that sending and processing overlap.
const SEND_BYTES: usize = 64 << 10;
/// The longest wait for records when there is nothing else to do.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How often tasks get the wall clock.
const TICK_INTERVAL: Duration = Duration::from_millis(10);

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Records were processed, restored, or committed.
    Busy,
    /// There was nothing to do.
    Idle,
    /// The log, or what a serde needs, does not answer: try again after a pause.
    Unavailable,
}

/// A moment, as the clock tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall_clock: Timestamp,
    pub(crate) elapsed: Duration,
}

/// One member of an application's group, with its tasks.
pub struct StreamThread {
    shared: Arc<Shared>,
    member: Box<dyn Member>,
    /// Reads changelogs.
    reader: Box<dyn Reader>,
    globals: GlobalTables,
    /// The time in which everything of the open transaction was looked up.
    epoch: GlobalEpoch,
    running: BTreeMap<TaskId, Task>,
    /// The assignment that is not followed to its end yet: an error on the way leaves it here.
    target: Option<Target>,
    /// True if an assignment of this membership was followed to its end.
    has_assignment: bool,
    /// Tasks that are being restored, and standbys.
    restoring: BTreeMap<TaskId, Restoring>,
    /// When to go on with them.
    restore_at: Duration,
    settling: Together,
    beginning: Together,
    activating: Together,
    outputs: OutputBatch,
    /// True if something of the open transaction was handed to the log.
    sent_bytes: usize,
    policy: CommitPolicy,
    /// Set when the transaction cannot go on: the next step begins with the way back.
    needs_recovery: bool,
    /// Set when the group has removed the member: the next step joins again.
    needs_rejoin: bool,
    panics: Panics,
    failures: Failures,
    /// The records that were to be read next, and were gone.
    gone: BTreeMap<TopicPartition, Offset>,
    /// True if the last fetch found nothing.
    drained: bool,
    /// True if a store is not warm yet: then there is always something to do.
    warms: bool,
    last_tick: Option<Duration>,
    fetched: Vec<RecordBatch>,
    used: Vec<RecordBatch>,
}

impl StreamThread {
    pub(crate) fn new(
        shared: Arc<Shared>,
        member: Box<dyn Member>,
        reader: Box<dyn Reader>,
        globals: GlobalTables,
    ) -> Self {
        let config = &shared.config;
        let policy = CommitPolicy::new(
            config.commit_interval,
            config.commit_bytes_max,
            config.early_commit_interval,
        );
        Self {
            shared,
            member,
            reader,
            epoch: globals.epoch(),
            globals,
            running: BTreeMap::new(),
            target: None,
            has_assignment: false,
            restoring: BTreeMap::new(),
            restore_at: Duration::ZERO,
            settling: Together::default(),
            beginning: Together::default(),
            activating: Together::default(),
            outputs: OutputBatch::new(),
            sent_bytes: 0,
            policy,
            needs_recovery: false,
            needs_rejoin: false,
            panics: Panics::default(),
            failures: Failures::default(),
            gone: BTreeMap::new(),
            drained: false,
            warms: false,
            last_tick: None,
            fetched: Vec::new(),
            used: Vec::new(),
        }
    }

    /// Does one round; waits for records, for up to 50 ms, only if there is nothing else to do.
    ///
    /// # Errors
    /// What does not pass by itself: the thread must be closed.
    pub fn step(&mut self) -> Result<Progress, Error> {
        match self.round() {
            Ok(progress) => Ok(progress),
            Err(error) => self.handle(error),
        }
    }

    /// True if the group has told the thread its tasks, and all of them run.
    pub fn is_restored(&self) -> bool {
        let knows = self.has_assignment && self.target.is_none();
        knows && self.restoring.values().all(|task| !task.active)
    }

    /// True if every assigned task runs and nothing waits to be committed.
    pub fn is_settled(&self) -> bool {
        self.is_restored()
            && !self.needs_recovery
            && !self.needs_rejoin
            && !self.running.values().any(Task::is_dirty)
    }

    /// Commits, closes all tasks and leaves the group.
    ///
    /// # Errors
    /// When the last commit fails; the tasks are closed and the seat is given up all the same.
    pub fn close(&mut self) -> Result<(), Error> {
        let now = self.shared.moment();
        let committed = if self.needs_recovery {
            Ok(())
        } else {
            self.commit_last(now)
        };
        let closed = self.close_tasks(|_| true);
        let left = self.member.leave();
        committed?;
        closed?;
        Ok(left?)
    }

    fn round(&mut self) -> Result<Progress, Error> {
        if self.needs_rejoin {
            self.member.rejoin()?;
            self.needs_rejoin = false;
        }
        self.follow_globals();
        if self.needs_recovery {
            self.recover()?;
        }
        let mut busy = self.follow_assignment()?;
        busy |= self.restore()?;
        if !self.epoch.is_whole() {
            return Ok(if busy {
                Progress::Busy
            } else {
                Progress::Unavailable
            });
        }
        let now = self.shared.moment();
        busy |= self.fetch(now, busy)?;
        busy |= self.process()?;
        let now = self.shared.moment();
        self.tick(now)?;
        busy |= self.commit_if_due(now)?;
        self.warm_stores(busy)?;
        self.shared.clean_up(self.is_restored(), now)?;
        Ok(if busy { Progress::Busy } else { Progress::Idle })
    }

    /// Takes back what was processed while a global table began to be read anew.
    fn follow_globals(&mut self) {
        let epoch = self.globals.epoch();
        self.needs_recovery |= epoch != self.epoch;
        self.epoch = epoch;
    }

    /// Decides what an error means for the thread.
    fn handle(&mut self, error: Error) -> Result<Progress, Error> {
        // What it has looked up may have been missing: it is done again when the tables are whole.
        if error.task().is_some() && self.globals.epoch() != self.epoch {
            tracing::warn!(%error, "task failed while a global table is read anew");
            self.needs_recovery = true;
            return Ok(Progress::Busy);
        }
        if let Some(reason) = error.unavailable() {
            self.needs_recovery = true;
            let Some(task) = error.task() else {
                tracing::warn!(%reason, "log or serde unavailable");
                return Ok(Progress::Unavailable);
            };
            self.put_off(task, reason);
            return Ok(Progress::Busy);
        }
        match error {
            Error::Log(LogError::OffsetOutOfRange {
                partition, wanted, ..
            }) if !self.is_gone(&partition, wanted) => {
                tracing::warn!(%partition, wanted, "the next record is gone; what is committed decides");
                self.gone.insert(partition, wanted);
                self.needs_recovery = true;
                Ok(Progress::Busy)
            }
            Error::Log(LogError::MemberLost(reason)) => {
                tracing::warn!(%reason, "member lost; closing its tasks and joining again");
                self.needs_rejoin = true;
                self.lose_tasks()?;
                Ok(Progress::Busy)
            }
            error => self.after_failure(error),
        }
    }

    /// True if the record was missed before. Where another has taken the task over, and its records
    /// were deleted as processed, the way back ends the membership, or finds a later offset. If it
    /// leads to the same record again, that is lost.
    fn is_gone(&self, partition: &TopicPartition, wanted: Offset) -> bool {
        self.gone.get(partition) == Some(&wanted)
    }

    // --- the way back

    fn recover(&mut self) -> Result<(), Error> {
        self.member.recover()?;
        self.outputs.clear();
        self.sent_bytes = 0;
        for (id, task) in std::mem::take(&mut self.running) {
            self.shared.unregister(id, task.stores());
            let mut stores = task.into_stores();
            for store in &mut stores {
                store.discard();
            }
            self.restoring.insert(id, Restoring::new(id, true, stores));
        }
        self.policy.clean(self.shared.moment().elapsed);
        self.needs_recovery = false;
        self.assign_inputs()?;
        self.assign_changelogs()
    }

    /// Closes every task without a commit.
    fn lose_tasks(&mut self) -> Result<(), Error> {
        self.outputs.clear();
        self.sent_bytes = 0;
        self.needs_recovery = false;
        self.target = None;
        self.has_assignment = false;
        self.gone.clear();
        self.policy.clean(self.shared.moment().elapsed);
        for task in self.running.values_mut() {
            for store in task.stores_mut() {
                store.discard();
            }
        }
        self.close_tasks(|_| true)
    }

    // --- records

    fn fetch(&mut self, now: Moment, busy: bool) -> Result<bool, Error> {
        let ready_bytes = self.ready_bytes();
        if ready_bytes.is_some_and(|bytes| bytes >= FETCH_AT_BYTES) {
            return Ok(true);
        }
        let wait = if busy || ready_bytes.is_some() {
            Duration::ZERO
        } else {
            self.idle_wait(now)
        };
        let mut batches = std::mem::take(&mut self.fetched);
        self.member.fetch(wait, &mut batches)?;
        self.drained = batches.iter().all(RecordBatch::is_empty);
        for batch in batches.drain(..) {
            self.take_in(batch);
        }
        self.fetched = batches;
        self.balance()?;
        Ok(!self.drained)
    }

    /// The bytes that wait in tasks that can go on, if any can.
    fn ready_bytes(&self) -> Option<usize> {
        let inputs = self.running.values().map(Task::inputs);
        let ready = inputs.filter(|inputs| inputs.next_queue().is_some());
        ready.map(Inputs::bytes).reduce(|sum, bytes| sum + bytes)
    }

    fn take_in(&mut self, batch: RecordBatch) {
        let mut batch = batch;
        for task in self.running.values_mut() {
            match task.inputs_mut().push(batch) {
                Ok(used) => {
                    used.into_iter()
                        .for_each(|batch| self.member.recycle(batch));
                    return;
                }
                Err(other) => batch = other,
            }
        }
        // The partition is not read any more.
        self.member.recycle(batch);
    }

    /// Pauses partitions whose queues are full, and resumes those that have room again.
    fn balance(&mut self) -> Result<(), Error> {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for task in self.running.values_mut() {
            task.inputs_mut()
                .balance(self.shared.config.queue_bytes_max, &mut pause, &mut resume);
        }
        if !pause.is_empty() {
            self.member.pause(&pause)?;
        }
        if !resume.is_empty() {
            self.member.resume(&resume)?;
        }
        Ok(())
    }

    fn idle_wait(&self, now: Moment) -> Duration {
        if self.warms {
            return Duration::ZERO;
        }
        if !self.is_restored() {
            return Duration::from_millis(1);
        }
        self.policy
            .wait(now.elapsed)
            .map_or(IDLE_WAIT, |wait| wait.min(IDLE_WAIT))
    }

    fn process(&mut self) -> Result<bool, Error> {
        let mut processed = 0;
        for task in self.running.values_mut() {
            processed += task.process(TURN_RECORDS, &mut self.outputs, &mut self.used)?;
        }
        for batch in self.used.drain(..) {
            self.member.recycle(batch);
        }
        if processed > 0 {
            let application = self.shared.application.clone();
            metrics::counter!("process_records_total", "application" => application)
                .increment(processed as u64);
            self.policy.dirty(self.shared.moment().elapsed);
        }
        if self.outputs.bytes() >= SEND_BYTES {
            self.send()?;
        }
        Ok(processed > 0)
    }

    fn tick(&mut self, now: Moment) -> Result<(), Error> {
        if self
            .last_tick
            .is_some_and(|last| now.elapsed.saturating_sub(last) < TICK_INTERVAL)
        {
            return Ok(());
        }
        self.last_tick = Some(now.elapsed);
        for task in self.running.values_mut() {
            task.tick(now.wall_clock, &mut self.outputs)?;
            if task.is_dirty() {
                self.policy.dirty(now.elapsed);
            }
        }
        self.flush_stores(now)
    }

    // --- commit

    fn commit_if_due(&mut self, now: Moment) -> Result<bool, Error> {
        let drained = self.drained && self.ready_bytes().is_none();
        let due = self
            .policy
            .is_due(now.elapsed, self.uncommitted_bytes(), drained);
        if !due && !self.running.values().any(Task::commits_first) {
            return Ok(false);
        }
        self.commit(now)?;
        Ok(true)
    }

    fn uncommitted_bytes(&self) -> usize {
        let buffered: usize = self.running.values().map(Task::buffered_bytes).sum();
        self.sent_bytes + self.outputs.bytes() + buffered
    }

    fn send(&mut self) -> Result<(), Error> {
        self.sent_bytes += self.outputs.bytes();
        Ok(self.member.send(&mut self.outputs)?)
    }

    fn commit(&mut self, now: Moment) -> Result<(), Error> {
        match self.try_commit(now)? {
            Some(error) => self.after_failed_commit(&error),
            None => Ok(()),
        }
    }

    /// As [`commit`](Self::commit), for a thread that goes no way back any more.
    fn commit_last(&mut self, now: Moment) -> Result<(), Error> {
        match self.try_commit(now)? {
            Some(error) => Err(LogError::Unavailable(error.to_string()).into()),
            None => Ok(()),
        }
    }

    /// Commits all tasks of the thread in one transaction, then applies the stores' buffers.
    fn try_commit(&mut self, now: Moment) -> Result<Option<CommitError>, Error> {
        for task in self.running.values_mut() {
            task.prepare_commit(&mut self.outputs)?;
        }
        if self.globals.epoch() != self.epoch {
            return Err(LogError::Unavailable("a global table is read anew".into()).into());
        }
        let offsets: Vec<(TopicPartition, CommittedOffset)> =
            self.running.values().flat_map(Task::offsets).collect();
        let nothing = offsets.is_empty() && self.outputs.is_empty() && self.sent_bytes == 0;
        if nothing {
            self.policy.clean(now.elapsed);
            return Ok(None);
        }
        self.send()?;
        let committed = match self.member.commit(&offsets) {
            Ok(committed) => committed,
            Err(error) => return Ok(Some(error)),
        };
        self.failures = Failures::default();
        for task in self.running.values_mut() {
            task.committed(&committed.last_offsets)?;
            for store in task.stores_mut() {
                note_owned(store.store_mut(), now.wall_clock);
            }
            self.panics.committed(task);
        }
        self.sent_bytes = 0;
        self.policy.clean(self.shared.moment().elapsed);
        let application = self.shared.application.clone();
        metrics::counter!("commit_total", "application" => application).increment(1);
        Ok(None)
    }
}

impl fmt::Debug for StreamThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamThread")
            .field("application", &self.shared.application)
            .field("running", &self.running.keys())
            .field("restoring", &self.restoring.keys())
            .field("target", &self.target)
            .field("needs_recovery", &self.needs_recovery)
            .field("needs_rejoin", &self.needs_rejoin)
            .finish_non_exhaustive()
    }
}

//! The worker: a seat in the group, and the events of its partitions from fetch to commit.
//!
//! [`Worker::step`] does one round: follow the assignment, fetch, start calls, take in what they
//! came to, commit. It is driven by a loop on a thread, or by a test, step by step.
//!
//! Whatever goes wrong with a transaction, there is one way back: [`Member::recover`], read the
//! committed offsets, and commit again what they do not cover. The results are still there, so no
//! call is repeated for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use millrace_streams::Clock;
use millrace_streams::log::{
    Assignment, CommitError, CommittedOffset, Log, LogError, Member, Offset, OffsetReset,
    RecordBatch, Seat, SubtopologyMetadata, TaskId, TopicPartition, TopologyMetadata,
};
use millrace_streams::serde::SerdeError;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::call::{GivenUp, Limits};
use super::config::EffectsConfig;
use super::lane::{Lane, OpenLane, Outcome};
use super::results::Results;
use super::window::{RawEvent, Window};

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Events were read, called for, or committed.
    Busy,
    /// There was nothing to do.
    Idle,
    /// The log, or what a serde needs, does not answer: try again after a pause.
    Unavailable,
}

/// Why effects do not run.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EffectsError {
    /// See [`LogError`].
    #[error(transparent)]
    Log(#[from] LogError),
    /// A serde cannot be built.
    #[error("serde of `{topic}`: {source}")]
    Serde {
        /// The input topic of the handler.
        topic: &'static str,
        /// What is wrong.
        source: SerdeError,
    },
    /// The thread has panicked.
    #[error("the effect runner has panicked; see its log")]
    Panicked,
}

/// One instance of an application of effects.
pub struct Worker {
    pub(super) application: Arc<str>,
    pub(super) config: EffectsConfig,
    pub(super) member: Box<dyn Member>,
    pub(super) clock: Arc<dyn Clock>,
    /// By sub-topology.
    lanes: Vec<Box<dyn OpenLane>>,
    pub(super) inputs: Vec<Arc<str>>,
    results: Results,
    pub(super) open: BTreeMap<TaskId, Open>,
    /// The assignment that is not followed to its end yet.
    pub(super) target: Option<Assignment>,
    /// When the calls of partitions that go to others are given up.
    pub(super) drain_until: Option<Duration>,
    /// Set when the transaction cannot go on.
    needs_recovery: bool,
    /// Set when the group has removed this member.
    needs_seat: bool,
    limits: Arc<Limits>,
    runtime: Handle,
    finished: Receiver<Finished>,
    finisher: Sender<Finished>,
    /// The number of windows that were opened: each has its own, so that a late call of one that
    /// was closed is known as such.
    pub(super) windows: u64,
    last_commit: Duration,
    fetched: Vec<RecordBatch>,
}

/// A partition that this instance reads.
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) partition: TopicPartition,
    pub(super) window: Window<Outcome>,
    pub(super) paused: bool,
    /// The calls that run; dropping it ends them.
    pub(super) calls: JoinSet<()>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("partition", &self.partition)
            .field("position", &self.window.position())
            .field("done_until", &self.window.done_until())
            .field("events", &self.window.len())
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}

/// A call has ended.
struct Finished {
    task: TaskId,
    window: u64,
    offset: Offset,
    outcome: Outcome,
}

/// The topic that takes an application's bad events.
pub(super) fn dead_letter_topic(application: &str) -> String {
    format!("{application}-dead-letter")
}

impl Worker {
    pub(super) fn join(
        log: &dyn Log,
        application: &Arc<str>,
        lanes: &[Box<dyn Lane>],
        config: EffectsConfig,
        instance: &str,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EffectsError> {
        let mut opened = Vec::new();
        for lane in lanes {
            let open = lane.open(&config.resources).map_err(|source| {
                let topic = lane.input();
                EffectsError::Serde { topic, source }
            })?;
            opened.push(open);
        }
        let inputs: Vec<Arc<str>> = lanes.iter().map(|lane| lane.input().into()).collect();
        let (finisher, finished) = channel();
        Ok(Self {
            application: Arc::clone(application),
            member: log.join(seat(application, instance, &inputs, &config))?,
            clock,
            lanes: opened,
            inputs,
            results: Results::new(log, lanes, &dead_letter_topic(application))?,
            open: BTreeMap::new(),
            target: None,
            drain_until: None,
            needs_recovery: false,
            needs_seat: false,
            limits: Arc::new(Limits {
                slots: Semaphore::new(config.concurrency.max(1)),
                attempt_timeout: config.attempt_timeout,
                retry: config.retry,
                record_bytes_max: config.record_bytes_max,
            }),
            runtime,
            finished,
            finisher,
            windows: 0,
            last_commit: Duration::ZERO,
            fetched: Vec::new(),
            config,
        })
    }

    /// Does one round. Waits only if there is nothing to do: for events, or for a call to end.
    ///
    /// # Errors
    /// What does not pass by itself: the worker must be closed.
    pub fn step(&mut self) -> Result<Progress, EffectsError> {
        match self.round() {
            Ok(progress) => Ok(progress),
            Err(error) => Ok(self.handle(error)?),
        }
    }

    /// True if nothing runs, waits to run, or waits to be committed.
    pub fn is_settled(&self) -> bool {
        let at_rest = !self.needs_recovery && !self.needs_seat && self.target.is_none();
        at_rest && self.open.values().all(|open| open.window.len() == 0)
    }

    /// Waits for the calls that run, for [`EffectsConfig::drain`] at most, commits, and leaves the
    /// group. What has not ended is called again by the next owner of its partition.
    ///
    /// # Errors
    /// When the last commit fails; the seat is given up all the same.
    pub fn close(&mut self) -> Result<(), EffectsError> {
        let deadline = self.clock.elapsed() + self.config.drain;
        while self.is_running() && self.clock.elapsed() < deadline {
            self.take_finished(self.config.busy_wait);
        }
        let healthy = !self.needs_recovery && !self.needs_seat;
        let committed = if healthy { self.commit() } else { Ok(()) };
        self.open.clear();
        let left = self.member.leave();
        Ok(committed.and(left)?)
    }

    fn round(&mut self) -> Result<Progress, LogError> {
        if self.needs_seat {
            self.member.rejoin()?;
            self.needs_seat = false;
        }
        if self.needs_recovery {
            self.recover()?;
        }
        self.follow_assignment()?;
        let mut busy = self.take_finished(Duration::ZERO);
        busy |= self.fetch(busy)?;
        let readable = self.start_calls();
        if !busy && self.is_running() {
            busy |= self.take_finished(self.config.busy_wait);
        }
        busy |= self.commit_if_due()?;
        Ok(match (readable, busy) {
            (false, _) => Progress::Unavailable,
            (true, true) => Progress::Busy,
            (true, false) => Progress::Idle,
        })
    }

    /// Decides what an error means for the worker.
    fn handle(&mut self, error: LogError) -> Result<Progress, LogError> {
        match error {
            LogError::MemberLost(reason) => {
                tracing::warn!(application = %self.application, reason, "member lost; joining again");
                self.lose_partitions();
                Ok(Progress::Busy)
            }
            LogError::Unavailable(reason) => {
                tracing::warn!(application = %self.application, reason, "log unavailable");
                self.needs_recovery |= !self.needs_seat;
                Ok(Progress::Unavailable)
            }
            LogError::OffsetOutOfRange {
                partition,
                wanted,
                start,
            } => {
                self.begin_anew(&partition, wanted, start);
                self.assign_inputs()?;
                Ok(Progress::Busy)
            }
            fatal => Err(fatal),
        }
    }

    fn is_running(&self) -> bool {
        self.open.values().any(|open| open.window.is_running())
    }

    // --- the way back

    fn recover(&mut self) -> Result<(), LogError> {
        self.member.recover()?;
        self.results.clear();
        let partitions: Vec<_> = self
            .open
            .values()
            .map(|open| open.partition.clone())
            .collect();
        let committed = self.member.committed(&partitions)?;
        for (open, committed) in self.open.values_mut().zip(committed) {
            if let Some(committed) = committed {
                open.window.committed(committed.offset);
            }
        }
        self.assign_inputs()?;
        self.needs_recovery = false;
        Ok(())
    }

    /// Gives every partition up without a commit; another instance may have them already.
    fn lose_partitions(&mut self) {
        self.open.clear();
        self.results.clear();
        self.target = None;
        self.drain_until = None;
        self.needs_recovery = false;
        self.needs_seat = true;
    }

    /// Events were deleted before they were read, or their topic was made anew.
    fn begin_anew(&mut self, partition: &TopicPartition, wanted: Offset, start: Offset) {
        tracing::error!(%partition, wanted, start, "events are gone before they were read");
        metrics::counter!("effect_events_lost_total").increment(1);
        let Some(open) = self
            .open
            .values_mut()
            .find(|open| open.partition == *partition)
        else {
            return;
        };
        if start > wanted {
            open.window.skip_to(start);
        } else {
            open.window = Window::new(start);
            open.calls.abort_all();
            self.windows += 1;
            open.number = self.windows;
        }
    }

    // --- events

    fn fetch(&mut self, busy: bool) -> Result<bool, LogError> {
        let at_rest = !busy && self.open.values().all(|open| open.window.len() == 0);
        let wait = if at_rest {
            self.config.idle_wait
        } else {
            Duration::ZERO
        };
        let mut batches = std::mem::take(&mut self.fetched);
        self.member.fetch(wait, &mut batches)?;
        let mut fetched = false;
        for batch in batches.drain(..) {
            fetched |= !batch.is_empty();
            self.take_in(&batch);
            self.member.recycle(batch);
        }
        self.fetched = batches;
        self.balance()?;
        Ok(fetched)
    }

    fn take_in(&mut self, batch: &RecordBatch) {
        let mut open = self.open.values_mut();
        let Some(open) = open.find(|open| open.partition == batch.partition) else {
            return;
        };
        for record in batch.iter() {
            open.window.push(RawEvent::from(record));
        }
        open.window.skip_to(batch.position);
    }

    /// Pauses partitions whose windows are full, and resumes those that have room again.
    pub(super) fn balance(&mut self) -> Result<(), LogError> {
        let full = self.config.window.max(1);
        for open in self.open.values_mut() {
            let partition = std::slice::from_ref(&open.partition);
            let len = open.window.len();
            if !open.paused && len >= full {
                self.member.pause(partition)?;
                open.paused = true;
            } else if open.paused && len <= full / 2 {
                self.member.resume(partition)?;
                open.paused = false;
            }
        }
        Ok(())
    }

    // --- calls

    /// Starts what may run. False if what a serde needs does not answer.
    fn start_calls(&mut self) -> bool {
        let target = self.target.as_ref();
        let stays = |task| target.is_none_or(|assignment| assignment.active.contains(task));
        for (task, open) in self.open.iter_mut().filter(|(task, _)| stays(*task)) {
            // Calls that have ended are forgotten; they have sent what they came to.
            while open.calls.try_join_next().is_some() {}
            let Some(lane) = self.lanes.get_mut(task.subtopology as usize) else {
                continue;
            };
            while let Some(event) = open.window.start() {
                let limits = Arc::clone(&self.limits);
                let outcome = match lane.begin(&open.partition, &event, limits) {
                    Ok(call) => {
                        let finisher = self.finisher.clone();
                        let (task, window, offset) = (*task, open.number, event.offset);
                        let call = async move {
                            let outcome = call.await;
                            // Nobody listens any more when the worker is gone.
                            finisher
                                .send(Finished {
                                    task,
                                    window,
                                    offset,
                                    outcome,
                                })
                                .ok();
                        };
                        open.calls.spawn_on(call, &self.runtime);
                        continue;
                    }
                    Err(SerdeError::Unavailable { reason }) => {
                        tracing::warn!(reason, "serde unavailable");
                        open.window.put_back(event.offset);
                        return false;
                    }
                    Err(SerdeError::UnknownType { name }) => {
                        metrics::counter!("effect_skipped_total", "type" => name).increment(1);
                        Ok(Vec::new())
                    }
                    Err(error) => Err(GivenUp {
                        kind: "deserialize",
                        reason: error.to_string(),
                    }),
                };
                open.window.finish(event.offset, outcome);
            }
        }
        true
    }

    /// Takes in the calls that have ended; waits for the first, for `wait` at most.
    fn take_finished(&mut self, wait: Duration) -> bool {
        let first = if wait.is_zero() {
            self.finished.try_recv().ok()
        } else {
            self.finished.recv_timeout(wait).ok()
        };
        let mut next = first;
        let any = next.is_some();
        while let Some(finished) = next {
            let open = self.open.get_mut(&finished.task);
            if let Some(open) = open.filter(|open| open.number == finished.window) {
                open.window.finish(finished.offset, finished.outcome);
            }
            next = self.finished.try_recv().ok();
        }
        any
    }

    // --- commit

    fn commit_if_due(&mut self) -> Result<bool, LogError> {
        let now = self.clock.elapsed();
        let due = now.saturating_sub(self.last_commit) >= self.config.commit_interval;
        let any = self
            .open
            .values()
            .any(|open| open.window.done().next().is_some());
        if !due || !any {
            return Ok(false);
        }
        self.commit()?;
        Ok(true)
    }

    /// Commits the results of what is done, with the offsets behind it, in one transaction.
    pub(super) fn commit(&mut self) -> Result<(), LogError> {
        let mut offsets: Vec<(TopicPartition, CommittedOffset)> = Vec::new();
        for (task, open) in &self.open {
            let mut done = open.window.done().peekable();
            if done.peek().is_none() {
                continue;
            }
            for (event, outcome) in done {
                self.results
                    .write(task.subtopology, &open.partition, event, outcome);
            }
            let (offset, metadata) = (open.window.done_until(), String::new());
            offsets.push((open.partition.clone(), CommittedOffset { offset, metadata }));
        }
        if offsets.is_empty() {
            return Ok(());
        }
        self.needs_recovery = true;
        if !self.results.is_empty() {
            self.member.send(self.results.batch())?;
        }
        if let Err(error) = self.member.commit(&offsets) {
            metrics::counter!("effect_commit_failures_total").increment(1);
            tracing::warn!(application = %self.application, %error, "commit failed");
            if matches!(error, CommitError::Refused(_)) {
                return Err(LogError::Config(error.to_string()));
            }
            return self.recover();
        }
        self.needs_recovery = false;
        for (partition, committed) in offsets {
            if let Some(open) = self
                .open
                .values_mut()
                .find(|open| open.partition == partition)
            {
                open.window.committed(committed.offset);
            }
        }
        self.last_commit = self.clock.elapsed();
        Ok(())
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("application", &self.application)
            .field("open", &self.open)
            .field("needs_recovery", &self.needs_recovery)
            .field("needs_seat", &self.needs_seat)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// A group whose tasks are the partitions of the inputs; nothing is stored.
fn seat(
    application: &Arc<str>,
    instance: &str,
    inputs: &[Arc<str>],
    config: &EffectsConfig,
) -> Seat {
    let subtopologies = inputs.iter().map(|input| SubtopologyMetadata {
        sources: vec![Arc::clone(input)],
        ..SubtopologyMetadata::default()
    });
    Seat {
        application: Arc::clone(application),
        process_id: instance.to_owned(),
        member_id: format!("{application}-{instance}"),
        endpoint: None,
        topology: Arc::new(TopologyMetadata {
            subtopologies: subtopologies.collect(),
        }),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: config.fetch_bytes_max,
        transaction_timeout: config.transaction_timeout,
    }
}

//! How a stream thread comes to its tasks: the assignment, restore, and the way back.

use std::time::Duration;

use millrace_state::Error as StateError;

use super::StreamThread;
use crate::error::Error;
use crate::log::{
    Assignment, CommittedOffset, HeldTasks, LogError, Offset, OffsetReset, TaskId, TopicPartition,
};
use crate::runtime::changelogs::Changelogs;
use crate::runtime::restore::Restoring;
use crate::runtime::shared::{Begin, OpeningTask};
use crate::topology::{Instance, Places};

/// The pause before stores that were still open are looked at again.
const STORES_PAUSE: Duration = Duration::from_millis(10);
/// The pause before tasks are restored on, after something did not answer.
const RESTORE_PAUSE: Duration = Duration::from_millis(500);

/// An assignment that is not followed to its end yet.
#[derive(Debug)]
pub(super) struct Target {
    assignment: Assignment,
    /// When to go on with it.
    again_at: Duration,
    /// True if the group was told how far it is followed.
    is_told: bool,
}

impl Target {
    fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            again_at: Duration::ZERO,
            is_told: false,
        }
    }
}

/// How far an assignment is followed.
pub(super) struct Followed {
    /// True if a task was opened.
    some: bool,
    /// True if none is left to open.
    all: bool,
}

/// What a round for the tasks that do not run yet came to.
struct Round {
    busy: bool,
    ready: Vec<Ready>,
}

/// A task that can run.
struct Ready {
    id: TaskId,
    begin: Begin,
    places: Places,
    instance: Instance,
}

impl StreamThread {
    pub(super) fn follow_assignment(&mut self) -> Result<bool, Error> {
        if let Some(assignment) = self.member.poll_assignment()? {
            tracing::info!(
                application = %self.shared.application,
                epoch = assignment.epoch,
                active = assignment.active.len(),
                standby = assignment.standby.len(),
                "assignment"
            );
            self.target = Some(Target::new(assignment));
        }
        let now = self.shared.moment().elapsed;
        let Some(target) = self.target.take_if(|target| target.again_at <= now) else {
            return Ok(false);
        };
        let followed = self.follow(&target);
        match followed {
            Ok(Followed { all: true, .. }) => self.has_assignment = true,
            Ok(Followed { all: false, .. }) => {
                let (again_at, is_told) = (now + STORES_PAUSE, true);
                self.target = Some(Target {
                    again_at,
                    is_told,
                    ..target
                });
            }
            Err(_) => self.target = Some(target),
        }
        Ok(followed?.some)
    }

    fn follow(&mut self, target: &Target) -> Result<Followed, Error> {
        let assignment = &target.assignment;
        let stays = |id: TaskId| assignment.active.contains(&id);
        if self.running.keys().any(|id| !stays(*id)) {
            self.commit(self.shared.moment())?;
        }
        self.demote(assignment)?;
        let held = |id: TaskId| stays(id) || assignment.standby.contains(&id);
        self.close_tasks(|id| !held(id))?;
        let followed = self.open_tasks(assignment)?;
        if followed.some || !target.is_told {
            self.assign_inputs()?;
            self.assign_changelogs()?;
            self.member.confirm(&self.held())?;
        }
        Ok(followed)
    }

    /// Turns running tasks that stay here as standbys into standbys.
    pub(super) fn demote(&mut self, assignment: &Assignment) -> Result<(), Error> {
        for id in &assignment.standby {
            if let Some(task) = self.running.remove(id) {
                self.shared.unregister(*id, task.stores());
                self.restoring
                    .insert(*id, Restoring::new(*id, false, task.into_stores()));
            } else if let Some(restoring) = self.restoring.get_mut(id) {
                restoring.active = false;
            }
        }
        Ok(())
    }

    /// Opens what is assigned and not held yet, but for tasks whose stores are still open: another
    /// thread of the process has lost the task and does not know it yet.
    pub(super) fn open_tasks(&mut self, assignment: &Assignment) -> Result<Followed, Error> {
        let mut followed = Followed {
            some: false,
            all: true,
        };
        let active = assignment.active.iter().map(|id| (*id, true));
        let standby = assignment.standby.iter().map(|id| (*id, false));
        for (id, active) in active.chain(standby) {
            if self.running.contains_key(&id) {
                continue;
            }
            if let Some(restoring) = self.restoring.get_mut(&id) {
                // A standby takes over: what it has followed so far stays.
                restoring.promote(active);
                continue;
            }
            let stores = match self.shared.open_stores(id, &mut self.outputs) {
                Err(Error::State(error)) if matches!(*error, StateError::StoreOpen { .. }) => {
                    tracing::debug!(task = %id, %error, "task waits for its stores");
                    followed.all = false;
                    continue;
                }
                stores => stores?,
            };
            followed.some = true;
            self.restoring
                .insert(id, Restoring::new(id, active, stores));
        }
        Ok(followed)
    }

    pub(super) fn close_tasks(&mut self, closes: impl Fn(TaskId) -> bool) -> Result<(), Error> {
        let ids: Vec<TaskId> = self
            .running
            .keys()
            .chain(self.restoring.keys())
            .copied()
            .filter(|id| closes(*id))
            .collect();
        for id in ids {
            let stores = match (self.running.remove(&id), self.restoring.remove(&id)) {
                (Some(task), _) => {
                    self.shared.unregister(id, task.stores());
                    task.into_stores()
                }
                (None, Some(restoring)) => restoring.into_stores(),
                (None, None) => continue,
            };
            for store in stores {
                store.into_store().close()?;
            }
        }
        Ok(())
    }

    pub(super) fn held(&self) -> HeldTasks {
        let restoring = |active| {
            let of_kind = self
                .restoring
                .values()
                .filter(move |task| task.active == active);
            of_kind.map(|task| task.id)
        };
        HeldTasks {
            active: self
                .running
                .keys()
                .copied()
                .chain(restoring(true))
                .collect(),
            standby: restoring(false).collect(),
        }
    }

    /// Fetches the inputs of the running tasks, from where each has come to.
    pub(super) fn assign_inputs(&mut self) -> Result<(), Error> {
        let tasks = self.running.values();
        let positions: Vec<_> = tasks.flat_map(|task| task.inputs().positions()).collect();
        self.member.assign(&positions)?;
        let paused: Vec<TopicPartition> = self
            .running
            .values()
            .flat_map(|task| task.inputs().paused().cloned())
            .collect();
        if !paused.is_empty() {
            self.member.pause(&paused)?;
        }
        Ok(())
    }

    pub(super) fn assign_changelogs(&mut self) -> Result<(), Error> {
        let tasks = self.restoring.values().filter(|task| task.has_begun());
        let positions: Vec<_> = tasks.flat_map(Restoring::positions).collect();
        Ok(self.reader.assign(&positions)?)
    }

    /// One round for the tasks that do not run yet. If the log, or what a serde needs, does not
    /// answer, they wait, and the running tasks go on.
    pub(super) fn restore(&mut self) -> Result<bool, Error> {
        let now = self.shared.moment().elapsed;
        if self.restoring.is_empty() || now < self.restore_at {
            return Ok(false);
        }
        let ready = match self.restore_round(now) {
            Ok(Round { busy, ready }) if ready.is_empty() => return Ok(busy),
            Ok(round) => round.ready,
            Err(error) => {
                let Some(reason) = error.unavailable() else {
                    return Err(error);
                };
                tracing::warn!(%reason, "tasks wait to be restored");
                self.restore_at = now + RESTORE_PAUSE;
                return Ok(false);
            }
        };
        for task in ready {
            self.activate(task)?;
        }
        self.assign_inputs()?;
        self.assign_changelogs()?;
        Ok(true)
    }

    fn restore_round(&mut self, now: Duration) -> Result<Round, Error> {
        self.settle_tasks(now)?;
        self.begin_restores(now)?;
        let busy = self.apply_changelogs()?;
        let ready = self.ready_tasks(now)?;
        Ok(Round { busy, ready })
    }

    /// The restoring tasks that fit.
    fn restoring_where(&self, fits: impl Fn(&Restoring) -> bool) -> Vec<TaskId> {
        let tasks = self.restoring.values().filter(|task| fits(task));
        tasks.map(|task| task.id).collect()
    }

    /// Waits for commits that former owners have under way. The other tasks go on meanwhile.
    fn settle_tasks(&mut self, now: Duration) -> Result<(), Error> {
        let waiting = self.restoring_where(|task| task.active && !task.is_settled);
        for tasks in self.settling.groups(waiting, now) {
            let inputs = self.inputs_of(&tasks).concat();
            if self.member.poll_committed(&inputs)?.is_none() {
                continue;
            }
            for id in tasks {
                if let Some(task) = self.restoring.get_mut(&id) {
                    task.is_settled = true;
                }
            }
        }
        Ok(())
    }

    /// Finds out how far each changelog goes, once everything that counts is in front of its end.
    fn begin_restores(&mut self, now: Duration) -> Result<(), Error> {
        let waiting =
            self.restoring_where(|task| !task.has_begun() && (task.is_settled || !task.active));
        let mut began = false;
        for tasks in self.beginning.groups(waiting, now) {
            began |= self.begin_some(&tasks)?;
        }
        if began {
            self.assign_changelogs()?;
        }
        Ok(())
    }

    /// False if the ends are not known yet.
    fn begin_some(&mut self, tasks: &[TaskId]) -> Result<bool, Error> {
        let restoring = tasks.iter().filter_map(|id| self.restoring.get(id));
        let changelogs: Vec<_> = restoring.flat_map(Restoring::changelogs).collect();
        let Some(bounds) = self.reader.poll_bounds(&changelogs)? else {
            return Ok(false);
        };
        let mut bounds = bounds.into_iter();
        let now = Changelogs::look(&*self.shared.log, self.shared.moment().wall_clock)?;
        for id in tasks {
            if let Some(task) = self.restoring.get_mut(id) {
                let own: Vec<_> = bounds.by_ref().take(task.changelogs().len()).collect();
                task.begin(&own, &now)?;
            }
        }
        Ok(true)
    }

    /// The tasks that are restored, have nothing to wait for, and know where they begin.
    fn ready_tasks(&mut self, now: Duration) -> Result<Vec<Ready>, Error> {
        let waiting = self.restoring_where(|task| {
            let held = self.failures.hold(now) || self.panics.holds(task.id, now);
            task.active && task.is_restored() && !held
        });
        let mut ready = Vec::new();
        for tasks in self.activating.groups(waiting, now) {
            for (id, begin) in self.begins(&tasks)?.into_iter().flatten() {
                ready.push(self.prepare(id, begin)?);
            }
        }
        Ok(ready)
    }

    /// The input partitions of each of these tasks.
    fn inputs_of(&self, tasks: &[TaskId]) -> Vec<Vec<TopicPartition>> {
        let inputs = tasks.iter().map(|id| self.shared.input_partitions(*id));
        inputs.collect()
    }

    pub(super) fn apply_changelogs(&mut self) -> Result<bool, Error> {
        if self
            .restoring
            .values()
            .all(|task| task.active && task.is_restored())
        {
            return Ok(false);
        }
        let mut batches = std::mem::take(&mut self.fetched);
        match self.reader.fetch(Duration::ZERO, &mut batches) {
            Ok(()) => {}
            Err(LogError::OffsetOutOfRange { partition, .. }) => {
                // The changelog was cut off under a follower: it begins again from the start.
                for task in self.restoring.values_mut() {
                    task.restart(&partition);
                }
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        }
        let busy = !batches.is_empty();
        let now = self.shared.moment().elapsed;
        for batch in batches.drain(..) {
            for task in self.restoring.values_mut() {
                if task.apply(&batch, now)? {
                    break;
                }
            }
        }
        self.fetched = batches;
        Ok(busy)
    }

    /// Where each of these tasks begins, once that is known. The ends of partitions are asked for
    /// where nothing is committed only: that may take as long as a fetch that waits for records.
    fn begins(&mut self, tasks: &[TaskId]) -> Result<Option<Vec<(TaskId, Begin)>>, Error> {
        let inputs = self.inputs_of(tasks);
        if !self.know_committed(tasks, &inputs)? {
            return Ok(None);
        }
        let fresh = self.fresh(tasks, &inputs);
        let bounds = if fresh.is_empty() {
            Vec::new()
        } else {
            let Some(bounds) = self.member.poll_bounds(&fresh)? else {
                return Ok(None);
            };
            bounds
        };
        let mut resets = bounds.into_iter().map(|b| self.shared.reset_offset(b));
        let mut begins = Vec::new();
        for (id, inputs) in tasks.iter().zip(inputs) {
            let task = self.restoring.get_mut(id);
            let committed = task.and_then(|task| task.committed.take());
            let committed = committed.unwrap_or_default();
            begins.push((*id, self.begin(inputs, committed, &mut resets)));
        }
        Ok(Some(begins))
    }

    /// The inputs for which nothing is committed.
    fn fresh(&self, tasks: &[TaskId], inputs: &[Vec<TopicPartition>]) -> Vec<TopicPartition> {
        let mut fresh = Vec::new();
        for (id, inputs) in tasks.iter().zip(inputs) {
            let committed = self.restoring.get(id).and_then(|t| t.committed.as_ref());
            let pairs = inputs.iter().zip(committed.into_iter().flatten());
            fresh.extend(pairs.filter(|(_, at)| at.is_none()).map(|(p, _)| p.clone()));
        }
        fresh
    }

    /// Makes sure that what is committed for these tasks is known; false if it is not yet.
    fn know_committed(
        &mut self,
        tasks: &[TaskId],
        inputs: &[Vec<TopicPartition>],
    ) -> Result<bool, Error> {
        let knows = |id: &TaskId| {
            self.restoring
                .get(id)
                .is_some_and(|task| task.committed.is_some())
        };
        if tasks.iter().all(knows) {
            return Ok(true);
        }
        let Some(committed) = self.member.poll_committed(&inputs.concat())? else {
            return Ok(false);
        };
        let mut committed = committed.into_iter();
        for (id, inputs) in tasks.iter().zip(inputs) {
            let own = committed.by_ref().take(inputs.len()).collect();
            if let Some(task) = self.restoring.get_mut(id) {
                task.committed = Some(own);
            }
        }
        Ok(true)
    }

    /// Makes the operators of a restored task. Until it is activated, it stays among the restoring
    /// ones, to be tried again.
    fn prepare(&mut self, id: TaskId, begin: Begin) -> Result<Ready, Error> {
        let places = self.shared.places()?;
        let instance = self.shared.build(id, &places, &mut self.outputs)?;
        Ok(Ready {
            id,
            begin,
            places,
            instance,
        })
    }

    /// Makes a restored task run.
    fn activate(&mut self, ready: Ready) -> Result<(), Error> {
        let Ready {
            id,
            begin,
            places,
            instance,
        } = ready;
        let Some(restoring) = self.restoring.remove(&id) else {
            return Ok(());
        };
        let replayed = restoring.replayed();
        let opening = OpeningTask {
            id,
            instance,
            stores: restoring.into_stores(),
            globals: self.globals.clone(),
            begin,
            wall_clock: self.shared.moment().wall_clock,
        };
        let mut task = self.shared.open_task(opening, &places, &mut self.outputs);
        self.panics.tell(&mut task);
        self.shared.register(id, task.stores());
        // It is among the running ones before code of the topology is called: the way back finds it.
        let task = self.running.entry(id).or_insert(task);
        task.init(&mut self.outputs)?;
        tracing::info!(application = %self.shared.application, task = %id, replayed, "task runs");
        Ok(())
    }

    /// Where to begin in each partition: at the committed offset, or at the next of `resets`.
    fn begin(
        &self,
        partitions: Vec<TopicPartition>,
        committed: Vec<Option<CommittedOffset>>,
        resets: &mut impl Iterator<Item = Offset>,
    ) -> Begin {
        let mut begin = Begin::default();
        for (partition, committed) in partitions.into_iter().zip(committed) {
            let offset = committed.or_else(|| {
                begin.at_latest |= self.shared.config.offset_reset == OffsetReset::Latest;
                let (offset, metadata) = (resets.next()?, String::new());
                Some(CommittedOffset { offset, metadata })
            });
            begin
                .offsets
                .extend(offset.map(|offset| (partition, offset)));
        }
        begin
    }
}

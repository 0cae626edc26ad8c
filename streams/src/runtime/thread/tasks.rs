//! How a stream thread comes to its tasks: the assignment, restore, and the way back.

use std::time::Duration;

use millrace_state::Error as StateError;

use super::StreamThread;
use crate::error::Error;
use crate::log::{Assignment, CommittedOffset, HeldTasks, LogError, TaskId, TopicPartition};
use crate::runtime::changelogs::Changelogs;
use crate::runtime::restore::Restoring;
use crate::runtime::shared::OpeningTask;

/// Where a task begins in each of its inputs.
type Begin = Vec<(TopicPartition, CommittedOffset)>;

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
            self.target = Some(assignment);
        }
        let Some(assignment) = self.target.clone() else {
            return Ok(false);
        };
        let stays = |id: TaskId| assignment.active.contains(&id);
        if self.running.keys().any(|id| !stays(*id)) {
            self.commit(self.shared.moment())?;
        }
        self.demote(&assignment)?;
        let held = |id: TaskId| stays(id) || assignment.standby.contains(&id);
        self.close_tasks(|id| !held(id))?;
        let opened = self.open_tasks(&assignment)?;
        self.assign_inputs()?;
        self.assign_changelogs()?;
        if opened {
            self.member.confirm(&self.held())?;
            self.target = None;
            self.has_assignment = true;
        }
        Ok(opened)
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

    /// Opens what is assigned and not held yet. False if the stores of a task are still open: another
    /// thread of the process has lost the task and does not know it yet. Such a task is opened later.
    pub(super) fn open_tasks(&mut self, assignment: &Assignment) -> Result<bool, Error> {
        let mut opened = true;
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
                    opened = false;
                    continue;
                }
                stores => stores?,
            };
            self.restoring
                .insert(id, Restoring::new(id, active, stores));
        }
        Ok(opened)
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

    pub(super) fn restore(&mut self) -> Result<bool, Error> {
        if self.restoring.is_empty() {
            return Ok(false);
        }
        self.begin_restores()?;
        let busy = self.apply_changelogs()?;
        let now = self.shared.moment().elapsed;
        let runs = |task: &&Restoring| {
            let held = self.failures.hold(now) || self.panics.holds(task.id, now);
            task.active && task.is_restored() && !held
        };
        let tasks = self.restoring.values().filter(runs);
        let restored: Vec<TaskId> = tasks.map(|task| task.id).collect();
        if restored.is_empty() {
            return Ok(busy);
        }
        let Some(begins) = self.begins(restored)? else {
            return Ok(busy);
        };
        for (id, begin) in begins {
            self.activate(id, begin)?;
        }
        self.assign_inputs()?;
        self.assign_changelogs()?;
        Ok(true)
    }

    /// Finds out how far each changelog goes. The committed offsets are read first: that waits for
    /// a commit that the task's owner before this one has under way, so that the end is behind it.
    /// The other tasks go on meanwhile.
    pub(super) fn begin_restores(&mut self) -> Result<(), Error> {
        let waiting: Vec<TaskId> = self
            .restoring
            .values()
            .filter(|task| !task.has_begun())
            .map(|task| task.id)
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        // One question for all tasks: each may wait behind a fetch that is under way.
        let inputs = self.inputs_of(&waiting);
        if self.member.poll_committed(&inputs)?.is_none() {
            return Ok(());
        }
        let waits = |task: &&mut Restoring| waiting.contains(&task.id);
        let tasks = self
            .restoring
            .values()
            .filter(|task| waiting.contains(&task.id));
        let changelogs: Vec<_> = tasks.flat_map(Restoring::changelogs).collect();
        let mut bounds = self.reader.bounds(&changelogs)?.into_iter();
        let now = Changelogs::look(&*self.shared.log, self.shared.moment().wall_clock)?;
        for task in self.restoring.values_mut().filter(waits) {
            let own: Vec<_> = bounds.by_ref().take(task.changelogs().len()).collect();
            task.begin(&own, &now)?;
        }
        self.assign_changelogs()
    }

    fn inputs_of(&self, tasks: &[TaskId]) -> Vec<TopicPartition> {
        let inputs = tasks.iter().map(|id| self.shared.input_partitions(*id));
        inputs.flatten().collect()
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

    /// Where each of these tasks begins, once that is known. One question for all of them, as with
    /// their changelogs.
    fn begins(&mut self, tasks: Vec<TaskId>) -> Result<Option<Vec<(TaskId, Begin)>>, Error> {
        let partitions = self.inputs_of(&tasks);
        let Some(committed) = self.member.poll_committed(&partitions)? else {
            return Ok(None);
        };
        let mut begin = self.begin_offsets(&partitions, committed)?.into_iter();
        let own = |id| {
            let inputs = self.shared.input_partitions(id).len();
            (id, begin.by_ref().take(inputs).collect())
        };
        Ok(Some(tasks.into_iter().map(own).collect()))
    }

    /// Makes a restored task run. What the log may refuse, and code of the topology that may panic,
    /// come first: until then the task stays among the restoring ones, to be tried again.
    pub(super) fn activate(&mut self, id: TaskId, begin: Begin) -> Result<(), Error> {
        let places = self.shared.places()?;
        let instance = self.shared.build(id, &places, &mut self.outputs)?;
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

    /// Where to begin in each partition: at the committed offset, or as the reset policy says.
    pub(super) fn begin_offsets(
        &mut self,
        partitions: &[TopicPartition],
        committed: Vec<Option<CommittedOffset>>,
    ) -> Result<Begin, Error> {
        let bounds = self.member.bounds(partitions)?;
        let mut begin = Vec::with_capacity(partitions.len());
        for ((partition, committed), bounds) in partitions.iter().zip(committed).zip(bounds) {
            let offset = match committed {
                Some(committed) if committed.offset < bounds.start => {
                    return Err(LogError::OffsetOutOfRange {
                        partition: partition.clone(),
                        wanted: committed.offset,
                        start: bounds.start,
                    }
                    .into());
                }
                Some(committed) => committed,
                None => CommittedOffset {
                    offset: self.shared.reset_offset(bounds),
                    metadata: String::new(),
                },
            };
            begin.push((partition.clone(), offset));
        }
        Ok(begin)
    }
}

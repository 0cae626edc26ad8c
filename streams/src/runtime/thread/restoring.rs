//! How the tasks that a stream thread was given come to run: restored, one beside the other.

use std::time::Duration;

use super::StreamThread;
use crate::error::Error;
use crate::log::{LogError, OffsetReset, TaskId, TopicPartition};
use crate::runtime::changelogs::Changelogs;
use crate::runtime::restore::Restoring;
use crate::runtime::shared::{Begin, OpeningTask};
use crate::topology::{Instance, Places};

/// The pause before tasks are restored on, after something did not answer.
const RESTORE_PAUSE: Duration = Duration::from_millis(500);

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
            // What an operator looks up as it begins must be there.
            let waits = !self.epoch.is_whole() || self.failures.hold(now);
            let held = waits || self.panics.holds(task.id, now);
            task.active && task.is_restored() && !held
        });
        let mut ready = Vec::new();
        for tasks in self.activating.groups(waiting, now) {
            for (id, begin) in self.begins(&tasks)?.into_iter().flatten() {
                match self.prepare(id, begin) {
                    Ok(task) => ready.push(task),
                    // The others do not wait for it.
                    Err(error) => match error.unavailable() {
                        Some(reason) => self.put_off(id, reason),
                        None => return Err(error),
                    },
                }
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
        if !self.know_committed(tasks)? {
            return Ok(None);
        }
        let restoring = tasks.iter().filter_map(|id| self.restoring.get(id));
        let fresh: Vec<_> = restoring.flat_map(Restoring::fresh_inputs).collect();
        let bounds = if fresh.is_empty() {
            Vec::new()
        } else {
            let Some(bounds) = self.member.poll_bounds(&fresh)? else {
                return Ok(None);
            };
            bounds
        };
        let mut resets = bounds.into_iter().map(|b| self.shared.reset_offset(b));
        let latest = self.shared.config.offset_reset == OffsetReset::Latest;
        let mut begins = Vec::new();
        for id in tasks {
            if let Some(task) = self.restoring.get_mut(id) {
                let fresh = task.fresh_inputs().next().is_some();
                let offsets = task.take_offsets(&mut resets);
                let at_latest = latest && fresh;
                begins.push((*id, Begin { offsets, at_latest }));
            }
        }
        Ok(Some(begins))
    }

    /// Makes sure that what is committed for these tasks is known; false if it is not yet.
    fn know_committed(&mut self, tasks: &[TaskId]) -> Result<bool, Error> {
        let mut restoring = tasks.iter().filter_map(|id| self.restoring.get(id));
        if restoring.all(|task| task.committed.is_some()) {
            return Ok(true);
        }
        let inputs = self.inputs_of(tasks);
        let Some(committed) = self.member.poll_committed(&inputs.concat())? else {
            return Ok(false);
        };
        let mut committed = committed.into_iter();
        for (id, inputs) in tasks.iter().zip(inputs) {
            let own = committed.by_ref().take(inputs.len());
            let own = inputs.into_iter().zip(own).collect();
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
}

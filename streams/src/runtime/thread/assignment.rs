//! How a stream thread follows its assignment: tasks that come, go, and change their role.

use std::time::Duration;

use millrace_state::Error as StateError;

use super::StreamThread;
use crate::error::Error;
use crate::log::{Assignment, HeldTasks, TaskId, TopicPartition};
use crate::runtime::restore::Restoring;

/// The pause before stores that were still open are looked at again.
const STORES_PAUSE: Duration = Duration::from_millis(10);

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
}

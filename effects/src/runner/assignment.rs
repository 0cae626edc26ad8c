//! Following the group's assignment: partitions that come, and partitions that go to others.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_streams::log::{Assignment, HeldTasks, LogError, TaskId, TopicPartition};
use tokio::task::JoinSet;

use super::window::Window;
use super::worker::{Open, Worker};

impl Worker {
    pub(super) fn follow_assignment(&mut self) -> Result<(), LogError> {
        if let Some(assignment) = self.member.poll_assignment()? {
            tracing::info!(
                application = %self.application,
                epoch = assignment.epoch,
                partitions = assignment.active.len(),
                "assignment"
            );
            self.target = Some(assignment);
        }
        let Some(assignment) = self.target.clone() else {
            return Ok(());
        };
        if !self.has_let_go(&assignment)? {
            return Ok(());
        }
        self.drain_until = None;
        self.open.retain(|task, _| assignment.active.contains(task));
        if !self.open_partitions(&assignment)? {
            return Ok(());
        }
        self.assign_inputs()?;
        let active = self.open.keys().copied().collect();
        self.member.confirm(&HeldTasks {
            active,
            standby: Vec::new(),
        })?;
        self.target = None;
        Ok(())
    }

    /// True when what the assignment takes away is done and committed, or its time is over.
    fn has_let_go(&mut self, assignment: &Assignment) -> Result<bool, LogError> {
        let now = self.clock.elapsed();
        let until = *self.drain_until.get_or_insert(now + self.config.drain);
        let leaving = |open: &BTreeMap<TaskId, Open>, holds: fn(&Open) -> bool| {
            let mut leaving = open
                .iter()
                .filter(|(task, _)| !assignment.active.contains(task));
            leaving.any(|(_, open)| holds(open))
        };
        if leaving(&self.open, |open| open.window.is_running()) && now < until {
            return Ok(false);
        }
        if leaving(&self.open, |open| open.window.done().next().is_some()) {
            self.commit()?;
        }
        let uncommitted = leaving(&self.open, |open| open.window.done().next().is_some());
        Ok(!uncommitted || now >= until)
    }

    /// Opens what the assignment brings, from where its last owner has come to. False while that is
    /// not known: a commit may be under way. The other partitions go on meanwhile.
    fn open_partitions(&mut self, assignment: &Assignment) -> Result<bool, LogError> {
        let new = assignment
            .active
            .iter()
            .filter(|task| !self.open.contains_key(task));
        let new: Vec<TaskId> = new.copied().collect();
        let partitions: Result<Vec<_>, _> = new.iter().map(|task| self.partition(*task)).collect();
        let partitions = partitions?;
        let Some(committed) = self.member.poll_committed(&partitions)? else {
            return Ok(false);
        };
        let bounds = self.member.bounds(&partitions)?;
        for (((task, partition), committed), bounds) in
            new.into_iter().zip(partitions).zip(committed).zip(bounds)
        {
            let position = committed.map_or(bounds.start, |committed| committed.offset);
            self.windows += 1;
            let open = Open {
                number: self.windows,
                partition,
                window: Window::new(position),
                paused: false,
                calls: JoinSet::new(),
            };
            self.open.insert(task, open);
        }
        Ok(true)
    }

    fn partition(&self, task: TaskId) -> Result<TopicPartition, LogError> {
        let topic = self.inputs.get(task.subtopology as usize).ok_or_else(|| {
            let text = format!("the group assigns `{task}`, which this instance does not know");
            LogError::Config(text)
        })?;
        Ok(TopicPartition::new(Arc::clone(topic), task.partition))
    }

    pub(super) fn assign_inputs(&mut self) -> Result<(), LogError> {
        let open = self.open.values_mut();
        let positions: Vec<_> = open
            .map(|open| {
                open.paused = false;
                (open.partition.clone(), open.window.position())
            })
            .collect();
        self.member.assign(&positions)?;
        self.balance()
    }
}

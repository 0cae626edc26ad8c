//! The group coordinator of a simulated cluster, after Kafka's Streams group protocol.
//!
//! The group has an epoch and a target assignment. Each member walks towards its target on its own
//! heartbeats: first it gives up what is no longer its own, and stays at its old epoch until it has
//! confirmed; then it moves to the group's epoch, and gets what is free. So a task has never two
//! owners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::assignor::{Targets, Tasks, assign};
use super::resolve::Resolved;
use super::rng::Rng;
use crate::log::{Assignment, HeldTasks, TaskId, TopicPartition, TopologyMetadata};

/// A seat in the group.
#[derive(Debug)]
struct GroupMember {
    incarnation: u64,
    process: String,
    epoch: i32,
    /// When it was heard of last.
    seen: Duration,
    /// What it may hold and keep.
    assigned: Tasks,
    /// What it has been told to give up, and has not confirmed.
    revoking: Tasks,
    /// Since which epoch an active task is its own.
    owned_since: BTreeMap<TaskId, i32>,
}

/// The members of one application, and who shall have which task.
#[derive(Debug, Default)]
pub(super) struct Group {
    epoch: i32,
    topology: Arc<TopologyMetadata>,
    tasks: BTreeSet<TaskId>,
    /// The version of the topics that `tasks` was counted from.
    counted_at: Option<u64>,
    members: BTreeMap<String, GroupMember>,
    targets: Targets,
    standby_replicas: usize,
}

impl Group {
    pub(super) fn new(standby_replicas: usize) -> Self {
        Self {
            standby_replicas,
            ..Self::default()
        }
    }

    pub(super) fn topology(&self) -> Arc<TopologyMetadata> {
        Arc::clone(&self.topology)
    }

    /// Takes a member in. One that is there already keeps its tasks; but it starts with empty
    /// hands, so that what it had to give up is free.
    ///
    /// # Errors
    /// When the others run another topology.
    pub(super) fn join(&mut self, seat: JoiningSeat<'_>) -> Result<(), String> {
        let others = self.members.keys().any(|id| id != seat.member_id);
        if others && self.topology != *seat.topology {
            return Err("the group's members run another topology: stop them first".to_owned());
        }
        if self.topology != *seat.topology {
            self.topology = Arc::clone(seat.topology);
            self.counted_at = None;
        }
        match self.members.get_mut(seat.member_id) {
            Some(member) if member.process == seat.process => {
                member.incarnation = seat.incarnation;
                member.seen = seat.now;
                member.release_revoked();
            }
            _ => self.take_in(&seat),
        }
        Ok(())
    }

    fn take_in(&mut self, seat: &JoiningSeat<'_>) {
        let member = GroupMember {
            incarnation: seat.incarnation,
            process: seat.process.to_owned(),
            epoch: 0,
            seen: seat.now,
            assigned: Tasks::default(),
            revoking: Tasks::default(),
            owned_since: BTreeMap::new(),
        };
        self.members.insert(seat.member_id.to_owned(), member);
        self.retarget();
    }

    /// True if this incarnation of the member has its seat.
    pub(super) fn seats(&self, member_id: &str, incarnation: u64) -> bool {
        let member = self.members.get(member_id);
        member.is_some_and(|member| member.incarnation == incarnation)
    }

    /// Removes a member; its tasks are free at once. False if it was not there.
    pub(super) fn remove(&mut self, member_id: &str) -> bool {
        let removed = self.members.remove(member_id).is_some();
        if removed {
            self.retarget();
        }
        removed
    }

    /// Removes the members that were not heard of for `timeout`; how many.
    pub(super) fn expire(&mut self, now: Duration, timeout: Duration) -> u64 {
        let before = self.members.len();
        self.members
            .retain(|_, member| now.saturating_sub(member.seen) <= timeout);
        let expired = before - self.members.len();
        if expired > 0 {
            self.retarget();
        }
        expired as u64
    }

    /// True if the tasks have to be counted again: the topology or the topics have changed.
    pub(super) fn needs_counting(&self, topics_version: u64) -> bool {
        self.counted_at != Some(topics_version)
    }

    /// Takes new counts over.
    pub(super) fn count(&mut self, resolved: &Resolved, topics_version: u64) {
        self.counted_at = Some(topics_version);
        let tasks = tasks_of(resolved);
        if tasks != self.tasks {
            self.tasks = tasks;
            self.retarget();
        }
    }

    fn retarget(&mut self) {
        self.epoch += 1;
        let process = |(id, member): (&String, &GroupMember)| (id.clone(), member.process.clone());
        let processes = self.members.iter().map(process).collect();
        self.targets = assign(
            &self.tasks,
            &processes,
            &self.targets,
            self.standby_replicas,
        );
    }

    /// Moves one task to another member without need. Its standbys are given up with it.
    pub(super) fn shuffle(&mut self, rng: &mut Rng) {
        self.epoch += 1;
        let owners = self.targets.iter();
        let owned: Vec<(String, TaskId)> = owners
            .flat_map(|(id, tasks)| tasks.active.iter().map(|task| (id.clone(), *task)))
            .collect();
        let Some((from, task)) = owned.get(rng.below(owned.len())) else {
            return;
        };
        let others: Vec<String> = self
            .targets
            .keys()
            .filter(|id| *id != from)
            .cloned()
            .collect();
        let Some(to) = others.get(rng.below(others.len())) else {
            return;
        };
        for tasks in self.targets.values_mut() {
            tasks.active.remove(task);
            tasks.standby.remove(task);
        }
        if let Some(tasks) = self.targets.get_mut(to) {
            tasks.active.insert(*task);
        }
    }

    /// A heartbeat: `held` when the member has something to confirm. Answers what it may hold.
    pub(super) fn heartbeat(
        &mut self,
        member_id: &str,
        held: Option<&HeldTasks>,
        now: Duration,
    ) -> Option<Assignment> {
        let member = self.members.get_mut(member_id)?;
        member.seen = now;
        if held.is_some_and(|held| member.has_given_up(held)) {
            member.release_revoked();
        }
        self.reconcile(member_id);
        self.members.get(member_id).map(GroupMember::assignment)
    }

    fn reconcile(&mut self, member_id: &str) {
        let target = self.targets.get(member_id).cloned().unwrap_or_default();
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        if !member.revoking.is_empty() || member.must_revoke(&target) {
            return;
        }
        let active = self.free_active(member_id, &target);
        let standby = self.free_standby(member_id, &target);
        let epoch = self.epoch;
        if let Some(member) = self.members.get_mut(member_id) {
            member.epoch = epoch;
            member
                .owned_since
                .extend(active.iter().map(|task| (*task, epoch)));
            member.assigned.active.extend(active);
            member.assigned.standby.extend(standby);
        }
    }

    /// Active tasks of the target that no other member holds, nor a copy of them its own process.
    fn free_active(&self, member_id: &str, target: &Tasks) -> BTreeSet<TaskId> {
        let taken = |task: &TaskId| {
            self.others(member_id).any(|(other, same_process)| {
                other.holds_active(*task) || (same_process && other.holds_standby(*task))
            })
        };
        let free = target.active.iter().filter(|task| !taken(task));
        free.copied().collect()
    }

    /// Standby tasks of the target of which its own process has no other copy.
    fn free_standby(&self, member_id: &str, target: &Tasks) -> BTreeSet<TaskId> {
        let taken = |task: &TaskId| {
            self.others(member_id).any(|(other, same_process)| {
                same_process && (other.holds_active(*task) || other.holds_standby(*task))
            })
        };
        let free = target.standby.iter().filter(|task| !taken(task));
        free.copied().collect()
    }

    fn others(&self, member_id: &str) -> impl Iterator<Item = (&GroupMember, bool)> {
        let process = self.members.get(member_id).map(|member| &member.process);
        let others = self.members.iter().filter(move |(id, _)| *id != member_id);
        others.map(move |(_, other)| (other, Some(&other.process) == process))
    }

    /// Whether the member, at the epoch that it knows, may commit offsets of these partitions.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check_commit<'a>(
        &self,
        member_id: &str,
        epoch: i32,
        partitions: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<(), String> {
        let member = self
            .members
            .get(member_id)
            .ok_or_else(|| format!("unknown member `{member_id}`"))?;
        for partition in partitions {
            if !self.owns(member, epoch, partition) {
                return Err(format!(
                    "member `{member_id}` at epoch {epoch} does not own `{partition}`"
                ));
            }
        }
        Ok(())
    }

    fn owns(&self, member: &GroupMember, epoch: i32, partition: &TopicPartition) -> bool {
        let subtopologies = self.topology.subtopologies.iter().zip(0_u32..);
        let mut readers = subtopologies.filter(|(sub, _)| {
            let mut repartition = sub.repartition_sources.iter();
            sub.sources.contains(&partition.topic)
                || repartition.any(|topic| topic.name == partition.topic)
        });
        readers.any(|(_, subtopology)| {
            let task = TaskId {
                subtopology,
                partition: partition.partition,
            };
            let since = member.owned_since.get(&task);
            since.is_some_and(|since| *since <= epoch)
        })
    }

    pub(super) fn member_ids(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }
}

impl GroupMember {
    fn assignment(&self) -> Assignment {
        Assignment {
            epoch: self.epoch,
            active: self.assigned.active.iter().copied().collect(),
            standby: self.assigned.standby.iter().copied().collect(),
        }
    }

    fn holds_active(&self, task: TaskId) -> bool {
        self.assigned.active.contains(&task) || self.revoking.active.contains(&task)
    }

    fn holds_standby(&self, task: TaskId) -> bool {
        self.assigned.standby.contains(&task) || self.revoking.standby.contains(&task)
    }

    /// Moves what is not in the target to what has to be given up; true if there is such.
    fn must_revoke(&mut self, target: &Tasks) -> bool {
        let revoking = Tasks {
            active: &self.assigned.active - &target.active,
            standby: &self.assigned.standby - &target.standby,
        };
        self.assigned
            .active
            .retain(|task| target.active.contains(task));
        self.assigned
            .standby
            .retain(|task| target.standby.contains(task));
        self.revoking = revoking;
        !self.revoking.is_empty()
    }

    fn has_given_up(&self, held: &HeldTasks) -> bool {
        let mut active = self.revoking.active.iter();
        let mut standby = self.revoking.standby.iter();
        !active.any(|task| held.active.contains(task))
            && !standby.any(|task| held.standby.contains(task))
    }

    fn release_revoked(&mut self) {
        let revoked = std::mem::take(&mut self.revoking);
        for task in &revoked.active {
            self.owned_since.remove(task);
        }
    }
}

/// Who asks for a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoiningSeat<'a> {
    pub(super) member_id: &'a str,
    pub(super) incarnation: u64,
    pub(super) process: &'a str,
    pub(super) topology: &'a Arc<TopologyMetadata>,
    pub(super) now: Duration,
}

fn tasks_of(resolved: &Resolved) -> BTreeSet<TaskId> {
    let subtopologies = resolved.tasks.iter().zip(0_u32..);
    let tasks = subtopologies.flat_map(|(count, subtopology)| {
        (0..*count).map(move |partition| TaskId {
            subtopology,
            partition,
        })
    });
    tasks.collect()
}

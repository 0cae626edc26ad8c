//! Groups: the seats of each application in this process, and who holds which task.
//!
//! A task goes to its new member only when the old one has confirmed that it holds it no more, as
//! in Kafka's Streams group protocol. Groups live as long as the process: after a restart every
//! seat joins anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::assignor::{MemberKey, assign};
use super::queue::Permit;
use super::tasks::Plan;
use crate::log::{Assignment, HeldTasks, LogError, Seat, TaskId, TopicPartition, TopologyMetadata};

/// The groups of all applications.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Arc<str>, Group>,
    next_key: MemberKey,
}

/// What a member shows to be let in.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) application: Arc<str>,
    pub(super) key: MemberKey,
    pub(super) permit: Arc<Permit>,
}

/// One application.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) topology: Arc<TopologyMetadata>,
    /// `None` until all source topics exist.
    plan: Option<Plan>,
    epoch: i32,
    /// By `member_id`, so that the order in which threads start does not count.
    members: BTreeMap<String, Member>,
    /// Who shall have which task.
    target: BTreeMap<TaskId, MemberKey>,
}

#[derive(Debug)]
struct Member {
    key: MemberKey,
    permit: Arc<Permit>,
    /// What it was last told to run.
    told: Option<BTreeSet<TaskId>>,
    /// What it was told to run and has not yet confirmed to have given up.
    holds: BTreeSet<TaskId>,
}

impl Groups {
    /// Adds a member. If its `member_id` is there already, it takes that one's place and tasks;
    /// the answer then is true, and whoever asks must wait for the other's last writes.
    pub(super) fn join(&mut self, seat: &Seat) -> Result<(Ticket, bool), LogError> {
        self.next_key += 1;
        let group = self
            .groups
            .entry(Arc::clone(&seat.application))
            .or_insert_with(|| Group::new(Arc::clone(&seat.topology)));
        if *group.topology != *seat.topology {
            return Err(LogError::Config(format!(
                "application `{}` runs in this process with another topology",
                seat.application
            )));
        }
        let (permit, replaces) = group.add(&seat.member_id, self.next_key);
        let ticket = Ticket {
            application: Arc::clone(&seat.application),
            key: self.next_key,
            permit,
        };
        Ok((ticket, replaces))
    }

    /// Removes a member, if it is still there.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        ticket.permit.lift();
        let Some(group) = self.groups.get_mut(&ticket.application) else {
            return;
        };
        if group.member(ticket.key).is_some() {
            group.members.retain(|_, member| member.key != ticket.key);
            group.rebalance();
        }
        if group.members.is_empty() {
            self.groups.remove(&ticket.application);
        }
    }

    /// The group of a member that is still in it.
    pub(super) fn group_of(&mut self, ticket: &Ticket) -> Result<&mut Group, LogError> {
        let group = self.groups.get_mut(&ticket.application);
        group
            .filter(|group| group.member(ticket.key).is_some())
            .ok_or_else(lost)
    }
}

/// The error for a member that is no more.
pub(super) fn lost() -> LogError {
    LogError::MemberLost("it has left, or another incarnation has its place".to_owned())
}

impl Group {
    fn new(topology: Arc<TopologyMetadata>) -> Self {
        Self {
            topology,
            plan: None,
            epoch: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
        }
    }

    fn add(&mut self, member_id: &str, key: MemberKey) -> (Arc<Permit>, bool) {
        let permit = Arc::new(Permit::default());
        let member = Member {
            key,
            permit: Arc::clone(&permit),
            told: None,
            holds: BTreeSet::new(),
        };
        let before = self.members.insert(member_id.to_owned(), member);
        if let Some(before) = &before {
            before.permit.lift();
            let tasks = self.target.values_mut();
            tasks
                .filter(|holder| **holder == before.key)
                .for_each(|holder| *holder = key);
        }
        self.rebalance();
        (permit, before.is_some())
    }

    /// True until the topology's tasks are known.
    pub(super) fn needs_plan(&self) -> bool {
        self.plan.is_none()
    }

    /// Sets the tasks to share.
    pub(super) fn set_plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
        self.rebalance();
    }

    fn rebalance(&mut self) {
        let Some(plan) = &self.plan else {
            return;
        };
        let members: Vec<_> = self.members.values().map(|member| member.key).collect();
        let held = self.members.values().flat_map(|member| {
            let tasks = member.holds.iter();
            tasks.map(|task| (*task, member.key))
        });
        // What a member holds it may have state of, so that counts more than what it was to have.
        let before = [held.collect(), std::mem::take(&mut self.target)];
        self.target = assign(&plan.tasks, &members, &before);
        self.epoch += 1;
    }

    fn member(&self, key: MemberKey) -> Option<&Member> {
        self.members.values().find(|member| member.key == key)
    }

    fn member_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.members.values_mut().find(|member| member.key == key)
    }

    /// What a member may run now: what it shall have, but for what another one still holds.
    fn runnable(&self, key: MemberKey) -> BTreeSet<TaskId> {
        let others = || self.members.values().filter(|member| member.key != key);
        let shall_have = self.target.iter().filter(|(_, member)| **member == key);
        shall_have
            .map(|(task, _)| *task)
            .filter(|task| !others().any(|other| other.holds.contains(task)))
            .collect()
    }

    /// See [`crate::log::Member::poll_assignment`].
    pub(super) fn poll(&mut self, key: MemberKey) -> Result<Option<Assignment>, LogError> {
        let tasks = self.runnable(key);
        let epoch = self.epoch;
        let member = self.member_mut(key).ok_or_else(lost)?;
        if member.told.as_ref() == Some(&tasks) {
            return Ok(None);
        }
        member.holds.extend(&tasks);
        let active = tasks.iter().copied().collect();
        member.told = Some(tasks);
        Ok(Some(Assignment {
            epoch,
            active,
            standby: Vec::new(),
        }))
    }

    /// See [`crate::log::Member::confirm`].
    pub(super) fn confirm(&mut self, key: MemberKey, held: &HeldTasks) -> Result<(), LogError> {
        let member = self.member_mut(key).ok_or_else(lost)?;
        let told = member.told.clone().unwrap_or_default();
        member
            .holds
            .retain(|task| held.active.contains(task) || told.contains(task));
        Ok(())
    }

    /// True if a member holds a task that reads this partition.
    pub(super) fn may_commit(&self, key: MemberKey, partition: &TopicPartition) -> bool {
        let (Some(plan), Some(member)) = (&self.plan, self.member(key)) else {
            return false;
        };
        let mut readers = plan.readers_of(partition);
        readers.any(|task| member.holds.contains(&task))
    }
}

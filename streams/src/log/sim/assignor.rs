//! The sticky assignor: spreads tasks evenly, moves as few as possible, keeps copies apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::TaskId;

/// Active and standby tasks of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tasks {
    pub(super) active: BTreeSet<TaskId>,
    pub(super) standby: BTreeSet<TaskId>,
}

impl Tasks {
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty()
    }

    fn load(&self) -> usize {
        self.active.len() + self.standby.len()
    }

    fn has(&self, task: TaskId) -> bool {
        self.active.contains(&task) || self.standby.contains(&task)
    }
}

/// The tasks that every member shall have, by member id.
pub(super) type Targets = BTreeMap<String, Tasks>;

/// Gives `tasks` to members. `processes` maps each member to its process, `previous` is what the
/// members shall have had so far, `replicas` the number of standbys per task. No process gets two
/// copies of a task, so there are fewer standbys when there are fewer processes.
pub(super) fn assign(
    tasks: &BTreeSet<TaskId>,
    processes: &BTreeMap<String, String>,
    previous: &Targets,
    replicas: usize,
) -> Targets {
    let mut assignor = Assignor {
        processes,
        previous,
        targets: processes
            .keys()
            .map(|id| (id.clone(), Tasks::default()))
            .collect(),
    };
    if processes.is_empty() {
        return assignor.targets;
    }
    let order = by_partition(tasks);
    let quotas = assignor.quotas(order.len());
    assignor.give_active(&order, &quotas);
    for _ in 0..replicas {
        assignor.give_standbys(&order);
    }
    assignor.targets
}

/// Partition before sub-topology: a member that keeps the first few tasks then keeps some of each
/// sub-topology, which are rarely equally busy.
fn by_partition(tasks: &BTreeSet<TaskId>) -> Vec<TaskId> {
    let mut order: Vec<TaskId> = tasks.iter().copied().collect();
    order.sort_by_key(|task| (task.partition, task.subtopology));
    order
}

struct Assignor<'a> {
    processes: &'a BTreeMap<String, String>,
    previous: &'a Targets,
    targets: Targets,
}

impl Assignor<'_> {
    /// How many active tasks each member gets; those with the most before get the odd ones.
    fn quotas(&self, tasks: usize) -> BTreeMap<String, usize> {
        let members = self.processes.len().max(1);
        let (each, odd) = (tasks / members, tasks % members);
        let mut order: Vec<&String> = self.processes.keys().collect();
        let had = |id: &String| self.previous.get(id).map_or(0, |tasks| tasks.active.len());
        order.sort_by_key(|id| std::cmp::Reverse(had(id)));
        let quota = |(index, id): (usize, &String)| (id.clone(), each + usize::from(index < odd));
        order.into_iter().enumerate().map(quota).collect()
    }

    fn give_active(&mut self, order: &[TaskId], quotas: &BTreeMap<String, usize>) {
        let had_active = |tasks: &Tasks, task| tasks.active.contains(&task);
        let had_standby = |tasks: &Tasks, task| tasks.standby.contains(&task);
        let rest = self.give_back(order, quotas, had_active);
        let rest = self.give_back(&rest, quotas, had_standby);
        for task in rest {
            let free = self.with_room(quotas);
            let next = free.min_by_key(|(id, tasks)| (tasks.active.len(), *id));
            let next = next.map(|(id, _)| id.clone());
            self.push_active(next, task);
        }
    }

    /// Gives each task to a member with room that `had` it; returns the tasks without one.
    fn give_back(
        &mut self,
        order: &[TaskId],
        quotas: &BTreeMap<String, usize>,
        had: impl Fn(&Tasks, TaskId) -> bool,
    ) -> Vec<TaskId> {
        let mut rest = Vec::new();
        for &task in order {
            let keeper = self
                .with_room(quotas)
                .find(|(id, _)| self.previous.get(*id).is_some_and(|had_| had(had_, task)))
                .map(|(id, _)| id.clone());
            if !self.push_active(keeper, task) {
                rest.push(task);
            }
        }
        rest
    }

    fn with_room<'b>(
        &'b self,
        quotas: &'b BTreeMap<String, usize>,
    ) -> impl Iterator<Item = (&'b String, &'b Tasks)> {
        let room =
            |id: &String, tasks: &Tasks| quotas.get(id).is_some_and(|q| tasks.active.len() < *q);
        self.targets
            .iter()
            .filter(move |(id, tasks)| room(id, tasks))
    }

    fn push_active(&mut self, member: Option<String>, task: TaskId) -> bool {
        let target = member.and_then(|id| self.targets.get_mut(&id));
        target.is_some_and(|tasks| tasks.active.insert(task))
    }

    /// One more standby for every task, where a process is left that has no copy of it.
    fn give_standbys(&mut self, order: &[TaskId]) {
        let mean = order.len().div_ceil(self.processes.len().max(1));
        for &task in order {
            let hosts = self.hosts(task);
            let free = self.targets.iter().filter(|(id, _)| {
                let process = self.processes.get(*id);
                process.is_some_and(|process| !hosts.contains(process))
            });
            let rank = |id: &String, tasks: &Tasks| {
                let had = self.previous.get(id).is_some_and(|had| had.has(task));
                (!(had && tasks.standby.len() < mean), tasks.load())
            };
            let next = free.min_by_key(|(id, tasks)| (rank(id, tasks), *id));
            let next = next.map(|(id, _)| id.clone());
            if let Some(tasks) = next.and_then(|id| self.targets.get_mut(&id)) {
                tasks.standby.insert(task);
            }
        }
    }

    fn hosts(&self, task: TaskId) -> BTreeSet<String> {
        let holders = self.targets.iter().filter(|(_, tasks)| tasks.has(task));
        holders
            .filter_map(|(id, _)| self.processes.get(id).cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(count: i32) -> BTreeSet<TaskId> {
        let task = |partition| TaskId {
            subtopology: 0,
            partition,
        };
        (0..count).map(task).collect()
    }

    fn processes(members: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = members
            .iter()
            .map(|(id, process)| ((*id).to_owned(), (*process).to_owned()));
        owned.collect()
    }

    fn moved(before: &Targets, after: &Targets) -> usize {
        let kept = |id: &String, tasks: &Tasks| {
            let before = before.get(id).cloned().unwrap_or_default();
            tasks.active.difference(&before.active).count()
        };
        after.iter().map(|(id, tasks)| kept(id, tasks)).sum()
    }

    #[test]
    fn tasks_are_spread_evenly() {
        let members = processes(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let targets = assign(&tasks(8), &members, &Targets::new(), 0);
        let mut loads: Vec<_> = targets.values().map(|tasks| tasks.active.len()).collect();
        loads.sort_unstable();
        assert_eq!(loads, vec![2, 3, 3]);
    }

    #[test]
    fn a_newcomer_takes_only_its_share() {
        let two = processes(&[("b", "1"), ("c", "2")]);
        let before = assign(&tasks(9), &two, &Targets::new(), 0);
        let three = processes(&[("a", "0"), ("b", "1"), ("c", "2")]);
        let after = assign(&tasks(9), &three, &before, 0);
        assert_eq!(moved(&before, &after), 3);
    }

    #[test]
    fn a_standby_becomes_active_when_its_active_leaves() {
        let two = processes(&[("a", "1"), ("b", "2")]);
        let before = assign(&tasks(4), &two, &Targets::new(), 1);
        let three = processes(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let mut left = three.clone();
        left.remove("a");
        let after = assign(&tasks(4), &left, &before, 1);
        let b = after.get("b").expect("a member");
        let had = before.get("b").expect("a member");
        assert!(b.active.iter().all(|task| had.has(*task)));
    }

    #[test]
    fn no_process_has_two_copies_of_a_task() {
        let members = processes(&[("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")]);
        let targets = assign(&tasks(6), &members, &Targets::new(), 3);
        let copies: usize = targets.values().map(Tasks::load).sum();
        assert_eq!(copies, 12);
        for task in tasks(6) {
            let holders = targets.iter().filter(|(_, tasks)| tasks.has(task));
            let hosts: BTreeSet<_> = holders.filter_map(|(id, _)| members.get(id)).collect();
            assert_eq!(hosts.len(), 2);
        }
    }
}

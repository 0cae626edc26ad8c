//! Who gets which task: balanced, deterministic, and moving as little as it can.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::log::TaskId;

/// A member's number within the process.
pub(super) type MemberKey = u64;

/// Gives every task to a member. The numbers of tasks of two members differ by at most one, and a
/// task stays with the member that has it in `before` as far as that allows; the first of these
/// counts most.
///
/// The answer depends on nothing but the arguments and their order.
pub(super) fn assign(
    tasks: &BTreeSet<TaskId>,
    members: &[MemberKey],
    before: &[BTreeMap<TaskId, MemberKey>],
) -> BTreeMap<TaskId, MemberKey> {
    let mut loads = Loads::new(tasks.len(), members);
    let mut after = BTreeMap::new();
    let in_order = by_partition(tasks);
    for (before, task) in before
        .iter()
        .flat_map(|one| in_order.iter().map(move |t| (one, t)))
    {
        let stays = before.get(task).filter(|member| loads.may_keep(**member));
        if let (Some(member), false) = (stays, after.contains_key(task)) {
            loads.give(*member, *task);
            after.insert(*task, *member);
        }
    }
    for task in tasks {
        if after.contains_key(task) {
            continue;
        }
        if let Some(member) = loads.lightest(*task) {
            loads.give(member, *task);
            after.insert(*task, member);
        }
    }
    after
}

/// A member that must give tasks up keeps whole partitions, so tasks that feed each other stay
/// together.
fn by_partition(tasks: &BTreeSet<TaskId>) -> Vec<TaskId> {
    let mut tasks: Vec<_> = tasks.iter().copied().collect();
    tasks.sort_by_key(|task| (task.partition, task.subtopology));
    tasks
}

#[derive(Debug)]
struct Loads<'a> {
    members: &'a [MemberKey],
    total: HashMap<MemberKey, usize>,
    of_subtopology: HashMap<(MemberKey, u32), usize>,
    /// What every member gets at least.
    floor: usize,
    /// How many members may still have one more than that.
    extra: usize,
}

impl<'a> Loads<'a> {
    fn new(tasks: usize, members: &'a [MemberKey]) -> Self {
        let count = members.len().max(1);
        Self {
            members,
            total: members.iter().map(|member| (*member, 0)).collect(),
            of_subtopology: HashMap::new(),
            floor: tasks / count,
            extra: tasks % count,
        }
    }

    fn may_keep(&self, member: MemberKey) -> bool {
        self.total
            .get(&member)
            .is_some_and(|load| *load < self.floor || (*load == self.floor && self.extra > 0))
    }

    fn lightest(&self, task: TaskId) -> Option<MemberKey> {
        let load = |member: &&MemberKey| {
            let of_subtopology = self.of_subtopology.get(&(**member, task.subtopology));
            (self.total.get(*member).copied(), of_subtopology.copied())
        };
        self.members.iter().min_by_key(load).copied()
    }

    fn give(&mut self, member: MemberKey, task: TaskId) {
        let total = self.total.entry(member).or_default();
        *total += 1;
        if *total > self.floor {
            self.extra = self.extra.saturating_sub(1);
        }
        let of_subtopology = (member, task.subtopology);
        *self.of_subtopology.entry(of_subtopology).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tasks(subtopologies: u32, partitions: i32) -> BTreeSet<TaskId> {
        let each = |subtopology| {
            (0..partitions).map(move |partition| TaskId {
                subtopology,
                partition,
            })
        };
        (0..subtopologies).flat_map(each).collect()
    }

    fn loads(after: &BTreeMap<TaskId, MemberKey>, members: &[MemberKey]) -> Vec<usize> {
        let load = |member| after.values().filter(|other| **other == member).count();
        members.iter().copied().map(load).collect()
    }

    #[test]
    fn a_new_member_takes_only_what_it_needs() {
        let tasks = tasks(2, 4);
        let one = assign(&tasks, &[1], &[]);
        let two = assign(&tasks, &[1, 2], &[one]);
        assert_eq!(loads(&two, &[1, 2]), vec![4, 4]);
        let three = assign(&tasks, &[1, 2, 3], std::slice::from_ref(&two));
        let moved = tasks.iter().filter(|task| two.get(task) != three.get(task));
        assert_eq!(moved.count(), 2);
    }

    #[test]
    fn what_is_held_counts_more_than_what_was_planned() {
        let tasks = tasks(1, 4);
        let held = tasks.iter().filter(|task| task.partition > 1);
        let held: BTreeMap<_, _> = held.map(|task| (*task, 1)).collect();
        let planned = tasks.iter().map(|task| (*task, 1)).collect();
        let after = assign(&tasks, &[1, 2], &[held.clone(), planned]);
        let kept = after.iter().filter(|(_, member)| **member == 1);
        assert!(kept.eq(&held));
    }

    #[test]
    fn without_members_nothing_is_assigned() {
        assert!(assign(&tasks(1, 3), &[], &[]).is_empty());
    }

    proptest! {
        #[test]
        fn every_task_has_one_member_and_loads_differ_by_one_at_most(
            subtopologies in 1_u32..4,
            partitions in 1_i32..9,
            changes in prop::collection::vec(prop::collection::btree_set(0_u64..6, 1..6), 1..6),
        ) {
            let tasks = tasks(subtopologies, partitions);
            let mut before = [BTreeMap::new()];
            for members in changes {
                let members: Vec<_> = members.into_iter().collect();
                let after = assign(&tasks, &members, &before);
                prop_assert_eq!(after.len(), tasks.len());
                let loads = loads(&after, &members);
                let spread = loads.iter().max().zip(loads.iter().min());
                prop_assert!(spread.is_some_and(|(most, least)| most - least <= 1));
                before = [after.clone()];
                prop_assert_eq!(assign(&tasks, &members, &before), after);
            }
        }
    }
}

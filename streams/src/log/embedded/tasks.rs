//! From a topology to its tasks: how many partitions internal topics get, and which tasks there
//! are, as Kafka's Streams group protocol decides it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::log::{
    Cleanup, LogError, SubtopologyMetadata, TaskId, TopicPartition, TopicSpec, TopologyMetadata,
};

/// What a topology comes to, given the topics that exist.
#[derive(Debug)]
pub(super) struct Plan {
    /// One per sub-topology and partition.
    pub(super) tasks: BTreeSet<TaskId>,
    /// The internal topics that it needs.
    pub(super) topics: Vec<TopicSpec>,
    /// The sub-topologies that read a topic.
    readers: HashMap<Arc<str>, Vec<u32>>,
}

impl Plan {
    /// The tasks that read a partition.
    pub(super) fn readers_of(&self, partition: &TopicPartition) -> impl Iterator<Item = TaskId> {
        let number = partition.partition;
        let readers = self.readers.get(&partition.topic).into_iter().flatten();
        readers
            .map(move |subtopology| TaskId {
                subtopology: *subtopology,
                partition: number,
            })
            .filter(|task| self.tasks.contains(task))
    }
}

/// Plans a topology. `partitions_of` tells the partitions of a topic that exists.
///
/// A sub-topology has as many tasks as the largest of its source and repartition topics has
/// partitions. A repartition topic without a number gets that of the topics it must be
/// copartitioned with, or else the largest number of tasks that write it.
///
/// # Errors
/// [`LogError::Config`] when a source topic is missing, copartitioned topics differ, an internal
/// topic exists with another number of partitions, or a number cannot be found.
pub(super) fn plan(
    topology: &TopologyMetadata,
    partitions_of: impl Fn(&str) -> Option<i32>,
) -> Result<Plan, LogError> {
    let mut counts = Counts::of_sources(topology, &partitions_of)?;
    counts.derive(topology)?;
    check_copartitioning(topology, &counts)?;
    let mut plan = Plan {
        tasks: BTreeSet::new(),
        topics: Vec::new(),
        readers: HashMap::new(),
    };
    for (number, subtopology) in (0..).zip(&topology.subtopologies) {
        let tasks = counts.tasks(subtopology).unwrap_or(0);
        plan.add(number, subtopology, tasks, &counts);
    }
    check_existing(&plan.topics, partitions_of)?;
    Ok(plan)
}

impl Plan {
    fn add(&mut self, number: u32, of: &SubtopologyMetadata, tasks: i32, counts: &Counts) {
        self.tasks.extend((0..tasks).map(|partition| TaskId {
            subtopology: number,
            partition,
        }));
        for topic in inputs(of) {
            let readers = self.readers.entry(Arc::clone(topic)).or_default();
            readers.push(number);
        }
        let repartition = of.repartition_sources.iter().map(|topic| TopicSpec {
            name: Arc::clone(&topic.name),
            partitions: counts.get(&topic.name).unwrap_or(tasks),
            cleanup: Cleanup::Delete { retention: None },
        });
        self.topics.extend(repartition);
        if tasks > 0 {
            let changelogs = of.changelogs.iter().map(|name| TopicSpec {
                name: Arc::clone(name),
                partitions: tasks,
                cleanup: Cleanup::Compact,
            });
            self.topics.extend(changelogs);
        }
    }
}

/// The number of partitions of each topic, as far as it is known.
#[derive(Debug, Default)]
struct Counts(HashMap<Arc<str>, i32>);

impl Counts {
    fn get(&self, topic: &str) -> Option<i32> {
        self.0.get(topic).copied()
    }

    fn of_sources(
        topology: &TopologyMetadata,
        partitions_of: impl Fn(&str) -> Option<i32>,
    ) -> Result<Self, LogError> {
        let mut counts = Self::default();
        let mut missing = BTreeSet::new();
        for subtopology in &topology.subtopologies {
            for topic in &subtopology.sources {
                match partitions_of(topic) {
                    Some(partitions) => drop(counts.0.insert(Arc::clone(topic), partitions)),
                    None => drop(missing.insert(format!("`{topic}`"))),
                }
            }
            for topic in &subtopology.repartition_sources {
                if let Some(partitions) = topic.partitions {
                    counts.0.insert(Arc::clone(&topic.name), partitions);
                }
            }
        }
        if missing.is_empty() {
            return Ok(counts);
        }
        let plural = if missing.len() == 1 { "" } else { "s" };
        let verb = if missing.len() == 1 { "does" } else { "do" };
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        Err(LogError::Config(format!(
            "source topic{plural} {names} {verb} not exist; create the topic{plural}"
        )))
    }

    /// The tasks of a sub-topology, once all of its inputs are known.
    fn tasks(&self, subtopology: &SubtopologyMetadata) -> Option<i32> {
        let counts = inputs(subtopology).map(|topic| self.get(topic));
        counts.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Finds the numbers that follow from others, until there is nothing left to find.
    fn derive(&mut self, topology: &TopologyMetadata) -> Result<(), LogError> {
        let repartition = || topology.subtopologies.iter().flat_map(repartition_sources);
        loop {
            let known = self.0.len();
            for group in groups(topology) {
                self.derive_group(topology, group);
            }
            for topic in repartition() {
                let in_group = groups(topology).any(|group| group.contains(topic));
                if let (None, false, Some(count)) =
                    (self.get(topic), in_group, self.of_writers(topology, topic))
                {
                    self.0.insert(Arc::clone(topic), count);
                }
            }
            if self.0.len() == known {
                break;
            }
        }
        match repartition().find(|topic| self.get(topic).is_none()) {
            None => Ok(()),
            Some(topic) => Err(LogError::Config(format!(
                "the number of partitions of `{topic}` follows from nothing; give it one"
            ))),
        }
    }

    fn derive_group(&mut self, topology: &TopologyMetadata, group: &[Arc<str>]) {
        let known = group.iter().filter_map(|topic| self.get(topic)).max();
        let count = known.or_else(|| {
            let of_writers = group.iter().map(|topic| self.of_writers(topology, topic));
            of_writers.collect::<Option<Vec<_>>>()?.into_iter().max()
        });
        if let Some(count) = count {
            for topic in group {
                self.0.entry(Arc::clone(topic)).or_insert(count);
            }
        }
    }

    /// The largest number of tasks that write a topic, once it is known for all who do.
    fn of_writers(&self, topology: &TopologyMetadata, topic: &Arc<str>) -> Option<i32> {
        let writers = topology
            .subtopologies
            .iter()
            .filter(|one| one.repartition_sinks.contains(topic));
        let counts = writers.map(|writer| self.tasks(writer));
        counts.collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

fn repartition_sources(of: &SubtopologyMetadata) -> impl Iterator<Item = &Arc<str>> {
    of.repartition_sources.iter().map(|topic| &topic.name)
}

fn inputs(of: &SubtopologyMetadata) -> impl Iterator<Item = &Arc<str>> {
    of.sources.iter().chain(repartition_sources(of))
}

fn groups(topology: &TopologyMetadata) -> impl Iterator<Item = &Vec<Arc<str>>> {
    let subtopologies = topology.subtopologies.iter();
    subtopologies.flat_map(|one| &one.copartition_groups)
}

fn check_copartitioning(topology: &TopologyMetadata, counts: &Counts) -> Result<(), LogError> {
    for group in groups(topology) {
        let known: BTreeSet<_> = group.iter().filter_map(|topic| counts.get(topic)).collect();
        if known.len() > 1 {
            let each = group.iter().map(|topic| {
                let partitions = counts.get(topic).unwrap_or(0);
                format!("`{topic}` has {partitions}")
            });
            return Err(LogError::Config(format!(
                "joined topics must have equally many partitions: {}",
                each.collect::<Vec<_>>().join(", ")
            )));
        }
    }
    Ok(())
}

fn check_existing(
    topics: &[TopicSpec],
    partitions_of: impl Fn(&str) -> Option<i32>,
) -> Result<(), LogError> {
    for topic in topics {
        match partitions_of(&topic.name) {
            Some(partitions) if partitions != topic.partitions => {
                return Err(LogError::Config(format!(
                    "internal topic `{}` has {partitions} partitions but needs {}; \
                     reset the application",
                    topic.name, topic.partitions
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::InternalTopic;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn internal(name: &str, partitions: Option<i32>) -> InternalTopic {
        InternalTopic {
            name: name.into(),
            partitions,
        }
    }

    fn existing(name: &str) -> Option<i32> {
        match name {
            "orders" => Some(4),
            "customers" => Some(3),
            _ => None,
        }
    }

    /// orders -> by-customer -> count, with whatever number `by-customer` is given.
    fn topology(partitions: Option<i32>) -> TopologyMetadata {
        let first = SubtopologyMetadata {
            sources: names(&["orders"]),
            repartition_sinks: names(&["by-customer"]),
            ..SubtopologyMetadata::default()
        };
        let second = SubtopologyMetadata {
            repartition_sources: vec![internal("by-customer", partitions)],
            changelogs: names(&["count-changelog"]),
            ..SubtopologyMetadata::default()
        };
        TopologyMetadata {
            subtopologies: vec![first, second],
        }
    }

    fn partitions(plan: &Plan) -> Vec<(&str, i32)> {
        let topics = plan.topics.iter();
        topics.map(|spec| (&*spec.name, spec.partitions)).collect()
    }

    #[test]
    fn a_repartition_topic_follows_its_writers() {
        let plan = plan(&topology(None), existing).expect("a plan");
        let expected = vec![("by-customer", 4), ("count-changelog", 4)];
        assert_eq!(partitions(&plan), expected);
        assert_eq!(plan.tasks.len(), 8);
        let cleanup = Cleanup::Delete { retention: None };
        assert_eq!(plan.topics.first().map(|spec| spec.cleanup), Some(cleanup));
    }

    #[test]
    fn a_given_number_of_partitions_wins() {
        let plan = plan(&topology(Some(2)), existing).expect("a plan");
        let expected = vec![("by-customer", 2), ("count-changelog", 2)];
        assert_eq!(partitions(&plan), expected);
        assert_eq!(plan.tasks.len(), 6);
    }

    #[test]
    fn a_repartition_topic_follows_the_topics_it_is_joined_with() {
        let mut topology = topology(None);
        let second = topology.subtopologies.last_mut().expect("two");
        second.sources = names(&["customers"]);
        second.copartition_groups = vec![names(&["customers", "by-customer"])];
        let plan = plan(&topology, existing).expect("a plan");
        let expected = vec![("by-customer", 3), ("count-changelog", 3)];
        assert_eq!(partitions(&plan), expected);
    }

    #[test]
    fn joined_topics_with_different_partitions_are_refused() {
        let mut topology = topology(Some(2));
        let second = topology.subtopologies.last_mut().expect("two");
        second.sources = names(&["customers"]);
        second.copartition_groups = vec![names(&["customers", "by-customer"])];
        let error = plan(&topology, existing).expect_err("different");
        let text = "joined topics must have equally many partitions: \
                    `customers` has 3, `by-customer` has 2";
        assert_eq!(error, LogError::Config(text.to_owned()));
    }

    #[test]
    fn all_missing_sources_are_named() {
        let mut topology = topology(None);
        let first = topology.subtopologies.first_mut().expect("two");
        first.sources = names(&["b", "orders", "a"]);
        let error = plan(&topology, existing).expect_err("missing");
        let text = "source topics `a`, `b` do not exist; create the topics";
        assert_eq!(error, LogError::Config(text.to_owned()));
    }

    #[test]
    fn an_internal_topic_with_other_partitions_is_refused() {
        let old = |name: &str| match name {
            "count-changelog" => Some(7),
            other => existing(other),
        };
        let error = plan(&topology(None), old).expect_err("another number");
        assert!(matches!(error, LogError::Config(text) if text.contains("`count-changelog`")));
    }

    #[test]
    fn a_circle_of_repartition_topics_is_refused() {
        let one = SubtopologyMetadata {
            repartition_sources: vec![internal("loop", None)],
            repartition_sinks: names(&["loop"]),
            ..SubtopologyMetadata::default()
        };
        let topology = TopologyMetadata {
            subtopologies: vec![one],
        };
        let error = plan(&topology, existing).expect_err("a circle");
        assert!(matches!(error, LogError::Config(text) if text.contains("`loop`")));
    }
}

//! From a topology to its tasks and internal topics: counts partitions, checks co-partitioning.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::log::{Cleanup, SubtopologyMetadata, TopicSpec, TopologyMetadata};

/// How many tasks a topology has, and which topics it needs for itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The number of tasks of each sub-topology.
    pub(super) tasks: Vec<i32>,
    /// The repartition topics and changelogs.
    pub(super) internal: Vec<TopicSpec>,
}

/// Resolves `topology` against the topics that exist; `partitions_of` tells their partitions.
///
/// # Errors
/// A text that names the topics at fault.
pub(super) fn resolve(
    topology: &TopologyMetadata,
    partitions_of: impl Fn(&str) -> Option<i32>,
) -> Result<Resolved, String> {
    let mut resolver = Resolver {
        topology,
        counts: BTreeMap::new(),
    };
    resolver.count_sources(&partitions_of)?;
    resolver.count_repartition_topics()?;
    resolver.check_copartitioning()?;
    let resolved = resolver.finish();
    check_existing(&resolved.internal, &partitions_of)?;
    Ok(resolved)
}

struct Resolver<'a> {
    topology: &'a TopologyMetadata,
    /// The partitions of every topic that is known so far.
    counts: BTreeMap<Arc<str>, i32>,
}

impl Resolver<'_> {
    fn count_sources(&mut self, partitions_of: impl Fn(&str) -> Option<i32>) -> Result<(), String> {
        let subtopologies = &self.topology.subtopologies;
        let mut missing = Vec::new();
        for source in subtopologies.iter().flat_map(|sub| &sub.sources) {
            match partitions_of(source) {
                Some(count) => drop(self.counts.insert(Arc::clone(source), count)),
                None => missing.push(format!("`{source}`")),
            }
        }
        for topic in subtopologies
            .iter()
            .flat_map(|sub| &sub.repartition_sources)
        {
            if let Some(count) = topic.partitions {
                self.counts.insert(Arc::clone(&topic.name), count);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "source topics missing, create them: {}",
            missing.join(", ")
        ))
    }

    /// Goes down the topology until every repartition topic has its number.
    fn count_repartition_topics(&mut self) -> Result<(), String> {
        loop {
            let open = self.uncounted();
            let Some(first) = open.first() else {
                return Ok(());
            };
            let counted: Vec<_> = open
                .iter()
                .filter_map(|name| Some((Arc::clone(name), self.count_of(name)?)))
                .collect();
            if counted.is_empty() {
                return Err(format!(
                    "repartition topic `{first}` gets no number of partitions: nothing with one flows into it"
                ));
            }
            self.counts.extend(counted);
        }
    }

    fn uncounted(&self) -> Vec<Arc<str>> {
        let topics = self.topology.subtopologies.iter();
        let names = topics
            .flat_map(|sub| &sub.repartition_sources)
            .map(|topic| &topic.name);
        let open = names.filter(|name| !self.counts.contains_key(*name));
        open.cloned().collect()
    }

    /// A repartition topic follows what it is co-partitioned with; else the largest upstream.
    fn count_of(&self, name: &Arc<str>) -> Option<i32> {
        let peers = self.peers(name);
        let counted = peers.iter().find_map(|peer| self.counts.get(peer));
        if let Some(count) = counted {
            return Some(*count);
        }
        let upstream: Option<Vec<i32>> = peers.iter().map(|peer| self.upstream(peer)).collect();
        upstream?.into_iter().max()
    }

    fn peers(&self, name: &Arc<str>) -> Vec<Arc<str>> {
        let mut groups = self
            .topology
            .subtopologies
            .iter()
            .flat_map(|sub| &sub.copartition_groups);
        let group = groups.find(|group| group.contains(name));
        group.cloned().unwrap_or_else(|| vec![Arc::clone(name)])
    }

    /// The largest number of tasks among the sub-topologies that write to `name`.
    fn upstream(&self, name: &Arc<str>) -> Option<i32> {
        let writers = self.topology.subtopologies.iter();
        let writers = writers.filter(|sub| sub.repartition_sinks.contains(name));
        let tasks: Option<Vec<i32>> = writers.map(|sub| self.tasks_of(sub)).collect();
        tasks?.into_iter().max()
    }

    fn tasks_of(&self, sub: &SubtopologyMetadata) -> Option<i32> {
        let counts: Option<Vec<i32>> = sources_of(sub)
            .map(|name| self.counts.get(name).copied())
            .collect();
        counts?.into_iter().max()
    }

    fn check_copartitioning(&self) -> Result<(), String> {
        let subtopologies = self.topology.subtopologies.iter();
        for group in subtopologies.flat_map(|sub| &sub.copartition_groups) {
            let counts: Vec<_> = group
                .iter()
                .filter_map(|name| Some((name, *self.counts.get(name)?)))
                .collect();
            let differs = counts.windows(2).any(|pair| match pair {
                [(_, a), (_, b)] => a != b,
                _ => false,
            });
            if differs {
                let counts = counts.iter().map(|(name, n)| format!("`{name}` has {n}"));
                let counts: Vec<_> = counts.collect();
                return Err(format!(
                    "topics must have equally many partitions: {}",
                    counts.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn finish(&self) -> Resolved {
        let mut resolved = Resolved::default();
        for sub in &self.topology.subtopologies {
            let tasks = self.tasks_of(sub).unwrap_or(0);
            resolved.tasks.push(tasks);
            let changelogs = sub.changelogs.iter().map(|name| TopicSpec {
                name: Arc::clone(name),
                partitions: tasks,
                cleanup: Cleanup::Compact,
            });
            let repartition = sub.repartition_sources.iter().map(|topic| TopicSpec {
                name: Arc::clone(&topic.name),
                partitions: self.counts.get(&topic.name).copied().unwrap_or(0),
                cleanup: Cleanup::Delete { retention: None },
            });
            resolved.internal.extend(repartition.chain(changelogs));
        }
        resolved
    }
}

fn sources_of(sub: &SubtopologyMetadata) -> impl Iterator<Item = &Arc<str>> {
    let repartition = sub.repartition_sources.iter().map(|topic| &topic.name);
    sub.sources.iter().chain(repartition)
}

fn check_existing(
    internal: &[TopicSpec],
    partitions_of: impl Fn(&str) -> Option<i32>,
) -> Result<(), String> {
    for TopicSpec {
        name, partitions, ..
    } in internal
    {
        if let Some(has) = partitions_of(name).filter(|has| has != partitions) {
            return Err(format!(
                "internal topic `{name}` has {has} partitions, not {partitions}: reset the application"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::InternalTopic;

    fn existing(name: &str) -> Option<i32> {
        match name {
            "four" => Some(4),
            "six" => Some(6),
            _ => None,
        }
    }

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn hop(source: &str, groups: &[&[&str]]) -> TopologyMetadata {
        let writer = SubtopologyMetadata {
            sources: names(&[source]),
            repartition_sinks: names(&["hop"]),
            ..SubtopologyMetadata::default()
        };
        let others = groups
            .iter()
            .flat_map(|group| group.iter())
            .filter(|name| **name != "hop");
        let reader = SubtopologyMetadata {
            sources: others.map(|name| Arc::from(*name)).collect(),
            repartition_sources: vec![InternalTopic {
                name: Arc::from("hop"),
                partitions: None,
            }],
            changelogs: names(&["store"]),
            copartition_groups: groups.iter().map(|group| names(group)).collect(),
            ..SubtopologyMetadata::default()
        };
        TopologyMetadata {
            subtopologies: vec![reader, writer],
        }
    }

    #[test]
    fn a_repartition_topic_follows_its_upstream() {
        let resolved = resolve(&hop("six", &[]), existing).expect("resolves");
        assert_eq!(resolved.tasks, vec![6, 6]);
        let counts: Vec<_> = resolved.internal.iter().map(|t| t.partitions).collect();
        assert_eq!(counts, vec![6, 6]);
    }

    #[test]
    fn a_repartition_topic_follows_what_it_is_joined_with() {
        let resolved = resolve(&hop("six", &[&["hop", "four"]]), existing).expect("resolves");
        assert_eq!(resolved.tasks, vec![4, 6]);
    }

    #[test]
    fn unequal_co_partitioned_sources_are_refused_by_name() {
        let error = resolve(&hop("six", &[&["four", "six"]]), existing).expect_err("unequal");
        assert!(error.contains("`four` has 4, `six` has 6"), "{error}");
    }

    #[test]
    fn a_repartition_topic_that_only_feeds_itself_is_refused() {
        let mut topology = hop("six", &[]);
        topology.subtopologies.truncate(1);
        let error = resolve(&topology, existing).expect_err("nothing flows in");
        assert!(error.contains("`hop`"), "{error}");
    }
}

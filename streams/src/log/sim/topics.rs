//! The topics of a simulated cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::partition::Partition;
use crate::log::{Cleanup, LogError, TopicInfo, TopicPartition, TopicSpec};

/// A topic and its partitions.
#[derive(Debug)]
pub(super) struct Topic {
    /// Tells a topic from one of the same name that was deleted before.
    pub(super) id: u64,
    pub(super) cleanup: Cleanup,
    pub(super) partitions: Vec<Partition>,
}

/// All topics, by name.
#[derive(Debug, Default)]
pub(super) struct Topics {
    by_name: BTreeMap<Arc<str>, Topic>,
    /// Grows whenever a topic is made or deleted.
    version: u64,
}

impl Topics {
    /// Makes a topic, unless it exists with as many partitions.
    pub(super) fn create(&mut self, spec: &TopicSpec) -> Result<(), LogError> {
        let wanted = usize::try_from(spec.partitions).unwrap_or(0);
        if wanted == 0 {
            let name = &spec.name;
            return Err(LogError::Config(format!(
                "topic `{name}` needs at least one partition"
            )));
        }
        match self.by_name.get(&spec.name) {
            Some(topic) if topic.partitions.len() == wanted => Ok(()),
            Some(topic) => Err(wrong_partitions(&spec.name, topic.partitions.len(), wanted)),
            None => {
                self.insert(spec, wanted);
                Ok(())
            }
        }
    }

    fn insert(&mut self, spec: &TopicSpec, partitions: usize) {
        self.version += 1;
        let topic = Topic {
            id: self.version,
            cleanup: spec.cleanup,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
        };
        self.by_name.insert(Arc::clone(&spec.name), topic);
    }

    /// Deletes a topic with all its records.
    pub(super) fn delete(&mut self, name: &str) {
        if self.by_name.remove(name).is_some() {
            self.version += 1;
        }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn infos(&self) -> Vec<TopicInfo> {
        let info = |(name, topic): (&Arc<str>, &Topic)| TopicInfo {
            name: Arc::clone(name),
            id: Some(topic.id.into()),
            partitions: count(topic),
        };
        self.by_name.iter().map(info).collect()
    }

    /// The number of partitions of a topic.
    pub(super) fn partitions_of(&self, name: &str) -> Option<i32> {
        self.by_name.get(name).map(count)
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(super) fn topic_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Topic)> {
        self.by_name.iter()
    }

    pub(super) fn partition(&self, of: &TopicPartition) -> Result<&Partition, LogError> {
        self.by_name
            .get(&of.topic)
            .and_then(|topic| topic.partitions.get(index(of)))
            .ok_or_else(|| missing(of))
    }

    pub(super) fn partition_mut(
        &mut self,
        of: &TopicPartition,
    ) -> Result<&mut Partition, LogError> {
        self.by_name
            .get_mut(&of.topic)
            .and_then(|topic| topic.partitions.get_mut(index(of)))
            .ok_or_else(|| missing(of))
    }
}

fn index(of: &TopicPartition) -> usize {
    usize::try_from(of.partition).unwrap_or(usize::MAX)
}

fn count(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

pub(super) fn missing(partition: &TopicPartition) -> LogError {
    LogError::Config(format!(
        "partition `{partition}` does not exist: create the topic"
    ))
}

fn wrong_partitions(name: &str, has: usize, wanted: usize) -> LogError {
    LogError::Config(format!(
        "topic `{name}` has {has} partitions, not {wanted}: delete it or declare {has}"
    ))
}

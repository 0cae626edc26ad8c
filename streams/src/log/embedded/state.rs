//! The state of the log: topics, partitions with their index, committed offsets.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::entry::{Entry, PartitionId, TopicId};
use super::segment::{Section, Segment};
use super::signal::Signal;
use crate::log::{Bounds, Cleanup, CommittedOffset, LogError, Offset, TopicInfo, TopicPartition};

/// Everything that is durable. It is the fold of the journal's entries.
#[derive(Debug, Default)]
pub(super) struct State {
    topics: HashMap<TopicId, Topic>,
    names: HashMap<Arc<str>, TopicId>,
    offsets: HashMap<Arc<str>, HashMap<TopicPartition, CommittedOffset>>,
    next_topic: u32,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) cleanup: Cleanup,
    pub(super) partitions: Vec<Partition>,
}

/// A partition: its ends, and where its records lie.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// The first offset that still exists.
    pub(super) start: Offset,
    /// The offset of the next record.
    pub(super) end: Offset,
    /// Below this offset every key has but one record.
    pub(super) compacted_to: Offset,
    /// In the order of offsets, without overlap, each with its last record at or behind `start`.
    pub(super) sections: VecDeque<Section>,
    /// Who wants to know of new records.
    pub(super) watchers: Vec<Arc<Signal>>,
}

impl Partition {
    /// The section with the first record at or behind `position`.
    pub(super) fn locate(&self, position: Offset) -> Option<&Section> {
        let index = self
            .sections
            .partition_point(|section| section.last() < position);
        self.sections.get(index)
    }

    /// Both ends. What is written is committed.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            start: self.start,
            end: self.end,
            high_watermark: self.end,
        }
    }

    fn start_at(&mut self, start: Offset) {
        self.start = self.start.max(start.min(self.end));
        let dead = self
            .sections
            .partition_point(|section| section.last() < self.start);
        self.sections.drain(..dead);
    }

    /// Puts a section in its place. Sections come in order but at recovery and after cleaning.
    pub(super) fn insert(&mut self, section: Section) {
        if section.last() < self.start {
            return;
        }
        let index = self
            .sections
            .partition_point(|other| other.last() < section.last());
        let before = index.checked_sub(1).and_then(|at| self.sections.get(at));
        let after = self.sections.get(index);
        debug_assert!(
            before.is_none_or(|one| one.last() < section.head.base)
                && after.is_none_or(|one| section.last() < one.head.base),
            "sections never overlap"
        );
        self.sections.insert(index, section);
    }
}

impl State {
    /// Applies an entry; `sections` gives the place of the records it tells of.
    pub(super) fn apply(&mut self, entry: &Entry, section: Option<Section>) {
        match entry {
            Entry::Checkpoint { next_topic } => {
                *self = Self {
                    next_topic: *next_topic,
                    ..Self::default()
                };
            }
            Entry::Topic {
                id,
                name,
                partitions,
                cleanup,
            } => self.add_topic(*id, name, *partitions, *cleanup),
            Entry::DropTopic(id) => self.drop_topic(*id),
            Entry::Bounds {
                partition,
                start,
                end,
                compacted_to,
            } => {
                if let Some(partition) = self.partition_mut(*partition) {
                    partition.start = *start;
                    partition.end = *end;
                    partition.compacted_to = *compacted_to;
                }
            }
            Entry::Start { partition, start } => {
                if let Some(partition) = self.partition_mut(*partition) {
                    partition.start_at(*start);
                }
            }
            Entry::Offset {
                application,
                partition,
                committed,
            } => {
                let of_application = self.offsets.entry(Arc::clone(application)).or_default();
                of_application.insert(partition.clone(), committed.clone());
            }
            Entry::Records(head) => {
                let partition = self.partition_mut(head.partition);
                if let (Some(partition), Some(section)) = (partition, section) {
                    partition.end = head.last + 1;
                    partition.insert(section);
                }
            }
        }
    }

    fn add_topic(&mut self, id: TopicId, name: &Arc<str>, partitions: i32, cleanup: Cleanup) {
        self.next_topic = self.next_topic.max(id.0 + 1);
        self.names.insert(Arc::clone(name), id);
        let topic = Topic {
            name: Arc::clone(name),
            cleanup,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
        };
        self.topics.insert(id, topic);
    }

    fn drop_topic(&mut self, id: TopicId) {
        let Some(topic) = self.topics.remove(&id) else {
            return;
        };
        self.names.remove(&topic.name);
        for watcher in topic.partitions.iter().flat_map(|one| &one.watchers) {
            watcher.set();
        }
        for of_application in self.offsets.values_mut() {
            of_application.retain(|partition, _| partition.topic != topic.name);
        }
    }

    /// The entries from which this state, but for its sections, can be made again.
    pub(super) fn checkpoint(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::Checkpoint {
            next_topic: self.next_topic,
        }];
        let mut ids: Vec<_> = self.topics.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.checkpoint_topic(id, &mut entries);
        }
        for (application, offsets) in &self.offsets {
            entries.extend(offsets.iter().map(|(partition, committed)| Entry::Offset {
                application: Arc::clone(application),
                partition: partition.clone(),
                committed: committed.clone(),
            }));
        }
        entries
    }

    fn checkpoint_topic(&self, id: TopicId, entries: &mut Vec<Entry>) {
        let Some(topic) = self.topics.get(&id) else {
            return;
        };
        entries.push(Entry::Topic {
            id,
            name: Arc::clone(&topic.name),
            partitions: number(topic.partitions.len()),
            cleanup: topic.cleanup,
        });
        let bounds = (0..).zip(&topic.partitions);
        entries.extend(bounds.map(|(number, partition)| Entry::Bounds {
            partition: (id, number),
            start: partition.start,
            end: partition.end,
            compacted_to: partition.compacted_to,
        }));
    }

    /// The number that the next topic gets.
    pub(super) fn next_topic(&self) -> u32 {
        self.next_topic
    }

    /// A topic by name.
    pub(super) fn topic(&self, name: &str) -> Option<(TopicId, &Topic)> {
        let id = *self.names.get(name)?;
        Some((id, self.topics.get(&id)?))
    }

    /// All topics by name, as the log port tells them.
    pub(super) fn topic_infos(&self) -> Vec<TopicInfo> {
        let infos = self.topics.iter().map(|(id, topic)| TopicInfo {
            name: Arc::clone(&topic.name),
            id: Some(id.0.into()),
            partitions: number(topic.partitions.len()),
        });
        let mut infos: Vec<_> = infos.collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        infos
    }

    /// All partitions.
    pub(super) fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Topic, &Partition)> {
        self.topics.iter().flat_map(|(id, topic)| {
            let numbered = (0..).zip(&topic.partitions);
            numbered.map(move |(number, partition)| ((*id, number), topic, partition))
        })
    }

    /// A partition by number.
    pub(super) fn partition(&self, (topic, partition): PartitionId) -> Option<&Partition> {
        let partition = usize::try_from(partition).ok()?;
        self.topics.get(&topic)?.partitions.get(partition)
    }

    /// A partition by number, to change.
    pub(super) fn partition_mut(
        &mut self,
        (topic, partition): PartitionId,
    ) -> Option<&mut Partition> {
        let partition = usize::try_from(partition).ok()?;
        self.topics.get_mut(&topic)?.partitions.get_mut(partition)
    }

    /// The number of a partition that must exist.
    pub(super) fn resolve(&self, partition: &TopicPartition) -> Result<PartitionId, LogError> {
        let (id, topic) = self
            .topic(&partition.topic)
            .ok_or_else(|| no_topic(&partition.topic))?;
        let id = (id, partition.partition);
        if self.partition(id).is_none() {
            return Err(LogError::Config(format!(
                "topic `{}` has {} partitions, so there is no `{partition}`",
                partition.topic,
                topic.partitions.len()
            )));
        }
        Ok(id)
    }

    /// The ends of partitions that must exist.
    pub(super) fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        let bounds = partitions.iter().map(|partition| {
            let id = self.resolve(partition)?;
            Ok(self.partition(id).map_or(NO_RECORDS, Partition::bounds))
        });
        bounds.collect()
    }

    /// The offsets that an application has committed.
    pub(super) fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Vec<Option<CommittedOffset>> {
        let of_application = self.offsets.get(application);
        let committed = partitions
            .iter()
            .map(|partition| of_application.and_then(|offsets| offsets.get(partition).cloned()));
        committed.collect()
    }

    /// Puts the sections of rewritten segments in place of their old ones.
    pub(super) fn replace_sections(&mut self, old: &[Arc<Segment>], new: Vec<Section>) {
        let is_old = |section: &Section| old.iter().any(|old| Arc::ptr_eq(old, &section.segment));
        for topic in self.topics.values_mut() {
            for partition in &mut topic.partitions {
                partition.sections.retain(|section| !is_old(section));
            }
        }
        for section in new {
            if let Some(partition) = self.partition_mut(section.head.partition) {
                partition.insert(section);
            }
        }
    }
}

const NO_RECORDS: Bounds = Bounds {
    start: 0,
    end: 0,
    high_watermark: 0,
};

/// The error that names a missing topic.
pub(super) fn no_topic(name: &str) -> LogError {
    LogError::Config(format!("topic `{name}` does not exist; create the topic"))
}

// A topic's partitions were counted by an i32 when it was created.
fn number(partitions: usize) -> i32 {
    i32::try_from(partitions).unwrap_or(i32::MAX)
}

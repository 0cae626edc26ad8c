//! Transactions: what a member has sent since its last commit, encoded and sorted by partition.
//!
//! Nothing of it is in the journal before the commit, so there is nothing to abort.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::SECTION_BYTES_MAX;
use super::entry::{PartitionId, TopicId};
use super::queue::Pending;
use super::record;
use super::shared::Shared;
use super::state::{State, no_topic};
use super::writer::check_size;
use crate::log::{Committed, LogError, Offset, OutputBatch, OutputRecord, TopicSlot};

/// Records on their way into one frame.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    parts: Vec<Part>,
    /// The part that the next record of a target goes to.
    newest: HashMap<Target, usize, foldhash::fast::RandomState>,
    bytes: usize,
    /// Why it can only be recovered from.
    failed: Option<String>,
}

type Target = (TopicSlot, i32);

#[derive(Debug)]
struct Part {
    target: Target,
    partition: PartitionId,
    data: Vec<u8>,
    count: u32,
    max_timestamp: i64,
}

/// A topic as an output batch refers to it.
#[derive(Debug)]
struct Known {
    name: Arc<str>,
    id: TopicId,
    partitions: i32,
}

impl Transaction {
    /// Adds the records of a batch. After an error the transaction is failed.
    pub(super) fn add(&mut self, outputs: &OutputBatch, shared: &Shared) -> Result<(), LogError> {
        self.check()?;
        let added = self.add_all(outputs, shared);
        if let Err(error) = &added {
            self.fail(error.to_string());
        }
        added
    }

    fn add_all(&mut self, outputs: &OutputBatch, shared: &Shared) -> Result<(), LogError> {
        let limit = shared.options.transaction_bytes_max;
        self.bytes += outputs.bytes() + outputs.len() * record::OVERHEAD;
        if self.bytes > limit {
            return Err(LogError::Config(format!(
                "a transaction over the limit of {limit} bytes; commit more often"
            )));
        }
        let topics = known_topics(outputs, &shared.state.read());
        for output in outputs.iter() {
            let topic = topics.get(output.topic.0 as usize).and_then(Option::as_ref);
            let topic = topic.ok_or_else(|| {
                let name = outputs.topic_name(output.topic);
                no_topic(name.map_or("", |name| name))
            })?;
            self.add_one(&output, topic, shared)?;
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        output: &OutputRecord<'_>,
        topic: &Known,
        shared: &Shared,
    ) -> Result<(), LogError> {
        if !(0..topic.partitions).contains(&output.partition) {
            return Err(LogError::Config(format!(
                "topic `{}` has no partition {}",
                topic.name, output.partition
            )));
        }
        let bytes = record::size(output.headers, output.key, output.value);
        check_size(shared, &topic.name, bytes)?;
        let part = self.part((output.topic, output.partition), topic.id, bytes);
        record::encode(
            output.timestamp,
            output.headers,
            output.key,
            output.value,
            &mut part.data,
        );
        part.count += 1;
        part.max_timestamp = part.max_timestamp.max(output.timestamp.as_millis());
        Ok(())
    }

    /// The part for a target, with room for a record of this size.
    fn part(&mut self, target: Target, topic: TopicId, bytes: usize) -> &mut Part {
        let newest = self.newest.get(&target).copied();
        let index = newest.filter(|index| {
            let part = self.parts.get(*index);
            part.is_some_and(|part| part.data.len() + bytes <= SECTION_BYTES_MAX)
        });
        let index = index.unwrap_or_else(|| {
            self.newest.insert(target, self.parts.len());
            self.parts.push(Part {
                target,
                partition: (topic, target.1),
                data: Vec::new(),
                count: 0,
                max_timestamp: i64::MIN,
            });
            self.parts.len() - 1
        });
        // The index is that of a part: it was just found, or just pushed.
        &mut self.parts[index]
    }

    /// Refuses everything until it is cleared.
    pub(super) fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    /// The error of a transaction that can only be recovered from.
    pub(super) fn check(&self) -> Result<(), LogError> {
        self.failed.as_ref().map_or(Ok(()), |why| {
            Err(LogError::Unavailable(format!(
                "the transaction has failed, recover: {why}"
            )))
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the records out: whose they are, and what to write.
    pub(super) fn take(&mut self) -> (Vec<Target>, Vec<Pending>) {
        self.newest.clear();
        self.bytes = 0;
        let parts = std::mem::take(&mut self.parts).into_iter();
        parts.map(|part| (part.target, part.into_pending())).unzip()
    }
}

impl Part {
    fn into_pending(self) -> Pending {
        Pending {
            partition: self.partition,
            crc: Some(crc32fast::hash(&self.data)),
            data: self.data,
            count: self.count,
            max_timestamp: self.max_timestamp,
        }
    }
}

fn known_topics(outputs: &OutputBatch, state: &State) -> Vec<Option<Known>> {
    let known = outputs.topics().iter().map(|name| {
        let (id, topic) = state.topic(name)?;
        Some(Known {
            name: Arc::clone(name),
            id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        })
    });
    known.collect()
}

/// What a commit tells: the last offset of each target.
pub(super) fn committed(targets: &[Target], lasts: &[Offset]) -> Committed {
    let mut last_offsets: Vec<(TopicSlot, i32, Offset)> = Vec::with_capacity(targets.len());
    let mut places: HashMap<Target, usize> = HashMap::with_capacity(targets.len());
    for (target, last) in targets.iter().zip(lasts) {
        let place = places.get(target).and_then(|at| last_offsets.get_mut(*at));
        if let Some(known) = place {
            known.2 = *last;
        } else {
            places.insert(*target, last_offsets.len());
            last_offsets.push((target.0, target.1, *last));
        }
    }
    Committed { last_offsets }
}

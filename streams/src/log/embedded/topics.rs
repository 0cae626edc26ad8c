//! Creating and deleting topics, and giving up their oldest records.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Entry, TopicId};
use super::queue::Failure;
use super::shared::Shared;
use super::state::State;
use crate::log::{LogError, Offset, TopicPartition, TopicSpec};

/// Kafka's limit on a topic's name.
const NAME_BYTES_MAX: usize = 249;

/// See [`crate::log::Log::create_topics`]. All topics are created, or none.
pub(super) fn create(shared: &Shared, topics: &[TopicSpec]) -> Result<(), LogError> {
    shared.check()?;
    let _one_at_a_time = shared.topics.lock();
    let entries = new_topics(&shared.state.read(), topics)?;
    write(shared, entries)
}

/// See [`crate::log::Log::delete_topics`].
pub(super) fn delete(shared: &Shared, topics: &[&str]) -> Result<(), LogError> {
    shared.check()?;
    let _one_at_a_time = shared.topics.lock();
    let state = shared.state.read();
    let known = topics.iter().filter_map(|name| state.topic(name));
    let entries = known.map(|(id, _)| Entry::DropTopic(id)).collect();
    drop(state);
    write(shared, entries)
}

/// Gives up the records of a partition below `start`.
pub(super) fn purge_before(
    shared: &Shared,
    partition: &TopicPartition,
    start: Offset,
) -> Result<(), LogError> {
    shared.check()?;
    let partition = shared.state.read().resolve(partition)?;
    write(shared, vec![Entry::Start { partition, start }])
}

/// Writes entries, if there are any, and waits until they are durable.
pub(super) fn write(shared: &Shared, entries: Vec<Entry>) -> Result<(), LogError> {
    if entries.is_empty() {
        return Ok(());
    }
    let written = shared.write(Vec::new(), entries, None);
    written.map(|_| ()).map_err(Failure::into_error)
}

fn new_topics(state: &State, topics: &[TopicSpec]) -> Result<Vec<Entry>, LogError> {
    let mut next = state.next_topic();
    let mut new: HashMap<&Arc<str>, i32> = HashMap::new();
    let mut entries = Vec::new();
    for spec in topics {
        check_spec(spec)?;
        let old = state
            .topic(&spec.name)
            .map(|(_, topic)| topic.partitions.len());
        let old = old.and_then(|partitions| i32::try_from(partitions).ok());
        match old.or_else(|| new.get(&spec.name).copied()) {
            None => {
                entries.push(entry(TopicId(next), spec));
                new.insert(&spec.name, spec.partitions);
                next += 1;
            }
            Some(partitions) if partitions == spec.partitions => {}
            Some(partitions) => {
                return Err(LogError::Config(format!(
                    "topic `{}` has {partitions} partitions, not {}",
                    spec.name, spec.partitions
                )));
            }
        }
    }
    Ok(entries)
}

fn entry(id: TopicId, spec: &TopicSpec) -> Entry {
    Entry::Topic {
        id,
        name: Arc::clone(&spec.name),
        partitions: spec.partitions,
        cleanup: spec.cleanup,
    }
}

fn check_spec(spec: &TopicSpec) -> Result<(), LogError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = &spec.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_allowed) {
        return Err(LogError::Config(format!(
            "`{name}` is no topic name: use 1 to {NAME_BYTES_MAX} of `a-z A-Z 0-9 . _ -`"
        )));
    }
    if spec.partitions < 1 {
        return Err(LogError::Config(format!(
            "topic `{name}` must have at least one partition"
        )));
    }
    Ok(())
}

//! What a consumer asks the cluster about partitions: whether they exist, how far they go, and what
//! its group has committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::fetcher::{config_error, unavailable};
use super::ffi::{Inquirer, NativeError};
use super::lists::{list_at, list_of};
use crate::log::{Bounds, CommittedOffset, LogError, Offset, TopicPartition};

/// How long a topic or a partition that was made a moment ago may be unknown to some broker.
const TOPIC_GRACE: Duration = Duration::from_secs(5);
/// How long to wait for one answer. The library may miss that a coordinator is back, and sleep on
/// until its time is up.
const ONE_ANSWER: Duration = Duration::from_secs(2);
/// How soon to ask again after a passing error.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// By which rule a partition ends.
#[derive(Clone, Copy)]
enum By {
    /// Where the consumer's isolation level lets it read.
    Isolation,
    /// Behind everything that was written.
    HighWatermark,
}

/// Asks for up to `timeout`, while leaders move and coordinators load. Clones share what they know.
#[derive(Clone)]
pub(super) struct Inquiry {
    inquirer: Inquirer,
    timeout: Duration,
    /// Topics that are known to exist, with their partitions.
    partitions: Arc<Mutex<HashMap<Arc<str>, i32>>>,
}

impl Inquiry {
    pub(super) fn new(inquirer: Inquirer, timeout: Duration) -> Self {
        Self {
            inquirer,
            timeout,
            partitions: Arc::default(),
        }
    }

    /// The same with less patience.
    pub(super) fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout: timeout.min(self.timeout),
            ..self.clone()
        }
    }

    /// The first offset and the ends, in the order of `partitions`.
    pub(super) fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        partitions
            .iter()
            .try_for_each(|partition| self.check_exists(partition))?;
        let starts = self.offsets_at(partitions, KafkaOffset::Beginning, By::Isolation)?;
        let ends = self.offsets_at(partitions, KafkaOffset::End, By::Isolation)?;
        // Asked for last: what was written meanwhile is in front of it.
        let written = self.offsets_at(partitions, KafkaOffset::End, By::HighWatermark)?;
        let bounds = starts.into_iter().zip(ends).zip(written);
        Ok(bounds
            .map(|((start, end), written)| Bounds {
                start,
                end,
                high_watermark: written.max(end),
            })
            .collect())
    }

    /// The offsets that the consumer's group has committed, in the order of `partitions`.
    pub(super) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = self.patiently(|inquirer, timeout| {
            let list = list_of(partitions);
            inquirer.committed(&list, timeout)?;
            Ok(list)
        })?;
        offsets_in(&list)
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time: KafkaOffset,
        by: By,
    ) -> Result<Vec<Offset>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        self.patiently(|inquirer, timeout| {
            let list = list_at(partitions.iter().map(|partition| (partition, time)));
            match by {
                By::Isolation => inquirer.offsets_for_times(&list, timeout)?,
                By::HighWatermark => inquirer.offsets_uncommitted(&list, timeout)?,
            }
            let elements = list.elements();
            let offsets = elements.iter().map(|element| match element.offset() {
                KafkaOffset::Offset(offset) if element.error().is_ok() => Ok(offset),
                _ => Err(NativeError::not_ready()),
            });
            offsets.collect()
        })
    }

    /// Asks until there is an answer.
    fn patiently<T>(
        &self,
        ask: impl Fn(&Inquirer, Duration) -> Result<T, NativeError>,
    ) -> Result<T, LogError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match ask(&self.inquirer, rest.min(ONE_ANSWER)) {
                Ok(answer) => return Ok(answer),
                Err(error) if is_final(error.code) => return Err(config_error(error)),
                Err(error) if rest <= RETRY_PAUSE => return Err(unavailable(error)),
                Err(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    /// Makes sure that there is such a partition. Some broker may not have heard of it yet.
    ///
    /// # Errors
    /// [`LogError::Config`] when there is none for seconds; [`LogError::Unavailable`].
    pub(super) fn check_exists(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let has_it = |count: i32| (0..count).contains(&partition.partition);
        let known = self.partitions.lock().get(&partition.topic).copied();
        if known.is_some_and(has_it) {
            return Ok(());
        }
        let topic = &partition.topic;
        let deadline = Instant::now() + TOPIC_GRACE;
        loop {
            let count = self.patiently(|inquirer, wait| inquirer.partition_count(topic, wait))?;
            if let Some(count) = count.filter(|count| has_it(*count)) {
                self.partitions.lock().insert(Arc::clone(topic), count);
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(LogError::Config(missing(partition, count)));
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }
}

fn missing(partition: &TopicPartition, count: Option<i32>) -> String {
    let topic = &partition.topic;
    match count {
        Some(count) => format!("`{partition}` does not exist: `{topic}` has {count} partitions"),
        None => format!("topic `{topic}` does not exist: create it"),
    }
}

/// The offsets that were filled in.
fn offsets_in(list: &TopicPartitionList) -> Result<Vec<Option<CommittedOffset>>, LogError> {
    let elements = list.elements();
    let offsets = elements.iter().map(|element| {
        element
            .error()
            .map_err(|error| LogError::Unavailable(error.to_string()))?;
        Ok(match element.offset() {
            KafkaOffset::Offset(offset) => Some(CommittedOffset {
                offset,
                metadata: element.metadata().to_owned(),
            }),
            _ => None,
        })
    });
    offsets.collect()
}

/// Errors that asking again does not mend.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidArgument
    )
}

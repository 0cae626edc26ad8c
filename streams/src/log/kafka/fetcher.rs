//! Reads assigned partitions into batches: the half that members and readers have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::ffi::{Consumer, NativeError};
use super::lists::{list_at, list_of};
use super::question::Question;
use super::sorter::{Failure, Seat, Seats};
use crate::log::{Bounds, CommittedOffset, LogError, Offset, RecordBatch, TopicPartition};

/// Messages per fetch: enough to make a call cheap, few enough to come back soon.
const MESSAGES_PER_FETCH: usize = 4_096;
/// How long a topic that was made a moment ago may be unknown to some broker.
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

/// A consumer, what it is assigned, and how far it has read.
pub(super) struct Fetcher {
    consumer: Consumer,
    timeout: Duration,
    question: Question,
    seats: Seats,
    /// Topics that are known to exist, with their partitions.
    partitions: HashMap<Arc<str>, i32>,
}

impl Fetcher {
    /// A fetcher with nothing assigned. A question to the cluster may take `timeout`.
    pub(super) fn start(config: &ClientConfig, timeout: Duration) -> Result<Self, LogError> {
        Ok(Self {
            consumer: Consumer::start(config).map_err(config_error)?,
            timeout,
            question: Question::start("committed-offsets")?,
            seats: Seats::default(),
            partitions: HashMap::new(),
        })
    }

    /// The first offset and the ends, in the order of `partitions`.
    pub(super) fn bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Bounds>, LogError> {
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
        let list = self.patiently(|consumer, timeout| {
            let list = list_of(partitions);
            consumer.group_offsets().fill_in(&list, timeout)?;
            Ok(list)
        })?;
        offsets_in(&list)
    }

    /// As [`Fetcher::committed`], without waiting: `None` until the answer is there.
    pub(super) fn poll_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let group = self.consumer.group_offsets();
        self.question.poll(partitions, move |partitions| {
            let list = list_of(partitions);
            match group.fill_in(&list, ONE_ANSWER) {
                Ok(()) => offsets_in(&list),
                Err(error) if is_final(error.code) => Err(config_error(error)),
                Err(error) => Err(unavailable(error)),
            }
        })
    }

    /// What was asked for before may not be true any more.
    pub(super) fn forget_question(&mut self) {
        self.question.forget();
    }

    /// The same, where it is about partitions for which an offset is committed.
    pub(super) fn forget_question_about(
        &mut self,
        committed: &[(TopicPartition, CommittedOffset)],
    ) {
        self.question.forget_about(committed);
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
        self.patiently(|consumer, timeout| {
            let list = list_at(partitions.iter().map(|partition| (partition, time)));
            match by {
                By::Isolation => consumer.offsets_for_times(&list, timeout)?,
                By::HighWatermark => consumer.offsets_uncommitted(&list, timeout)?,
            }
            let elements = list.elements();
            let offsets = elements.iter().map(|element| match element.offset() {
                KafkaOffset::Offset(offset) if element.error().is_ok() => Ok(offset),
                _ => Err(NativeError::not_ready()),
            });
            offsets.collect()
        })
    }

    /// Asks until there is an answer, while leaders move and coordinators load.
    fn patiently<T>(
        &self,
        ask: impl Fn(&Consumer, Duration) -> Result<T, NativeError>,
    ) -> Result<T, LogError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match ask(&self.consumer, rest.min(ONE_ANSWER)) {
                Ok(answer) => return Ok(answer),
                Err(error) if is_final(error.code) => return Err(config_error(error)),
                Err(error) if rest <= RETRY_PAUSE => {
                    return Err(LogError::Unavailable(error.to_string()));
                }
                Err(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    fn check_exists(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        let count = match self.partitions.get(&partition.topic) {
            Some(count) if partition.partition < *count => *count,
            _ => self.count_partitions(&partition.topic)?,
        };
        if (0..count).contains(&partition.partition) {
            return Ok(());
        }
        Err(LogError::Config(format!(
            "`{partition}` does not exist: `{}` has {count} partitions",
            partition.topic
        )))
    }

    fn count_partitions(&mut self, topic: &Arc<str>) -> Result<i32, LogError> {
        let deadline = Instant::now() + TOPIC_GRACE.min(self.timeout);
        loop {
            match self.patiently(|consumer, wait| consumer.partition_count(topic, wait))? {
                Some(count) => {
                    self.partitions.insert(Arc::clone(topic), count);
                    return Ok(count);
                }
                None if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
                None => {
                    let text = format!("topic `{topic}` does not exist: create it");
                    return Err(LogError::Config(text));
                }
            }
        }
    }

    /// Replaces the assignment. What stays where it is goes on without being fetched again.
    pub(super) fn assign(&mut self, wanted: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        wanted
            .iter()
            .try_for_each(|(partition, _)| self.check_exists(partition))?;
        let (removed, added) = self.seats.replace(wanted);
        self.remove(&removed)?;
        self.add(&added)
    }

    fn remove(&self, seats: &[Seat]) -> Result<(), LogError> {
        if seats.is_empty() {
            return Ok(());
        }
        // A pause would outlive the assignment.
        let stopped = seats.iter().filter(|seat| seat.stopped);
        let stopped = list_of(stopped.map(|seat| &seat.partition));
        if stopped.count() > 0 {
            self.consumer.resume(&stopped).map_err(unavailable)?;
        }
        let list = list_of(seats.iter().map(|seat| &seat.partition));
        self.consumer.remove(&list).map_err(unavailable)
    }

    fn add(&self, wanted: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let at = wanted.iter();
        let list = list_at(at.map(|(p, offset)| (p, KafkaOffset::Offset(*offset))));
        self.consumer.add(&list).map_err(unavailable)
    }

    /// Stops fetching these partitions.
    pub(super) fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.seats.set_paused(partitions, true)
    }

    /// Goes on fetching them.
    pub(super) fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.seats.set_paused(partitions, false)
    }

    /// Tells the client which partitions to stop, and which to go on with.
    fn apply_pauses(&mut self) -> Result<(), LogError> {
        let stop = list_of(self.seats.to_stop(true));
        if stop.count() > 0 {
            self.consumer.pause(&stop).map_err(unavailable)?;
        }
        let go_on = list_of(self.seats.to_stop(false));
        if go_on.count() > 0 {
            self.consumer.resume(&go_on).map_err(unavailable)?;
        }
        self.seats.note_stopped();
        Ok(())
    }

    /// Appends what arrived to `into`, at most one batch per partition.
    pub(super) fn fetch(
        &mut self,
        max_wait: Duration,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        if let Some(failure) = self.seats.take_failure() {
            return Err(self.explain(failure));
        }
        if self.seats.is_pausing() {
            self.apply_pauses()?;
        }
        let max_wait = if self.seats.owes_end() {
            Duration::ZERO
        } else {
            max_wait
        };
        let before = into.len();
        let mut sorter = self.seats.sort(into);
        self.consumer
            .drain(max_wait, MESSAGES_PER_FETCH, |message| sorter.take(message));
        sorter.finish();
        // Records first: an error behind them is told by the next fetch.
        if into.len() > before {
            return Ok(());
        }
        match self.seats.take_failure() {
            Some(failure) => Err(self.explain(failure)),
            None => Ok(()),
        }
    }

    fn explain(&mut self, failure: Failure) -> LogError {
        match failure {
            Failure::Other(error) => error,
            Failure::OutOfRange(partition, wanted) => {
                match self.bounds(std::slice::from_ref(&partition)) {
                    Err(error) => error,
                    Ok(bounds) => LogError::OffsetOutOfRange {
                        partition,
                        wanted,
                        start: bounds.first().map_or(0, |bounds| bounds.start),
                    },
                }
            }
        }
    }

    /// Takes a batch back.
    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        self.seats.recycle(batch);
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

pub(super) fn config_error(error: NativeError) -> LogError {
    LogError::Config(error.text)
}

fn unavailable(error: NativeError) -> LogError {
    LogError::Unavailable(error.text)
}

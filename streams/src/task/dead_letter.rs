//! Dead letters: a bad record, as it came, with what is known about its fault.
//!
//! The headers are those of Kafka Streams (KIP-1034), so its tools read them.

use crate::catalog::dead_letter_topic;
use crate::error::ProcessError;
use crate::headers::HeaderList;
use crate::log::{OutputBatch, OutputRecord, RawRecord, TopicPartition, TopicSlot};
use crate::partitioner::partition_of;

/// Where dead letters go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadLetters {
    slot: TopicSlot,
    partitions: i32,
}

impl DeadLetters {
    pub(crate) fn new(application: &str, partitions: i32, outputs: &mut OutputBatch) -> Self {
        Self {
            slot: outputs.slot(&dead_letter_topic(application)),
            partitions,
        }
    }

    /// Writes the record into the running transaction.
    pub(crate) fn write(
        self,
        outputs: &mut OutputBatch,
        partition: &TopicPartition,
        record: RawRecord<'_>,
        error: &ProcessError,
    ) {
        let mut headers = HeaderList::from(record.headers);
        let mut set = |name: &str, value: &str| headers.set(name, value.as_bytes());
        set("__streams.errors.topic", &partition.topic);
        set(
            "__streams.errors.partition",
            &partition.partition.to_string(),
        );
        set("__streams.errors.offset", &record.offset.to_string());
        set("__streams.errors.exception", error.kind());
        set("__streams.errors.message", &error.to_string());
        outputs.push(OutputRecord {
            topic: self.slot,
            partition: record
                .key
                .map_or(0, |key| partition_of(key, self.partitions)),
            timestamp: record.timestamp,
            headers: headers.view(),
            key: record.key,
            value: record.value,
        });
    }
}

/// What to do with a record that cannot be processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Count it and go on.
    Continue,
    /// Write it to the dead-letter topic, in the same transaction, and go on.
    #[default]
    DeadLetter,
    /// Stop the application; the record stays where it is.
    Fail,
}

/// What to do with bad records, by where they turn out to be bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorHandling {
    /// The record's bytes are not of the topic's types.
    pub deserialize: OnError,
    /// A processor has refused it.
    pub process: OnError,
    /// What follows from it cannot be written.
    pub produce: OnError,
}

impl ErrorHandling {
    pub(crate) fn for_error(&self, error: &ProcessError) -> OnError {
        match error {
            ProcessError::Input(_) => self.deserialize,
            ProcessError::Rejected(_) => self.process,
            ProcessError::Serde(_) | ProcessError::TooLarge { .. } => self.produce,
            ProcessError::State(_) | ProcessError::Topology(_) => OnError::Fail,
        }
    }
}

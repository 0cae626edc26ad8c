//! Dead letters: a bad record, as it came, with what is known about its fault.
//!
//! The headers are those of Kafka Streams (KIP-1034), so its tools read them. Two more tell that it
//! is no whole record that is missing: `__streams.errors.update` names the store whose update was
//! refused downstream, `__streams.errors.output` the topic that one output has not reached.

use crate::catalog::dead_letter_topic;
use crate::error::ProcessError;
use crate::headers::{HeaderList, Headers};
use crate::log::{OutputBatch, OutputRecord, TopicSlot};
use crate::partitioner::partition_of;
use crate::task::failure::Failure;
use crate::task::timestamps::TimestampPolicy;

/// How much of an error's text goes along: a panic may print its whole record.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// The room for headers that tell what was left out.
const LEFT_OUT_BYTES: usize = 192;

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

    /// Writes the record into the running transaction. One that would be over `bytes_max` goes without
    /// its value, if need be without its own headers, and at last without its key, and says so: it can
    /// be looked up by topic and offset.
    pub(crate) fn write(self, outputs: &mut OutputBatch, failure: &Failure<'_>, bytes_max: usize) {
        let Failure {
            partition,
            record,
            error,
            ..
        } = *failure;
        let mut told = HeaderList::new();
        let mut set = |name: &str, value: &str| told.set(name, value.as_bytes());
        set("__streams.errors.topic", &partition.topic);
        set(
            "__streams.errors.partition",
            &partition.partition.to_string(),
        );
        set("__streams.errors.offset", &record.offset.to_string());
        set("__streams.errors.exception", error.kind());
        set("__streams.errors.message", cut(&error.to_string()));
        for (name, part) in [("update", failure.update), ("output", failure.output)] {
            if let Some(part) = part {
                set(&format!("__streams.errors.{name}"), part);
            }
        }
        let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let own = record.headers.encoded().len();
        let bytes = len(record.key) + own + len(record.value);
        let mut room = bytes_max.saturating_sub(told.view().encoded().len());
        if bytes > room {
            room = room.saturating_sub(LEFT_OUT_BYTES);
        }
        let mut fits = |part: &str, bytes: usize| {
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            if !fits {
                told.set(&format!("__streams.errors.{part}.left.out"), b"true");
            }
            fits
        };
        let key = record.key.filter(|_| fits("key", len(record.key)));
        let keeps_own = fits("headers", own);
        let value = record.value.filter(|_| fits("value", len(record.value)));
        let mut headers = HeaderList::from(if keeps_own {
            record.headers
        } else {
            Headers::EMPTY
        });
        for (name, value) in told.view() {
            headers.set(name, value.unwrap_or_default());
        }
        let topic = partition.topic.clone();
        metrics::counter!("dead_letter_records_total", "topic" => topic).increment(1);
        outputs.push(OutputRecord {
            topic: self.slot,
            partition: record
                .key
                .map_or(0, |key| partition_of(key, self.partitions)),
            timestamp: record.timestamp,
            headers: headers.view(),
            key,
            value,
        });
    }
}

/// The text, cut to a length that fits a header.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)]
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
    /// The record's bytes are not of the topic's types. A global table writes no dead letters: it
    /// counts what would be one.
    pub deserialize: OnError,
    /// A processor has refused it, or has panicked at it: nothing of it stays.
    pub process: OnError,
    /// What follows from it cannot be written. An output goes alone, and the rest of the record
    /// stays; if a store cannot take it, nothing stays.
    pub produce: OnError,
}

impl ErrorHandling {
    /// What to do about `error`: what is no record's fault fails the task.
    pub(crate) fn for_error(&self, error: &ProcessError) -> OnError {
        match error {
            error if !error.is_records_fault() => OnError::Fail,
            ProcessError::Input(_) => self.deserialize,
            ProcessError::Rejected(_) | ProcessError::Panicked(_) => self.process,
            ProcessError::Serde(_) | ProcessError::TooLarge { .. } => self.produce,
            ProcessError::State(_) | ProcessError::Topology(_) => OnError::Fail,
        }
    }
}

/// What a task does with records that are not as they should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handling {
    pub(crate) errors: ErrorHandling,
    pub(crate) timestamps: TimestampPolicy,
    pub(crate) dead_letters: Option<DeadLetters>,
}

impl Handling {
    /// What to do about `error`.
    pub(crate) fn of(&self, error: &ProcessError) -> OnError {
        match self.errors.for_error(error) {
            OnError::DeadLetter if self.dead_letters.is_none() => OnError::Fail,
            handler => handler,
        }
    }
}

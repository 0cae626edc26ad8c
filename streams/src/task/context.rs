//! What the operators of a task share: stores, output, time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ProcessError, ProcessResult, TopologyError};
use crate::global::GlobalTables;
use crate::headers::Headers;
use crate::log::{Offset, OutputBatch, TaskId, TopicPartition};
use crate::record::RecordMetadata;
use crate::store::TIMESTAMP_BYTES;
use crate::task::dead_letter::Handling;
use crate::task::failure::RefusedOutput;
use crate::task::punctuation::{Due, PunctuationId, PunctuationKind, PunctuationQueue};
use crate::task::stores::TaskStore;
use crate::time::Timestamp;

/// What the operators of one task share.
pub struct TaskContext {
    pub(crate) id: TaskId,
    pub(crate) stores: Vec<TaskStore>,
    pub(crate) globals: GlobalTables,
    /// The stream thread's output, lent for the time of a call.
    pub(crate) outputs: OutputBatch,
    /// The most that key, value and headers of a record may take.
    pub(crate) record_bytes_max: usize,
    pub(crate) handling: Handling,
    pub(crate) by_stream_time: PunctuationQueue,
    pub(crate) by_wall_clock: PunctuationQueue,
    /// The number of the hooks that are being called.
    pub(crate) hook: usize,
    /// The outputs that could not be written of what is at hand.
    pub(crate) refused: Vec<RefusedOutput>,
    /// How much output there was before the record at hand.
    outputs_before: usize,
    /// True if the record at hand has written to a store.
    has_stored: bool,
    /// The partitions that the task reads, by the number of their queue.
    pub(crate) partitions: Box<[TopicPartition]>,
    /// The queue and the offset of the record at hand, if it is a record that is at hand.
    pub(crate) origin: Option<(usize, Offset)>,
    stream_time: Timestamp,
    wall_clock: Timestamp,
    /// The timestamp of the record, punctuation or tick at hand.
    timestamp: Timestamp,
}

impl TaskContext {
    pub(crate) fn new(
        id: TaskId,
        stores: Vec<TaskStore>,
        globals: GlobalTables,
        record_bytes_max: usize,
        handling: Handling,
        stream_time: Timestamp,
        wall_clock: Timestamp,
    ) -> Self {
        Self {
            id,
            stores,
            globals,
            outputs: OutputBatch::new(),
            record_bytes_max,
            handling,
            by_stream_time: PunctuationQueue::default(),
            by_wall_clock: PunctuationQueue::default(),
            hook: 0,
            refused: Vec::new(),
            outputs_before: 0,
            has_stored: false,
            partitions: Box::default(),
            origin: None,
            stream_time,
            wall_clock,
            timestamp: stream_time,
        }
    }

    /// The largest timestamp that the task has seen.
    pub(crate) fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    pub(crate) fn wall_clock(&self) -> Timestamp {
        self.wall_clock
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Nothing has followed yet from what is at hand from now on.
    pub(crate) fn begin(&mut self) {
        self.refused.clear();
        self.outputs_before = self.outputs.len();
        self.has_stored = false;
    }

    /// True if the record at hand has left something, in a store or in the output.
    pub(crate) fn has_written(&self) -> bool {
        self.has_stored || self.outputs.len() > self.outputs_before
    }

    pub(crate) fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        let (queue, offset) = self.origin?;
        let read = self.partitions.get(queue)?;
        Some(RecordMetadata {
            topic: &read.topic,
            partition: read.partition,
            offset,
        })
    }

    /// A record with this timestamp could be read, and is processed next.
    pub(crate) fn begin_record(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
        self.stream_time = self.stream_time.max(timestamp);
    }

    /// Forgets what operators have scheduled, and the time that was not committed: the operators are
    /// made anew.
    pub(crate) fn begin_again(&mut self, stream_time: Timestamp) {
        self.by_stream_time = PunctuationQueue::default();
        self.by_wall_clock = PunctuationQueue::default();
        self.refused.clear();
        self.stream_time = stream_time;
    }

    /// A punctuation or tick at this time is processed next.
    pub(crate) fn begin_tick(&mut self, at: Timestamp) {
        self.begin_flush();
        self.timestamp = at;
    }

    /// Begins what tables hold back until the commit: it belongs to no record.
    pub(crate) fn begin_flush(&mut self) {
        self.refused.clear();
        self.origin = None;
    }

    /// The wall clock shows `at`; it never goes back for a task.
    pub(crate) fn set_wall_clock(&mut self, at: Timestamp) {
        self.wall_clock = self.wall_clock.max(at);
    }

    /// Schedules a punctuation for the operator whose hooks are being called.
    pub(crate) fn schedule(
        &mut self,
        id: PunctuationId,
        kind: PunctuationKind,
        interval: Duration,
    ) {
        let due = Due {
            hook: self.hook,
            id,
        };
        match kind {
            // It keeps step with the beginning of time, and the first record of all makes it due.
            PunctuationKind::StreamTime => {
                self.by_stream_time
                    .schedule(due, interval, Timestamp::from_millis(0));
            }
            PunctuationKind::WallClock => {
                self.by_wall_clock
                    .schedule(due, interval, self.wall_clock + interval);
            }
        }
    }

    pub(crate) fn store(&self, slot: usize) -> Result<&TaskStore, ProcessError> {
        self.stores.get(slot).ok_or_else(|| no_such_slot(slot))
    }

    pub(crate) fn put(&mut self, slot: usize, key: &[u8], stored: &[u8]) -> ProcessResult {
        let limit = self.record_bytes_max;
        let store = self
            .stores
            .get_mut(slot)
            .ok_or_else(|| no_such_slot(slot))?;
        let bytes = (key.len() + stored.len()).saturating_sub(TIMESTAMP_BYTES);
        if bytes > limit {
            let target: Arc<str> = store.name().clone();
            return Err(ProcessError::TooLarge {
                target,
                bytes,
                limit,
            });
        }
        self.has_stored = true;
        store.put(key, stored)
    }

    /// Deletes a key for the record at hand.
    pub(crate) fn delete(&mut self, slot: usize, key: &[u8]) -> ProcessResult {
        let at = self.timestamp;
        let store = self
            .stores
            .get_mut(slot)
            .ok_or_else(|| no_such_slot(slot))?;
        self.has_stored = true;
        store.delete(key, at)
    }

    /// Remembers the headers of the record that has changed the key, until the commit.
    pub(crate) fn keep_headers(&mut self, slot: usize, key: &[u8], headers: Headers<'_>) {
        if let Some(store) = self.stores.get_mut(slot) {
            store.keep_headers(key, headers);
        }
    }
}

fn no_such_slot(slot: usize) -> ProcessError {
    TopologyError::UnconnectedStore {
        store: format!("slot {slot}"),
    }
    .into()
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskContext({})", self.id)
    }
}

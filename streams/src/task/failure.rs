//! What cannot be processed: a record, an update of a table, or one output of them; and what its
//! handler makes of it.

use std::sync::Arc;

use crate::error::{ProcessError, ProcessResult};
use crate::headers::Headers;
use crate::log::{RawRecord, TopicPartition};
use crate::store::split_timestamp;
use crate::task::context::TaskContext;
use crate::task::dead_letter::OnError;
use crate::task::stores::RawChange;

/// The offset of what is no record: an update, or an output that follows from time alone.
const NO_OFFSET: i64 = -1;
/// The partition of an output that follows from time alone.
const NO_PARTITION: i32 = -1;

/// What could not be processed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) record: RawRecord<'a>,
    /// The store whose update it is; `None` for a record.
    pub(crate) update: Option<&'a str>,
    /// The topic, if an output alone is missing, and all the rest was done.
    pub(crate) output: Option<&'a str>,
    pub(crate) error: &'a ProcessError,
}

/// An output that cannot be written.
#[derive(Debug)]
pub(crate) struct RefusedOutput {
    topic: Arc<str>,
    key: Box<[u8]>,
    error: ProcessError,
}

impl TaskContext {
    /// Does what the handler says about a failure; false if it says to fail.
    pub(crate) fn handle(&mut self, failure: &Failure<'_>) -> bool {
        let Failure {
            partition, error, ..
        } = failure;
        let offset = failure.record.offset;
        match (self.handling.of(error), self.handling.dead_letters) {
            (OnError::DeadLetter, Some(dead_letters)) => {
                tracing::warn!(%error, %partition, offset, "set aside");
                dead_letters.write(&mut self.outputs, failure, self.record_bytes_max);
            }
            (OnError::Continue, _) => {
                tracing::warn!(%error, %partition, offset, "skipped");
                metrics::counter!("dropped_records_total", "reason" => error.kind()).increment(1);
            }
            (OnError::Fail | OnError::DeadLetter, _) => return false,
        }
        true
    }

    /// An output cannot be written: unless the handler says to fail, it alone is missing, and is
    /// handled when the record or update at hand is done.
    pub(crate) fn refuse_output(
        &mut self,
        topic: &Arc<str>,
        key: &[u8],
        error: ProcessError,
    ) -> ProcessResult {
        if self.handling.of(&error) == OnError::Fail {
            return Err(error);
        }
        self.refused.push(RefusedOutput {
            topic: topic.clone(),
            key: key.into(),
            error,
        });
        Ok(())
    }

    /// Handles the outputs that were refused while a record, or an update of the table `update`, was
    /// processed.
    pub(crate) fn handle_outputs(
        &mut self,
        partition: &TopicPartition,
        record: RawRecord<'_>,
        update: Option<&str>,
    ) {
        for refused in std::mem::take(&mut self.refused) {
            self.handle(&Failure {
                partition,
                record,
                update,
                output: Some(&refused.topic),
                error: &refused.error,
            });
        }
    }

    /// Handles the outputs that were refused in a tick or a punctuation: all that is known of one is
    /// where it should have gone, and its key.
    pub(crate) fn handle_outputs_of_time(&mut self) {
        for refused in std::mem::take(&mut self.refused) {
            let partition = TopicPartition::new(refused.topic.clone(), NO_PARTITION);
            let record = RawRecord {
                offset: NO_OFFSET,
                timestamp: self.timestamp(),
                headers: Headers::EMPTY,
                key: Some(&refused.key),
                value: None,
            };
            self.handle(&Failure {
                partition: &partition,
                record,
                update: None,
                output: Some(&refused.topic),
                error: &refused.error,
            });
        }
    }

    /// An update of a table was forwarded: what was refused of it is handled as for a record. It is
    /// named by its changelog, where it has no offset yet.
    pub(crate) fn settle_update(
        &mut self,
        slot: usize,
        change: RawChange<'_>,
        forwarded: ProcessResult,
    ) -> ProcessResult {
        if forwarded.is_ok() && self.refused.is_empty() {
            return Ok(());
        }
        let store = self.store(slot)?;
        let (name, partition) = (store.name().clone(), store.changelog().clone());
        let value = change.new.and_then(split_timestamp);
        let deleted_at = change.deleted_at.unwrap_or(self.stream_time());
        let record = RawRecord {
            offset: NO_OFFSET,
            timestamp: value.map_or(deleted_at, |(timestamp, _)| timestamp),
            headers: change.headers,
            key: Some(change.key),
            value: value.map(|(_, value)| value),
        };
        self.handle_outputs(&partition, record, Some(&name));
        let Err(error) = forwarded else {
            return Ok(());
        };
        let handled = self.handle(&Failure {
            partition: &partition,
            record,
            update: Some(&name),
            output: None,
            error: &error,
        });
        if handled { Ok(()) } else { Err(error) }
    }
}

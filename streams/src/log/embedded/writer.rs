//! Writers: single records from outside a topology.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use super::entry::PartitionId;
use super::queue::{Failure, Pending, Reply, Request};
use super::record;
use super::shared::{Shared, reply};
use super::state::no_topic;
use crate::log::{LogError, NewRecord, Position, TopicPartition, Writer};
use crate::partitioner::partition_of;

/// Appends records; many of them share one write and one sync.
#[derive(Debug)]
pub(super) struct EmbeddedWriter {
    shared: Arc<Shared>,
    /// Shown in debug output.
    #[expect(dead_code, reason = "read by Debug")]
    name: String,
    /// Spreads records without a key.
    turn: AtomicU32,
}

impl EmbeddedWriter {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Self {
        Self {
            shared,
            name: name.to_owned(),
            turn: AtomicU32::new(0),
        }
    }

    /// Where a record goes: by its key, or each in turn.
    fn target(&self, record: &NewRecord) -> Result<PartitionId, LogError> {
        let state = self.shared.state.read();
        let (id, topic) = state
            .topic(&record.topic)
            .ok_or_else(|| no_topic(&record.topic))?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = match &record.key {
            Some(key) => partition_of(key, partitions),
            None => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
                turn.cast_signed() % partitions
            }
        };
        Ok((id, partition))
    }

    fn start(&self, record: &NewRecord) -> Result<Started, LogError> {
        self.shared.check()?;
        let bytes = record::size(
            record.headers.view(),
            record.key.as_deref(),
            record.value.as_deref(),
        );
        check_size(&self.shared, &record.topic, bytes)?;
        let target = self.target(record)?;
        let (request, answer) = Request::new(vec![pending(target, record)], Vec::new(), None);
        self.shared.queue.try_push(request)?;
        let partition = TopicPartition::new(Arc::clone(&record.topic), target.1);
        Ok(answer
            .map(move |answer| position(partition, reply(answer)))
            .boxed())
    }
}

type Started = BoxFuture<'static, Result<Position, LogError>>;

impl Writer for EmbeddedWriter {
    fn append(&self, record: NewRecord) -> Started {
        match self.start(&record) {
            Ok(started) => started,
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}

/// Refuses a record that is larger than the log takes.
pub(super) fn check_size(shared: &Shared, topic: &Arc<str>, bytes: usize) -> Result<(), LogError> {
    let limit = shared.options.record_bytes_max;
    if bytes <= limit {
        return Ok(());
    }
    Err(LogError::RecordTooLarge {
        topic: Arc::clone(topic),
        bytes,
        limit,
    })
}

fn pending(partition: PartitionId, record: &NewRecord) -> Pending {
    let mut data = Vec::new();
    record::encode(
        record.timestamp,
        record.headers.view(),
        record.key.as_deref(),
        record.value.as_deref(),
        &mut data,
    );
    Pending {
        partition,
        data,
        count: 1,
        max_timestamp: record.timestamp.as_millis(),
        crc: None,
    }
}

fn position(partition: TopicPartition, reply: Reply) -> Result<Position, LogError> {
    let lasts = reply.map_err(Failure::into_error)?;
    let offset = lasts.last().copied().unwrap_or_default();
    Ok(Position { partition, offset })
}

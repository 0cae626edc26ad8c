//! Readers: any partition, from any offset.

use std::sync::Arc;
use std::time::Duration;

use super::fetch::Fetcher;
use super::shared::Shared;
use crate::log::{Bounds, LogError, Offset, Reader, RecordBatch, TopicPartition};

/// Reads what is durable. There are no aborted records in this log, so both levels of isolation
/// see the same.
#[derive(Debug)]
pub(super) struct EmbeddedReader {
    shared: Arc<Shared>,
    fetcher: Fetcher,
}

impl EmbeddedReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let bytes_max = shared.options.reader_fetch_bytes_max;
        Self {
            fetcher: Fetcher::new(Arc::clone(&shared), bytes_max),
            shared,
        }
    }
}

impl Reader for EmbeddedReader {
    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.shared.check()?;
        self.shared.state.read().bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.fetcher.assign(partitions)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.fetcher.fetch(max_wait, into)
    }
}

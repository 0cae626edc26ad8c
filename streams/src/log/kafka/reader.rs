//! A reader: a consumer that belongs to no group.

use std::time::Duration;

use super::fetcher::Fetcher;
use super::options::KafkaOptions;
use crate::log::{Bounds, Isolation, LogError, Offset, Reader, RecordBatch, TopicPartition};

/// librdkafka asks for a group's name even of a consumer that joins none. Nothing is committed
/// under it.
const NO_GROUP: &str = "millrace-reader";
/// What a reader keeps ahead.
const BYTES_MAX: usize = 32 << 20;

/// [`Reader`] on a Kafka cluster.
pub(super) struct KafkaReader {
    fetcher: Fetcher,
}

impl KafkaReader {
    /// A reader with nothing assigned; it connects in the background.
    pub(super) fn open(options: &KafkaOptions, isolation: Isolation) -> Result<Self, LogError> {
        let config = options.consumer(NO_GROUP, NO_GROUP, isolation, BYTES_MAX);
        let fetcher = Fetcher::start(&config, options.request_timeout)?;
        Ok(Self { fetcher })
    }
}

impl Reader for KafkaReader {
    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.fetcher.bounds(partitions)
    }

    fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        self.fetcher.poll_bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.fetcher.forget_questions();
        self.fetcher.assign(partitions)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.fetcher.fetch(max_wait, into)
    }
}

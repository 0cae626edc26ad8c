//! The simulated log's readers: any partition, from any offset.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::cluster::Cluster;
use super::fetcher::Fetcher;
use crate::log::{Bounds, Isolation, LogError, Offset, Reader, RecordBatch, TopicPartition};

/// How much one fetch of a reader brings.
const FETCH_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct SimReader {
    cluster: Arc<Mutex<Cluster>>,
    fetcher: Fetcher,
}

impl SimReader {
    pub(super) const fn new(cluster: Arc<Mutex<Cluster>>, isolation: Isolation) -> Self {
        Self {
            cluster,
            fetcher: Fetcher::new(isolation, FETCH_BYTES_MAX),
        }
    }
}

impl Reader for SimReader {
    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        let mut cluster = self.cluster.lock();
        cluster.enter();
        self.fetcher.bounds(&mut cluster, None, partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.fetcher.assign(&self.cluster.lock(), partitions)
    }

    fn fetch(&mut self, _max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        let mut cluster = self.cluster.lock();
        cluster.enter();
        self.fetcher.fetch(&mut cluster, None, into)
    }
}

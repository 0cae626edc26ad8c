//! The simulated log's writers: appends from outside a topology, decided at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;

use super::cluster::Cluster;
use super::faults::Fault;
use super::fetcher::unavailable_if;
use super::topics::missing;
use crate::log::{LogError, NewRecord, Position, RawRecord, TopicPartition, Writer};
use crate::partitioner::partition_of;

#[derive(Debug)]
pub(super) struct SimWriter {
    cluster: Arc<Mutex<Cluster>>,
    name: String,
    /// Where the next record without a key goes.
    turn: AtomicU32,
}

impl SimWriter {
    pub(super) fn new(cluster: Arc<Mutex<Cluster>>, name: &str) -> Self {
        Self {
            cluster,
            name: name.to_owned(),
            turn: AtomicU32::new(0),
        }
    }

    fn append_now(&self, record: &NewRecord) -> Result<Position, LogError> {
        let mut cluster = self.cluster.lock();
        cluster.enter();
        unavailable_if(&mut cluster, Fault::AppendLost, Some(&self.name))?;
        let partition = self.partition(&cluster, record)?;
        let offset = cluster.append(&partition, raw(record), None)?;
        unavailable_if(&mut cluster, Fault::AppendReplyLost, Some(&self.name))?;
        Ok(Position { partition, offset })
    }

    fn partition(&self, cluster: &Cluster, record: &NewRecord) -> Result<TopicPartition, LogError> {
        let mut partition = TopicPartition::new(Arc::clone(&record.topic), 0);
        let partitions = cluster.topics.partitions_of(&record.topic);
        let partitions = partitions.ok_or_else(|| missing(&partition))?;
        partition.partition = match &record.key {
            Some(key) => partition_of(key, partitions),
            None => self.next_turn(partitions),
        };
        Ok(partition)
    }

    fn next_turn(&self, partitions: i32) -> i32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // A topic has at least one partition, and a remainder is below their number.
        i32::try_from(turn % partitions.unsigned_abs().max(1)).unwrap_or(0)
    }
}

impl Writer for SimWriter {
    fn append(&self, record: NewRecord) -> BoxFuture<'static, Result<Position, LogError>> {
        ready(self.append_now(&record)).boxed()
    }
}

fn raw(record: &NewRecord) -> RawRecord<'_> {
    RawRecord {
        offset: 0,
        timestamp: record.timestamp,
        headers: record.headers.view(),
        key: record.key.as_deref(),
        value: record.value.as_deref(),
    }
}

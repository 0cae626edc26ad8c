//! Fetching: a set of partitions, each with its position, read in turns.

use super::cluster::Cluster;
use super::faults::Fault;
use super::partition::ReadLimit;
use crate::log::{Bounds, Isolation, LogError, Offset, RecordBatch, TopicPartition};

/// How many used batches are kept to be filled again.
const POOL_MAX: usize = 64;

/// The partitions that somebody reads.
#[derive(Debug)]
pub(super) struct Fetcher {
    isolation: Isolation,
    bytes_max: usize,
    /// Rotated by one with each fetch, so that a full fetch starves nobody.
    cursors: Vec<Cursor>,
    pool: Vec<RecordBatch>,
}

#[derive(Debug)]
struct Cursor {
    partition: TopicPartition,
    /// The topic's incarnation: one that was made anew has other records at the same offsets.
    topic: u64,
    position: Offset,
    paused: bool,
    /// True if the reader knows that it is at the end here.
    told_end: bool,
}

impl Fetcher {
    pub(super) const fn new(isolation: Isolation, bytes_max: usize) -> Self {
        Self {
            isolation,
            bytes_max,
            cursors: Vec::new(),
            pool: Vec::new(),
        }
    }

    pub(super) fn bounds(
        &self,
        cluster: &mut Cluster,
        who: Option<&str>,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Bounds>, LogError> {
        unavailable_if(cluster, Fault::BoundsUnavailable, who)?;
        let bounds = |of| {
            let partition = cluster.topics.partition(of)?;
            Ok(partition.bounds(self.isolation))
        };
        partitions.iter().map(bounds).collect()
    }

    pub(super) fn assign(
        &mut self,
        cluster: &Cluster,
        partitions: &[(TopicPartition, Offset)],
    ) -> Result<(), LogError> {
        let cursor = |(partition, position): &(TopicPartition, Offset)| {
            cluster.topics.partition(partition)?;
            Ok(Cursor {
                partition: partition.clone(),
                topic: topic_id(cluster, partition),
                position: *position,
                paused: false,
                told_end: false,
            })
        };
        let cursors: Result<Vec<Cursor>, LogError> = partitions.iter().map(cursor).collect();
        self.cursors = cursors?;
        Ok(())
    }

    pub(super) fn set_paused(
        &mut self,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<(), LogError> {
        for partition in partitions {
            let mut cursors = self.cursors.iter_mut();
            let cursor = cursors.find(|cursor| cursor.partition == *partition);
            let Some(cursor) = cursor else {
                let text = format!("partition `{partition}` is not assigned");
                return Err(LogError::Config(text));
            };
            cursor.paused = paused;
        }
        Ok(())
    }

    pub(super) fn fetch(
        &mut self,
        cluster: &mut Cluster,
        who: Option<&str>,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        for cursor in self.cursors.iter().filter(|cursor| !cursor.paused) {
            cursor.check(cluster)?;
        }
        unavailable_if(cluster, Fault::FetchUnavailable, who)?;
        if cluster.faults.strikes(Fault::FetchDelayed, who) {
            return Ok(());
        }
        let small = cluster.faults.strikes(Fault::FetchSmall, who);
        let records = if small { 1 } else { usize::MAX };
        self.fill(cluster, records, into)
    }

    fn fill(
        &mut self,
        cluster: &Cluster,
        records: usize,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        let mut bytes = self.bytes_max;
        for cursor in self.cursors.iter_mut().filter(|cursor| !cursor.paused) {
            if bytes == 0 {
                break;
            }
            let mut batch = self.pool.pop().unwrap_or_default();
            batch.reset(cursor.partition.clone());
            cluster.topics.partition(&cursor.partition)?.read(
                cursor.position,
                self.isolation,
                ReadLimit { bytes, records },
                &mut batch,
            );
            bytes = bytes.saturating_sub(batch.bytes());
            if cursor.follow(&batch) {
                into.push(batch);
            } else {
                keep(&mut self.pool, batch);
            }
        }
        if !self.cursors.is_empty() {
            self.cursors.rotate_left(1);
        }
        Ok(())
    }

    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        keep(&mut self.pool, batch);
    }
}

impl Cursor {
    fn check(&self, cluster: &Cluster) -> Result<(), LogError> {
        let partition = cluster.topics.partition(&self.partition)?;
        let same_topic = topic_id(cluster, &self.partition) == self.topic;
        if same_topic && partition.contains(self.position) {
            return Ok(());
        }
        Err(LogError::OffsetOutOfRange {
            partition: self.partition.clone(),
            wanted: self.position,
            start: partition.start(),
        })
    }

    /// Moves behind the batch; true if it tells the reader anything.
    fn follow(&mut self, batch: &RecordBatch) -> bool {
        let moved = batch.position != self.position;
        let news = moved || (batch.at_end && !self.told_end);
        self.position = batch.position;
        self.told_end = batch.at_end;
        news
    }
}

fn keep(pool: &mut Vec<RecordBatch>, batch: RecordBatch) {
    if pool.len() < POOL_MAX {
        pool.push(batch);
    }
}

fn topic_id(cluster: &Cluster, of: &TopicPartition) -> u64 {
    cluster.topics.topic(&of.topic).map_or(0, |topic| topic.id)
}

/// An error if `fault` strikes.
pub(super) fn unavailable_if(
    cluster: &mut Cluster,
    fault: Fault,
    who: Option<&str>,
) -> Result<(), LogError> {
    if cluster.faults.strikes(fault, who) {
        return Err(LogError::Unavailable(format!("injected {fault:?}")));
    }
    Ok(())
}

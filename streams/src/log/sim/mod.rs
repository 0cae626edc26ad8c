//! The log in memory, seeded: a Kafka cluster's semantics without clocks, threads or sockets.
//!
//! It behaves as a cluster does where that matters to an engine: control markers take offsets, an
//! open transaction holds back readers of committed records, aborted records are skipped, offsets
//! are pending until the marker, an epoch fences what is late, and a task goes to its next owner
//! only when the one before has confirmed that it has let go, or has lost its seat. So what holds on
//! [`SimLog`] under faults is what the engine does right.
//!
//! Everything happens in the calling thread and at once; nothing waits. Time passes only in
//! [`SimLog::advance`]. A member is heard of by the group when it calls
//! [`Member::poll_assignment`]; one that does not is a dead or frozen process, and loses its seat
//! when its session ends.
//!
//! All chance comes from one seed: the same seed, and the same calls in the same order, give the
//! same bytes, which [`SimLog::digest`] proves.
//!
//! ```
//! use millrace_streams::log::sim::{Fault, FaultRates, SimLog, SimOptions};
//!
//! let faults = FaultRates::all(0.01).with(Fault::EndReplyLost, 0.2);
//! let log = SimLog::new(42, SimOptions { faults, ..SimOptions::default() });
//! // ... run the application on `log`, then let it come to rest:
//! log.stop_faults();
//! assert!(log.open_transactions().is_empty());
//! ```

mod assignor;
mod cluster;
mod digest;
mod faults;
mod fetcher;
mod group;
mod member;
mod options;
mod partition;
mod reader;
mod resolve;
mod rng;
mod topics;
mod transactions;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::Timestamp;
use crate::headers::HeaderList;
use crate::log::{
    Bounds, Cleanup, CommittedOffset, Isolation, Log, LogError, Member, Offset, Reader,
    RecordBatch, Seat, TopicInfo, TopicPartition, TopicSpec, Writer,
};

use cluster::Cluster;
pub use faults::{Fault, FaultRates};
use fetcher::unavailable_if;
use member::SimMember;
pub use options::{SimCounters, SimOptions};
use partition::ReadLimit;
use reader::SimReader;
use writer::SimWriter;

/// A simulated cluster. Clones share it.
///
/// [`Writer::append`] decides at once: its future is always ready. Under [`Fault::AppendLost`] and
/// [`Fault::AppendReplyLost`] it answers [`LogError::Unavailable`], and only the second has
/// written: the caller cannot tell, as with a real cluster. A record without a key goes to each
/// partition in turn.
///
/// [`Member::committed`] answers [`LogError::Unavailable`] while another transaction holds offsets
/// of the same partitions, where a real log would wait.
#[derive(Clone)]
pub struct SimLog {
    cluster: Arc<Mutex<Cluster>>,
}

/// A record as [`SimLog::dump`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedRecord {
    /// The partition's number.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The headers.
    pub headers: HeaderList,
    /// The key; `None` for null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for null.
    pub value: Option<Vec<u8>>,
}

impl SimLog {
    /// An empty cluster whose chance follows from `seed`.
    pub fn new(seed: u64, options: SimOptions) -> Self {
        let cluster = Cluster::new(seed, options);
        Self {
            cluster: Arc::new(Mutex::new(cluster)),
        }
    }

    /// An empty cluster in which nothing goes wrong and no session ends.
    pub fn quiet() -> Self {
        let options = SimOptions {
            session_timeout: Duration::MAX,
            ..SimOptions::default()
        };
        Self::new(0, options)
    }

    /// Virtual time since the cluster began.
    pub fn now(&self) -> Duration {
        self.cluster.lock().now
    }

    /// Lets time pass: what hangs in the network arrives, transactions that are open for too long
    /// are aborted, members that were silent for too long lose their seats.
    pub fn advance(&self, by: Duration) {
        self.cluster.lock().advance(by);
    }

    /// Makes `fault` strike at its next chance, once.
    pub fn inject(&self, fault: Fault) {
        self.cluster.lock().faults.inject(fault, None);
    }

    /// Makes `fault` strike at its next chance with this member id or writer name, once.
    pub fn inject_for(&self, fault: Fault, name: &str) {
        self.cluster.lock().faults.inject(fault, Some(name));
    }

    /// No fault strikes from now on, neither by chance nor by script.
    pub fn stop_faults(&self) {
        self.cluster.lock().faults.stop();
    }

    /// How often each fault has struck; those that never did are not in it.
    pub fn faults_fired(&self) -> BTreeMap<Fault, u64> {
        self.cluster.lock().faults.fired().clone()
    }

    /// What faults and time have led to.
    pub fn counters(&self) -> SimCounters {
        self.cluster.lock().counters
    }

    /// Kills a member's process: its handle answers [`LogError::Unavailable`] for ever and changes
    /// nothing any more, not even when it leaves. Its transaction stays open until the same member
    /// id joins again, or until it has been open for too long. Its seat stays until the session
    /// ends.
    pub fn kill_member(&self, member_id: &str) {
        self.cluster.lock().kill(member_id);
    }

    /// Removes a member from its group, as if its session had ended. False if it had no seat.
    pub fn remove_member(&self, member_id: &str) -> bool {
        self.cluster.lock().remove_member(member_id)
    }

    /// Moves one task of the application to another member without need.
    pub fn rebalance(&self, application: &str) {
        self.cluster.lock().rebalance(application);
    }

    /// The member ids that have a seat in the application's group, in order.
    pub fn members(&self, application: &str) -> Vec<String> {
        self.cluster.lock().members(application)
    }

    /// The transactional ids (`application-member`) whose transaction is open. Empty when all
    /// members have come to rest: else one is hanging.
    pub fn open_transactions(&self) -> Vec<String> {
        self.cluster.lock().transactions.open()
    }

    /// The ends of a partition, as a reader sees them.
    ///
    /// # Errors
    /// [`LogError::Config`] when it does not exist.
    pub fn bounds(
        &self,
        partition: &TopicPartition,
        isolation: Isolation,
    ) -> Result<Bounds, LogError> {
        let cluster = self.cluster.lock();
        let partition = cluster.topics.partition(partition)?;
        Ok(partition.bounds(isolation))
    }

    /// Deletes the records before `before`, as retention does, but none of an open transaction.
    ///
    /// # Errors
    /// [`LogError::Config`] when the partition does not exist.
    pub fn delete_records(
        &self,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), LogError> {
        let mut cluster = self.cluster.lock();
        cluster
            .topics
            .partition_mut(partition)?
            .delete_before(before);
        Ok(())
    }

    /// Compacts a topic to the end: of each key only the last committed record is left, and not
    /// even that if its value is null. Does nothing to a topic that is not [`Cleanup::Compact`].
    pub fn compact(&self, topic: &str) {
        let mut cluster = self.cluster.lock();
        let topic = cluster.topics.topic_mut(topic);
        if let Some(topic) = topic.filter(|topic| topic.cleanup == Cleanup::Compact) {
            for partition in &mut topic.partitions {
                partition.compact();
            }
        }
    }

    /// All records of a topic that a reader sees, by partition and offset. Empty for a topic that
    /// does not exist.
    pub fn dump(&self, topic: &str, isolation: Isolation) -> Vec<DumpedRecord> {
        let cluster = self.cluster.lock();
        let Some(topic) = cluster.topics.topic(topic) else {
            return Vec::new();
        };
        let mut dumped = Vec::new();
        for (partition, number) in topic.partitions.iter().zip(0..) {
            let mut batch = RecordBatch::default();
            partition.read(partition.start(), isolation, ReadLimit::NONE, &mut batch);
            dumped.extend(batch.iter().map(|record| DumpedRecord {
                partition: number,
                offset: record.offset,
                timestamp: record.timestamp,
                headers: record.headers.into(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            }));
        }
        dumped
    }

    /// A hash over every byte, marker and committed offset of the cluster.
    pub fn digest(&self) -> u64 {
        self.cluster.lock().digest()
    }

    fn admin(&self) -> Result<parking_lot::MutexGuard<'_, Cluster>, LogError> {
        let mut cluster = self.cluster.lock();
        cluster.enter();
        unavailable_if(&mut cluster, Fault::AdminUnavailable, None)?;
        Ok(cluster)
    }
}

impl fmt::Debug for SimLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLog").finish_non_exhaustive()
    }
}

impl Log for SimLog {
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let mut cluster = self.admin()?;
        topics
            .iter()
            .try_for_each(|topic| cluster.topics.create(topic))
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        let mut cluster = self.admin()?;
        for topic in topics {
            cluster.topics.delete(topic);
            cluster.transactions.forget_topic(topic);
        }
        Ok(())
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        Ok(self.admin()?.topics.infos())
    }

    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError> {
        let member = SimMember::join(Arc::clone(&self.cluster), seat)?;
        Ok(Box::new(member))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        let reader = SimReader::new(Arc::clone(&self.cluster), isolation);
        Ok(Box::new(reader))
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError> {
        let writer = SimWriter::new(Arc::clone(&self.cluster), name);
        Ok(Arc::new(writer))
    }

    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        let cluster = self.admin()?;
        let read = |partition| cluster.transactions.committed(application, partition);
        Ok(partitions.iter().map(read).collect())
    }
}

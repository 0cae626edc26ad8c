//! The log port: the engine's only door to the world.
//!
//! It covers topics, membership (which tasks are mine, at which epoch), fetching, and an atomic
//! commit of {outputs, changelog records, input offsets}. There are three implementations:
//! `embedded` (a durable journal in the process), `kafka` (librdkafka and the Streams group
//! protocol) and `sim` (in memory and seeded, for deterministic simulation). One contract suite
//! runs against all of them.
//!
//! | who | holds a | to |
//! | --- | --- | --- |
//! | a stream thread | [`Member`] | get tasks, fetch their input, commit atomically |
//! | restore, standbys, global tables, tools | [`Reader`] | read partitions from any offset |
//! | whoever publishes from outside a topology | [`Writer`] | append one record, acknowledged |

mod batch;
pub mod embedded;
mod error;
pub mod kafka;
pub mod sim;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

pub use batch::{OutputBatch, OutputRecord, RawRecord, RecordBatch, TopicSlot};
pub use error::{CommitError, LogError};

use crate::headers::HeaderList;
use crate::time::Timestamp;

/// A position in a partition. The first record of a fresh partition has offset 0.
pub type Offset = i64;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl Default for TopicPartition {
    fn default() -> Self {
        Self {
            topic: Arc::from(""),
            partition: 0,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// One task: one partition of one sub-topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The sub-topology's number.
    pub subtopology: u32,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.subtopology, self.partition)
    }
}

/// A cluster of topics.
pub trait Log: Send + Sync + fmt::Debug {
    /// Creates the topics that do not exist yet. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`LogError::Config`] when a topic exists with another number of partitions.
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError>;

    /// Deletes topics with all their records; absent ones are ignored.
    ///
    /// # Errors
    /// When the log refuses or cannot be reached.
    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError>;

    /// All topics, by name.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn topics(&self) -> Result<Vec<TopicInfo>, LogError>;

    /// Takes a seat in the application's group. The answer comes at once; the assignment follows
    /// through [`Member::poll_assignment`].
    ///
    /// # Errors
    /// [`LogError::Config`] when the log cannot carry such a group at all, for instance a broker
    /// without the Streams group protocol.
    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError>;

    /// Opens a reader with nothing assigned.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError>;

    /// Opens a writer. `name` tells it apart in logs and metrics.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError>;

    /// The offsets that `application` has committed; `None` where it has committed none.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError>;
}

/// One stream thread's seat: what it fetches, and one transaction at a time.
///
/// A transaction opens with the first [`Member::send`] or [`Member::commit`] after the last one
/// ended. Any answer of [`Member::commit`] other than `Ok` ends in [`Member::recover`]: there is
/// one path back, whatever went wrong.
pub trait Member: Send {
    /// The assignment, if it changed since the last call; the first is told also when it is empty.
    /// Never blocks.
    ///
    /// # Errors
    /// [`LogError::MemberLost`] when the group has removed this member.
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError>;

    /// Tells the group which tasks this member holds now: after it has committed and closed the
    /// revoked ones and opened the new ones. Until then the revoked tasks go to nobody else.
    ///
    /// # Errors
    /// [`LogError::MemberLost`] when the group has removed this member.
    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError>;

    /// Reads the group's committed offsets; waits for a pending commit to end first.
    ///
    /// # Errors
    /// When the log does not answer in time.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError>;

    /// As [`Member::committed`], without waiting: `None` until the answer is there. To be called
    /// again with the same partitions; a pending commit may last as long as a transaction may.
    ///
    /// # Errors
    /// What asking again does not mend.
    fn poll_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        unless_unavailable(self.committed(partitions))
    }

    /// The first offset that still exists, the end of what is committed, and the end of what was
    /// written, per partition.
    ///
    /// # Errors
    /// When the log does not answer in time.
    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError>;

    /// As [`Member::bounds`], without waiting: `None` until the answer is there. To be called again
    /// with the same partitions.
    ///
    /// # Errors
    /// What asking again does not mend.
    fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        unless_unavailable(self.bounds(partitions))
    }

    /// Replaces the set of partitions to fetch. A partition that is in the old and in the new set
    /// is fetched on from the offset given here.
    ///
    /// # Errors
    /// When a partition does not exist.
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Stops fetching these partitions for the time being (back-pressure).
    ///
    /// # Errors
    /// When a partition is not assigned.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Goes on fetching them.
    ///
    /// # Errors
    /// When a partition is not assigned.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Appends what arrived to `into`: at most one batch per partition and call. Waits up to
    /// `max_wait` for the first record, never longer once there is one. Only committed records are
    /// delivered. A batch without records may come to tell a new `position` or `at_end`.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] when the records to read next are gone.
    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError>;

    /// Takes batches back that were used up, to fill them again.
    fn recycle(&mut self, _batch: RecordBatch) {}

    /// Adds the records of `outputs` to the transaction and clears it. May return before they are
    /// written; [`Member::commit`] waits for that.
    ///
    /// # Errors
    /// When the transaction cannot go on: then [`Member::recover`].
    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError>;

    /// Makes everything sent since the last commit, and these input offsets, visible and durable
    /// in one step.
    ///
    /// # Errors
    /// See [`CommitError`]; after each of them [`Member::recover`].
    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError>;

    /// Ends whatever transaction is open without its effects, and makes sure that nothing of it
    /// can still take effect. Afterwards committed offsets and changelogs tell the truth.
    ///
    /// # Errors
    /// [`LogError::MemberLost`] when this member was removed or fenced; [`LogError::Unavailable`]
    /// when the log does not answer: call it again later.
    fn recover(&mut self) -> Result<(), LogError>;

    /// After [`LogError::MemberLost`]: joins again as a new member. Every task must be closed.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn rejoin(&mut self) -> Result<(), LogError>;

    /// Leaves the group, so that its tasks go to others at once. What was not committed is lost.
    ///
    /// # Errors
    /// When the log does not answer in time; the seat is then given up by its session's end.
    fn leave(&mut self) -> Result<(), LogError>;
}

/// `None` where the log has not answered: it is asked again.
fn unless_unavailable<T>(answer: Result<T, LogError>) -> Result<Option<T>, LogError> {
    match answer {
        Err(LogError::Unavailable(_)) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Reads partitions from any offset, outside of any group.
pub trait Reader: Send {
    /// The first offset that still exists, the end of what can be read, and the end of what was
    /// written, per partition.
    ///
    /// # Errors
    /// [`LogError::Config`] when a partition does not exist.
    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError>;

    /// As [`Reader::bounds`], without waiting: `None` until the answer is there. To be called again
    /// with the same partitions, and without [`Reader::assign`] in between, which makes it ask anew.
    ///
    /// # Errors
    /// What asking again does not mend.
    fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        unless_unavailable(self.bounds(partitions))
    }

    /// Replaces the set of partitions to read, as [`Member::assign`] does.
    ///
    /// # Errors
    /// When a partition does not exist.
    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// As [`Member::fetch`].
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] when the records to read next are gone.
    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError>;
}

/// Appends records from outside a topology: commands, results of effects.
pub trait Writer: Send + Sync + fmt::Debug {
    /// Appends a record. The future ends when it is durable. The order of calls with one key is
    /// kept. The partition follows from the key as [`crate::partitioner::partition_of`] says.
    fn append(&self, record: NewRecord) -> BoxFuture<'static, Result<Position, LogError>>;
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The key; `None` for null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for null.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: HeaderList,
    /// The timestamp.
    pub timestamp: Timestamp,
}

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset.
    pub offset: Offset,
}

/// What a reader gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Only what is committed, up to the last stable offset.
    ReadCommitted,
    /// Everything, in the order of arrival.
    ReadUncommitted,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the first record that still exists.
    pub start: Offset,
    /// The offset behind the last record that can be read.
    pub end: Offset,
    /// The offset behind the last record that was written, readable or not: with nothing more
    /// written, `end` gets here once the open transactions have ended. Never before `end`.
    pub high_watermark: Offset,
}

/// A committed input offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to process.
    pub offset: Offset,
    /// What the task keeps beside it: its stream time. At most a few dozen bytes of text.
    pub metadata: String,
}

/// What a commit has made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// For every partition that was written to: the offset of its last record.
    pub last_offsets: Vec<(TopicSlot, i32, Offset)>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The name.
    pub name: Arc<str>,
    /// The number of partitions.
    pub partitions: i32,
    /// What happens to old records.
    pub cleanup: Cleanup,
}

/// What happens to old records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// They are deleted when they are older than this; `None` keeps them for ever.
    Delete {
        /// The age.
        retention: Option<Duration>,
    },
    /// The last record of each key is kept.
    Compact,
}

/// A topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The name.
    pub name: Arc<str>,
    /// Tells the topic from all others, those of the same name too; `None` if it is not known yet.
    pub id: Option<u128>,
    /// The number of partitions.
    pub partitions: i32,
}

/// What a stream thread brings when it joins its application's group.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The application's id: the group, and the prefix of internal topics.
    pub application: Arc<str>,
    /// The same for all threads of a process.
    pub process_id: String,
    /// The same for this thread after a restart: it gets its tasks back at once, and fences the
    /// transactions of the incarnation before.
    pub member_id: String,
    /// Where other instances reach this one's queries, if it serves any.
    pub endpoint: Option<(String, u16)>,
    /// What the tasks are made of.
    pub topology: Arc<TopologyMetadata>,
    /// Where to begin in a source partition with no committed offset.
    pub offset_reset: OffsetReset,
    /// An upper bound on the bytes that wait in the client's fetch queues, for all partitions.
    pub fetch_bytes_max: usize,
    /// How long a transaction may stay open before the log aborts it.
    pub transaction_timeout: Duration,
}

/// Where to begin in a partition with no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record that still exists.
    #[default]
    Earliest,
    /// Behind the last record.
    Latest,
}

/// The topology as the group needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyMetadata {
    /// The sub-topologies; a [`TaskId`]'s `subtopology` is an index into them.
    pub subtopologies: Vec<SubtopologyMetadata>,
}

/// One sub-topology as the group needs to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubtopologyMetadata {
    /// The source topics that the application does not own.
    pub sources: Vec<Arc<str>>,
    /// The repartition topics that it reads; with their cleanup by deletion of consumed records.
    pub repartition_sources: Vec<InternalTopic>,
    /// The repartition topics that it writes.
    pub repartition_sinks: Vec<Arc<str>>,
    /// The changelogs of its stores; they have as many partitions as the sub-topology has tasks.
    pub changelogs: Vec<Arc<str>>,
    /// Sets of source and repartition topics that must have equally many partitions.
    pub copartition_groups: Vec<Vec<Arc<str>>>,
}

/// A topic that the application owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// The full name.
    pub name: Arc<str>,
    /// The number of partitions; `None` lets it follow from the topics upstream.
    pub partitions: Option<i32>,
}

/// The tasks that the group gives to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The member's epoch.
    pub epoch: i32,
    /// Tasks to run.
    pub active: Vec<TaskId>,
    /// Tasks to keep a warm copy of.
    pub standby: Vec<TaskId>,
}

/// The tasks that a member holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldTasks {
    /// Tasks that it runs or restores.
    pub active: Vec<TaskId>,
    /// Tasks of which it keeps a warm copy.
    pub standby: Vec<TaskId>,
}

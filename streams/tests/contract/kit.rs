//! What the tests of the suite are made of: applications, clients, and reading with a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use millrace_streams::Timestamp;
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::{
    Cleanup, Committed, CommittedOffset, HeldTasks, InternalTopic, Isolation, LogError, Member,
    NewRecord, Offset, OffsetReset, OutputBatch, OutputRecord, Position, RecordBatch, Seat,
    SubtopologyMetadata, TaskId, TopicPartition, TopicSpec, TopologyMetadata,
};

use super::Harness;

/// How long one fetch may wait.
pub(crate) const MAX_WAIT: Duration = Duration::from_millis(50);

/// A record as a test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: HeaderList,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Seen {
    /// The value as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.value.clone().unwrap_or_default()).expect("text")
    }
}

/// Polls until `attempt` brings something.
pub(crate) fn eventually<H: Harness, T>(
    h: &H,
    what: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + h.patience();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        h.settle();
    }
}

/// The spec of a topic whose records are kept.
pub(crate) fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        cleanup: Cleanup::Delete { retention: None },
    }
}

/// Creates a topic under a unique name; answers the name.
pub(crate) fn topic<H: Harness>(h: &H, name: &str, partitions: i32) -> Arc<str> {
    let name: Arc<str> = h.unique(name).into();
    let created = h.log().create_topics(&[spec(&name, partitions)]);
    created.expect("the topic is created");
    name
}

/// Partition `partition` of `topic`.
pub(crate) fn partition(topic: &Arc<str>, partition: i32) -> TopicPartition {
    TopicPartition::new(Arc::clone(topic), partition)
}

/// Task `partition` of sub-topology 0.
pub(crate) fn task(partition: i32) -> TaskId {
    TaskId {
        subtopology: 0,
        partition,
    }
}

/// An offset to commit.
pub(crate) fn offset(offset: Offset, metadata: &str) -> CommittedOffset {
    CommittedOffset {
        offset,
        metadata: metadata.to_owned(),
    }
}

/// A record without headers.
pub(crate) fn record(topic: &Arc<str>, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: Arc::clone(topic),
        key: Some(key.into()),
        value: Some(value.into()),
        headers: HeaderList::new(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// Appends records from outside, one after the other.
pub(crate) fn append<H: Harness>(h: &H, records: Vec<NewRecord>) -> Vec<Position> {
    let writer = h.log().writer("contract").expect("a writer");
    // All are under way before the first is waited for, as a server would do it.
    let appended: Vec<_> = records.into_iter().map(|r| writer.append(r)).collect();
    let positions = appended.into_iter().map(block_on);
    positions.map(|p| p.expect("appended")).collect()
}

/// Reads a partition until it has `count` records, and answers all of them.
pub(crate) fn read<H: Harness>(
    h: &H,
    from: &TopicPartition,
    isolation: Isolation,
    count: usize,
) -> Vec<Seen> {
    let mut reader = h.log().reader(isolation).expect("a reader");
    reader.assign(&[(from.clone(), 0)]).expect("assigned");
    let mut seen = Vec::new();
    let what = format!("{count} records of `{from}`");
    eventually(h, &what, || {
        let mut batches = Vec::new();
        reader.fetch(MAX_WAIT, &mut batches).expect("fetched");
        batches.iter().for_each(|batch| collect(batch, &mut seen));
        (seen.len() >= count).then_some(())
    });
    seen
}

/// The committed values of a partition, as text, when there are `count`.
pub(crate) fn values<H: Harness>(h: &H, from: &TopicPartition, count: usize) -> Vec<String> {
    let seen = read(h, from, Isolation::ReadCommitted, count);
    seen.iter().map(Seen::text).collect()
}

/// Polls a few times, and sees to it that a partition shows nothing that is committed.
pub(crate) fn assert_shows_nothing<H: Harness>(h: &H, from: &TopicPartition) {
    let mut reader = h.log().reader(Isolation::ReadCommitted).expect("a reader");
    reader.assign(&[(from.clone(), 0)]).expect("assigned");
    for _ in 0..5 {
        let mut batches = Vec::new();
        reader.fetch(MAX_WAIT, &mut batches).expect("fetched");
        assert!(batches.iter().all(RecordBatch::is_empty), "{batches:?}");
        h.settle();
    }
}

pub(crate) fn collect(batch: &RecordBatch, seen: &mut Vec<Seen>) {
    seen.extend(batch.iter().map(|record| Seen {
        partition: batch.partition.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        headers: record.headers.into(),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
    }));
}

/// An application: its id, and what its tasks are made of.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: Arc<str>,
    pub(crate) topology: Arc<TopologyMetadata>,
    pub(crate) fetch_bytes_max: usize,
    pub(crate) transaction_timeout: Duration,
}

impl App {
    /// One sub-topology that reads these topics.
    pub(crate) fn reading<H: Harness>(h: &H, sources: &[&Arc<str>]) -> Self {
        let sources: Vec<Arc<str>> = sources.iter().map(|name| Arc::clone(name)).collect();
        let together = (sources.len() > 1).then(|| sources.clone());
        let subtopology = SubtopologyMetadata {
            copartition_groups: together.into_iter().collect(),
            sources,
            ..SubtopologyMetadata::default()
        };
        Self::of(h, vec![subtopology])
    }

    /// These sub-topologies.
    pub(crate) fn of<H: Harness>(h: &H, subtopologies: Vec<SubtopologyMetadata>) -> Self {
        Self {
            id: h.unique("app").into(),
            topology: Arc::new(TopologyMetadata { subtopologies }),
            fetch_bytes_max: 1 << 20,
            transaction_timeout: Duration::from_secs(30),
        }
    }

    /// The name of a topic that the application owns.
    pub(crate) fn internal(&self, name: &str) -> Arc<str> {
        format!("{}-{name}", self.id).into()
    }

    /// A seat: member `name` in a process of its own.
    pub(crate) fn seat(&self, name: &str) -> Seat {
        Seat {
            application: Arc::clone(&self.id),
            process_id: format!("process-{name}"),
            member_id: format!("{}-{name}", self.id),
            endpoint: None,
            topology: Arc::clone(&self.topology),
            offset_reset: OffsetReset::Earliest,
            fetch_bytes_max: self.fetch_bytes_max,
            transaction_timeout: self.transaction_timeout,
        }
    }

    /// Member `name` joins.
    pub(crate) fn join<H: Harness>(&self, h: &H, name: &str) -> Client {
        let seat = self.seat(name);
        Client {
            id: seat.member_id.clone(),
            member: h.log().join(seat).expect("joined"),
            held: HeldTasks::default(),
            outputs: OutputBatch::new(),
        }
    }

    /// Member `name` joins, and gets all of `tasks` tasks.
    pub(crate) fn join_alone<H: Harness>(&self, h: &H, name: &str, tasks: usize) -> Client {
        let mut client = self.join(h, name);
        client.await_active(h, tasks);
        client
    }
}

/// A repartition topic whose partitions follow from upstream.
pub(crate) fn repartition(name: &Arc<str>) -> InternalTopic {
    InternalTopic {
        name: Arc::clone(name),
        partitions: None,
    }
}

/// A stream thread as small as it can be.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) member: Box<dyn Member>,
    pub(crate) held: HeldTasks,
    pub(crate) outputs: OutputBatch,
}

impl Client {
    /// Takes a new assignment, if there is one, without confirming it.
    pub(crate) fn take(&mut self) -> bool {
        let news = self.member.poll_assignment().expect("a seat");
        let Some(assignment) = news else {
            return false;
        };
        self.held = HeldTasks {
            active: assignment.active,
            standby: assignment.standby,
        };
        true
    }

    /// Takes a new assignment, if there is one, and confirms it.
    pub(crate) fn poll(&mut self) {
        if self.take() {
            self.member.confirm(&self.held).expect("a seat");
        }
    }

    /// The active tasks, sorted.
    pub(crate) fn active(&self) -> Vec<TaskId> {
        let mut active = self.held.active.clone();
        active.sort_unstable();
        active
    }

    /// Polls until there are so many active tasks.
    pub(crate) fn await_active<H: Harness>(&mut self, h: &H, tasks: usize) {
        let what = format!("{tasks} tasks for `{}`", self.id);
        eventually(h, &what, || {
            self.poll();
            (self.held.active.len() == tasks).then_some(())
        });
    }

    /// Sends a record in the open transaction.
    pub(crate) fn send(&mut self, to: &TopicPartition, key: &str, value: &str) {
        self.try_send(to, key, value.as_bytes()).expect("sent");
    }

    pub(crate) fn try_send(
        &mut self,
        to: &TopicPartition,
        key: &str,
        value: &[u8],
    ) -> Result<(), LogError> {
        self.push(to, key, value);
        self.member.send(&mut self.outputs)
    }

    /// Adds a record to the outputs.
    pub(crate) fn push(&mut self, to: &TopicPartition, key: &str, value: &[u8]) {
        let topic = self.outputs.slot(&to.topic);
        self.outputs.push(OutputRecord {
            topic,
            partition: to.partition,
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            headers: Headers::EMPTY,
            key: Some(key.as_bytes()),
            value: Some(value),
        });
    }

    /// Commits what was sent, and no offsets.
    pub(crate) fn commit(&mut self) -> Committed {
        self.member.commit(&[]).expect("committed")
    }

    /// Commits what was sent, and one offset.
    pub(crate) fn commit_at(&mut self, input: &TopicPartition, at: CommittedOffset) {
        let committed = self.member.commit(&[(input.clone(), at)]);
        committed.expect("committed");
    }

    /// The group's committed offset of a partition.
    pub(crate) fn committed(&mut self, input: &TopicPartition) -> Option<CommittedOffset> {
        let committed = self.member.committed(std::slice::from_ref(input));
        committed.expect("an answer").pop().expect("one answer")
    }

    /// Recovers, however often it takes.
    pub(crate) fn recover<H: Harness>(&mut self, h: &H) {
        eventually(h, "a recovery", || match self.member.recover() {
            Ok(()) => Some(()),
            Err(LogError::Unavailable(_)) => None,
            Err(error) => panic!("{error}"),
        });
    }

    /// Fetches until `done` says so about what came in so far.
    pub(crate) fn fetch_until<H: Harness>(
        &mut self,
        h: &H,
        what: &str,
        mut done: impl FnMut(&[Seen], &[RecordBatch]) -> bool,
    ) -> Vec<Seen> {
        let mut seen = Vec::new();
        eventually(h, what, || {
            let mut batches = Vec::new();
            self.member.fetch(MAX_WAIT, &mut batches).expect("fetched");
            batches.iter().for_each(|batch| collect(batch, &mut seen));
            done(&seen, &batches).then_some(())
        });
        seen
    }
}

/// Polls all clients until `done` says so about them.
pub(crate) fn poll_until<H: Harness>(
    h: &H,
    what: &str,
    clients: &mut [&mut Client],
    mut done: impl FnMut(&[&mut Client]) -> bool,
) {
    eventually(h, what, || {
        clients.iter_mut().for_each(|client| client.poll());
        done(clients).then_some(())
    });
}

/// Polls two clients until they have all `tasks` tasks between them, and each its half.
pub(crate) fn share<H: Harness>(h: &H, tasks: usize, a: &mut Client, b: &mut Client) {
    poll_until(h, "an even share", &mut [a, b], |clients| {
        let mut loads = clients.iter().map(|client| client.held.active.len());
        loads.all(|load| load == tasks / 2)
    });
}

//! How an application starts: what it says of itself, and what stays of a start that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use millrace_state::StateDir;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{
    Assignment, Bounds, CommitError, Committed, CommittedOffset, HeldTasks, Isolation, Log,
    LogError, Member, Offset, OutputBatch, Reader, RecordBatch, Seat, TopicInfo, TopicPartition,
    TopicSpec, Writer,
};
use millrace_streams::{ApplicationState, Error, Streams, StreamsConfig, Topic, Topology};

const WORDS: Topic<String, String> = Topic::new("words");
const COPY: Topic<String, String> = Topic::new("copy");

/// A log with a gate in front of its group.
#[derive(Debug)]
struct Gate {
    log: Arc<EmbeddedLog>,
    /// How many members may still join.
    seats: AtomicUsize,
    is_open: Arc<AtomicBool>,
    /// Told of each question for an assignment.
    asked: Sender<()>,
}

struct Waiting {
    member: Box<dyn Member>,
    is_open: Arc<AtomicBool>,
    asked: Sender<()>,
}

/// A log with a topic of one partition, behind a gate; and who asks there.
fn gate(folder: &tempfile::TempDir, seats: usize) -> (Arc<Gate>, Receiver<()>) {
    let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("a log");
    let topics = [WORDS.spec(), COPY.spec()];
    log.create_topics(&topics).expect("topics");
    let (asked, questions) = channel();
    let gate = Gate {
        log,
        seats: AtomicUsize::new(seats),
        is_open: Arc::default(),
        asked,
    };
    (Arc::new(gate), questions)
}

fn start(log: &Arc<Gate>) -> Result<Streams, Error> {
    let topology = Topology::define("copy", |t| t.stream(WORDS).to(COPY));
    let mut config = StreamsConfig::default();
    config.stream_threads = 2;
    Streams::builder(&topology.expect("the topology is sound"))
        .config(config)
        .start(log.clone(), StateDir::in_memory())
}

#[test]
fn an_application_runs_when_each_thread_knows_its_tasks_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, questions) = gate(&folder, 2);
    let application = start(&log).expect("started");
    for _ in 0..20 {
        questions.recv().expect("the threads ask");
    }
    let state = application.state();
    assert!(matches!(state, ApplicationState::Rebalancing), "{state:?}");
    log.is_open.store(true, Ordering::SeqCst);
    let state = application.wait_until_running(Duration::from_secs(60));
    assert!(matches!(state, ApplicationState::Running), "{state:?}");
}

#[test]
fn a_start_that_fails_leaves_no_thread_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _questions) = gate(&folder, 1);
    let refused = start(&log);
    assert!(matches!(refused, Err(Error::Log(_))), "{refused:?}");
    assert_eq!(Arc::strong_count(&log), 1, "a thread holds the log");
}

impl Log for Gate {
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.log.create_topics(topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        self.log.delete_topics(topics)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.log.topics()
    }

    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError> {
        let seats = self.seats.load(Ordering::SeqCst);
        if seats == 0 {
            return Err(LogError::Config("no seat is free".into()));
        }
        self.seats.store(seats - 1, Ordering::SeqCst);
        Ok(Box::new(Waiting {
            member: self.log.join(seat)?,
            is_open: self.is_open.clone(),
            asked: self.asked.clone(),
        }))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(isolation)
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError> {
        self.log.writer(name)
    }

    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.log.committed(application, partitions)
    }
}

impl Member for Waiting {
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        // Nobody listens any more when the test has what it waits for.
        let _ = self.asked.send(());
        if self.is_open.load(Ordering::SeqCst) {
            self.member.poll_assignment()
        } else {
            Ok(None)
        }
    }

    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError> {
        self.member.confirm(held)
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.member.committed(partitions)
    }

    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.member.bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.member.assign(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.member.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.member.resume(partitions)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.member.fetch(max_wait, into)
    }

    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        self.member.send(outputs)
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        self.member.commit(offsets)
    }

    fn recover(&mut self) -> Result<(), LogError> {
        self.member.recover()
    }

    fn rejoin(&mut self) -> Result<(), LogError> {
        self.member.rejoin()
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.member.leave()
    }
}

//! How an application starts: what it says of itself, and what stays of a start that failed.

mod support {
    pub(crate) mod watched;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use millrace_deploy::wait::until;
use millrace_state::StateDir;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Isolation, Log, LogError, NewRecord, TopicPartition};
use millrace_streams::{
    ApplicationState, Error, Streams, StreamsConfig, Timestamp, Topic, Topology,
};
use support::watched::{Watch, Watched, watched};

const WORDS: Topic<String, String> = Topic::new("words");
const COPY: Topic<String, String> = Topic::new("copy");

/// A gate in front of a group.
#[derive(Debug)]
struct Gate {
    /// How many members may still join.
    seats: AtomicUsize,
    is_open: AtomicBool,
    /// Told of each question for an assignment.
    asked: Sender<()>,
}

impl Watch for Gate {
    fn joins(&self) -> Result<(), LogError> {
        let seats = self.seats.load(Ordering::SeqCst);
        if seats == 0 {
            return Err(LogError::Config("no seat is free".into()));
        }
        self.seats.store(seats - 1, Ordering::SeqCst);
        Ok(())
    }

    fn asks(&self) -> bool {
        // Nobody listens any more when the test has what it waits for.
        let _ = self.asked.send(());
        self.is_open.load(Ordering::SeqCst)
    }
}

/// A log with the topics.
fn log(folder: &tempfile::TempDir) -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("a log");
    let topics = [WORDS.spec(), COPY.spec()];
    log.create_topics(&topics).expect("topics");
    log
}

/// The log behind a gate; and who asks there.
fn gate(folder: &tempfile::TempDir, seats: usize) -> (Arc<Watched>, Arc<Gate>, Receiver<()>) {
    let log = log(folder);
    let (asked, questions) = channel();
    let gate = Arc::new(Gate {
        seats: AtomicUsize::new(seats),
        is_open: AtomicBool::new(false),
        asked,
    });
    (watched(log, gate.clone()), gate, questions)
}

fn start(log: &Arc<Watched>, stream_threads: usize) -> Result<Streams, Error> {
    let topology = Topology::define("copy", |t| t.stream(WORDS).to(COPY));
    let mut config = StreamsConfig::default();
    config.stream_threads = stream_threads;
    Streams::builder(&topology.expect("the topology is sound"))
        .config(config)
        .start(log.clone(), StateDir::in_memory())
}

#[test]
fn an_application_runs_when_each_thread_knows_its_tasks_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, gate, questions) = gate(&folder, 2);
    let application = start(&log, 2).expect("started");
    for _ in 0..20 {
        questions.recv().expect("the threads ask");
    }
    let state = application.state();
    assert!(matches!(state, ApplicationState::Rebalancing), "{state:?}");
    gate.is_open.store(true, Ordering::SeqCst);
    let state = application.wait_until_running(Duration::from_secs(60));
    assert!(matches!(state, ApplicationState::Running), "{state:?}");
}

/// A log in which records that are to be read are gone, so many times.
#[derive(Debug)]
struct Gone(AtomicUsize);

impl Watch for Gone {
    fn fetches(&self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        let Some(partition) = partitions.first() else {
            return Ok(());
        };
        let take_one = |left: usize| left.checked_sub(1);
        let taken = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one);
        match taken {
            Err(_) => Ok(()),
            Ok(_) => Err(LogError::OffsetOutOfRange {
                partition: partition.clone(),
                wanted: 0,
                start: 7,
            }),
        }
    }
}

#[test]
fn a_record_that_is_gone_stops_the_application_only_if_the_way_back_leads_to_it() {
    for (times, goes_on) in [(1, true), (2, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log(&folder);
        let word = NewRecord {
            topic: WORDS.name().into(),
            key: Some(b"k".to_vec()),
            value: Some(b"word".to_vec()),
            headers: HeaderList::new(),
            timestamp: Timestamp::from_millis(1),
        };
        let writer = log.writer("test").expect("a writer");
        let word = futures::executor::block_on(writer.append(word)).expect("appended");
        let log = watched(log, Arc::new(Gone(AtomicUsize::new(times))));
        let application = start(&log, 1).expect("started");
        let has_ended = || match application.state() {
            ApplicationState::Failed(error) => Some(Err(error)),
            ApplicationState::Running => {
                let partition = TopicPartition::new(COPY.name(), word.partition.partition);
                let mut copied = log.reader(Isolation::ReadCommitted).expect("a reader");
                let bounds = copied.bounds(&[partition]).expect("bounds");
                (bounds[0].end > 0).then_some(Ok(()))
            }
            _ => None,
        };
        let limit = Duration::from_secs(60);
        let ended = until(limit, "its end", || Ok(has_ended())).expect("an end");
        assert_eq!(ended.is_ok(), goes_on, "{ended:?}");
        if let Err(error) = ended {
            let is_it = matches!(error, Error::Log(LogError::OffsetOutOfRange { .. }));
            assert!(is_it, "{error:?}");
        }
    }
}

#[test]
fn a_start_that_fails_leaves_no_thread_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _gate, _questions) = gate(&folder, 1);
    let refused = start(&log, 2);
    assert!(matches!(refused, Err(Error::Log(_))), "{refused:?}");
    assert_eq!(Arc::strong_count(&log), 1, "a thread holds the log");
}

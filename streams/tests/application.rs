//! How an application starts: what it says of itself, and what stays of a start that failed.

mod support {
    pub(crate) mod watched;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use millrace_state::StateDir;
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Log, LogError};
use millrace_streams::{ApplicationState, Error, Streams, StreamsConfig, Topic, Topology};
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

/// A log with a topic of one partition, behind a gate; and who asks there.
fn gate(folder: &tempfile::TempDir, seats: usize) -> (Arc<Watched>, Arc<Gate>, Receiver<()>) {
    let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("a log");
    let topics = [WORDS.spec(), COPY.spec()];
    log.create_topics(&topics).expect("topics");
    let (asked, questions) = channel();
    let gate = Arc::new(Gate {
        seats: AtomicUsize::new(seats),
        is_open: AtomicBool::new(false),
        asked,
    });
    (watched(log, gate.clone()), gate, questions)
}

fn start(log: &Arc<Watched>) -> Result<Streams, Error> {
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
    let (log, gate, questions) = gate(&folder, 2);
    let application = start(&log).expect("started");
    for _ in 0..20 {
        questions.recv().expect("the threads ask");
    }
    let state = application.state();
    assert!(matches!(state, ApplicationState::Rebalancing), "{state:?}");
    gate.is_open.store(true, Ordering::SeqCst);
    let state = application.wait_until_running(Duration::from_secs(60));
    assert!(matches!(state, ApplicationState::Running), "{state:?}");
}

#[test]
fn a_start_that_fails_leaves_no_thread_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, _gate, _questions) = gate(&folder, 1);
    let refused = start(&log);
    assert!(matches!(refused, Err(Error::Log(_))), "{refused:?}");
    assert_eq!(Arc::strong_count(&log), 1, "a thread holds the log");
}

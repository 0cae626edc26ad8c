//! A stream thread under load, step by step on the simulated log: what waits in memory, and when it
//! commits.

mod support {
    pub(crate) mod watched;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use millrace_state::StateDir;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{SimLog, SimOptions};
use millrace_streams::log::{Isolation, Log, NewRecord, RecordBatch, TopicPartition};
use millrace_streams::{
    ManualClock, StreamThread, Streams, StreamsConfig, Timestamp, Topic, Topology,
};
use parking_lot::Mutex;
use support::watched::{Watch, watched};

const LEFT: Topic<String, String> = Topic::new("left");
const RIGHT: Topic<String, String> = Topic::new("right");
const BOTH: Topic<String, String> = Topic::new("both");

const STEP: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3_600);
/// The bytes of a record's value.
const VALUE_BYTES: usize = 1 << 10;
/// What a fetch brings at most. The last record that it has room for is brought whole.
const FETCH_BYTES: usize = 8 << 10;

#[derive(Debug, Default)]
struct Observer {
    withholds_right: AtomicBool,
    /// The bytes that were fetched and are not used up, and the most that they ever were.
    held: AtomicUsize,
    held_max: AtomicUsize,
    paused: Mutex<Vec<TopicPartition>>,
    resumed: Mutex<Vec<TopicPartition>>,
    commits: AtomicUsize,
}

impl Watch for Observer {
    fn withholds(&self, partition: &TopicPartition) -> bool {
        self.withholds_right.load(Ordering::SeqCst) && *partition.topic == *RIGHT.name()
    }

    fn fetched(&self, batches: &[RecordBatch]) {
        let bytes: usize = batches.iter().map(RecordBatch::bytes).sum();
        let held = self.held.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.held_max.fetch_max(held, Ordering::SeqCst);
    }

    fn recycled(&self, batch: &RecordBatch) {
        self.held.fetch_sub(batch.bytes(), Ordering::SeqCst);
    }

    fn paused(&self, partitions: &[TopicPartition]) {
        self.paused.lock().extend_from_slice(partitions);
    }

    fn resumed(&self, partitions: &[TopicPartition]) {
        self.resumed.lock().extend_from_slice(partitions);
    }

    fn committed(&self) {
        self.commits.fetch_add(1, Ordering::SeqCst);
    }
}

/// One thread with one task, which merges two topics of a partition each.
struct Bench {
    log: SimLog,
    clock: ManualClock,
    observer: Arc<Observer>,
    thread: StreamThread,
}

impl Bench {
    fn new(config: StreamsConfig) -> Self {
        Self::watched_by(Observer::default(), config)
    }

    fn watched_by(observer: Observer, config: StreamsConfig) -> Self {
        let log = SimLog::new(1, SimOptions::default());
        let topics = [LEFT.spec(), RIGHT.spec(), BOTH.spec()].map(|mut topic| {
            topic.partitions = 1;
            topic
        });
        log.create_topics(&topics).expect("topics");
        let topology = Topology::define("both", |t| {
            let right = t.stream(RIGHT);
            t.stream(LEFT).merge(right).to(BOTH);
        });
        let clock = ManualClock::new(Timestamp::from_millis(0));
        let observer = Arc::new(observer);
        let application = Streams::builder(&topology.expect("the topology is sound"))
            .config(config)
            .clock(Arc::new(clock.clone()))
            .prepare(
                watched(Arc::new(log.clone()), observer.clone()),
                StateDir::in_memory(),
            )
            .expect("prepared");
        let thread = application.stream_thread(0).expect("a seat");
        let mut bench = Self {
            log,
            clock,
            observer,
            thread,
        };
        bench.steps(10);
        assert!(bench.thread.is_restored(), "{:?}", bench.thread);
        bench
    }

    /// Appends records with the timestamps `ms`, one later, and so on.
    fn append(&self, topic: &Topic<String, String>, records: i64, ms: i64) {
        let writer = self.log.writer("test").expect("a writer");
        for number in 0..records {
            let record = NewRecord {
                topic: topic.name().into(),
                key: Some(topic.name().as_bytes().to_vec()),
                value: Some(vec![b'x'; VALUE_BYTES]),
                headers: HeaderList::new(),
                timestamp: Timestamp::from_millis(ms + number),
            };
            futures::executor::block_on(writer.append(record)).expect("appended");
        }
    }

    fn steps(&mut self, steps: usize) {
        for _ in 0..steps {
            self.clock.advance(STEP);
            self.log.advance(STEP);
            self.thread.step().expect("the thread goes on");
        }
    }

    /// Steps until so many records are committed; answers how many commits that took.
    fn commits_until(&mut self, records: usize) -> usize {
        let before = self.commits();
        for _ in 0..10_000 {
            self.steps(1);
            if self.output().len() == records {
                return self.commits() - before;
            }
        }
        panic!("{} of {records} records", self.output().len());
    }

    fn commits(&self) -> usize {
        self.observer.commits.load(Ordering::SeqCst)
    }

    /// The topics from which what is committed came.
    fn output(&self) -> Vec<String> {
        let records = self.log.dump(BOTH.name(), Isolation::ReadCommitted);
        let keys = records.into_iter().map(|record| record.key.expect("a key"));
        keys.map(|key| String::from_utf8(key).expect("text"))
            .collect()
    }
}

fn config() -> StreamsConfig {
    let mut config = StreamsConfig::default();
    config.commit_interval = HOUR;
    config.fetch_bytes_max = FETCH_BYTES;
    config
}

#[test]
fn what_waits_for_another_partition_stays_within_its_bound_and_goes_on_when_that_answers() {
    let mut config = config();
    config.queue_bytes_max = 64 << 10;
    let bound = config.queue_bytes_max;
    let observer = Observer {
        withholds_right: AtomicBool::new(true),
        ..Observer::default()
    };
    let mut bench = Bench::watched_by(observer, config);
    bench.append(&RIGHT, 1, 0);
    bench.append(&LEFT, 500, 1);
    bench.steps(200);
    let held_max = bench.observer.held_max.load(Ordering::SeqCst);
    assert!(held_max > bound, "{held_max}");
    assert!(held_max <= bound + 2 * FETCH_BYTES, "{held_max}");
    let left = [TopicPartition::new(LEFT.name(), 0)];
    assert_eq!(*bench.observer.paused.lock(), left);
    assert!(bench.observer.resumed.lock().is_empty());
    assert!(bench.output().is_empty(), "{:?}", bench.output());

    bench
        .observer
        .withholds_right
        .store(false, Ordering::SeqCst);
    bench.commits_until(501);
    let output = bench.output();
    assert_eq!(output.first().map(String::as_str), Some(RIGHT.name()));
    assert!(bench.observer.resumed.lock().starts_with(&left));
    assert_eq!(bench.observer.held.load(Ordering::SeqCst), 0);
}

#[test]
fn a_drained_input_is_committed_at_once() {
    let mut bench = Bench::new(config());
    for number in 1..=5 {
        bench.append(&LEFT, 1, 0);
        bench.steps(2);
        assert_eq!(bench.output().len(), number);
    }
}

#[test]
fn commits_for_the_sake_of_latency_keep_their_distance() {
    let mut config = config();
    config.early_commit_interval = STEP * 10;
    let mut bench = Bench::new(config);
    let before = bench.commits();
    for _ in 0..50 {
        bench.append(&LEFT, 1, 0);
        bench.steps(2);
    }
    let commits = bench.commits() - before;
    assert!((9..=10).contains(&commits), "{commits}");
}

#[test]
fn under_load_the_interval_decides() {
    let mut config = config();
    config.commit_interval = STEP * 10;
    let mut bench = Bench::new(config);
    bench.append(&LEFT, 800, 0);
    // A step for eight records, and ten for a commit; the last one is early.
    let commits = bench.commits_until(800);
    assert!((8..=13).contains(&commits), "{commits}");
}

#[test]
fn under_load_the_bytes_force_a_commit_before_the_interval() {
    let mut config = config();
    config.commit_bytes_max = 40 << 10;
    let mut bench = Bench::new(config);
    bench.append(&LEFT, 800, 0);
    let commits = bench.commits_until(800);
    assert!((15..=21).contains(&commits), "{commits}");
}

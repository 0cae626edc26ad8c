//! What becomes of stores beside the records: flushed when it is time, warmed after a restart, and
//! taken up where they were left.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use millrace_state::{
    Error as StateError, MemoryDisk, StateDir, StateOptions, StoreId, StoreOptions,
};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{SimLog, SimOptions};
use millrace_streams::log::{Cleanup, Isolation, Log, NewRecord, Offset, TopicSpec};
use millrace_streams::{
    Application, Clock, Error, ManualClock, Progress, Store, StreamThread, Streams, StreamsConfig,
    Timestamp, Topic, Topology,
};
use parking_lot::Mutex;

const INPUT: Topic<String, i64> = Topic::new("input").partitions(1);
const COUNTS: Store<String, u64> = Store::new("counts");
const RATES: Topic<String, i64> = Topic::new("rates").partitions(1);
const RATE: Store<String, i64> = Store::new("rate");

/// input -> [counts], beside rates -> [rate]
fn topology() -> Topology {
    Topology::define("upkeep", |t| {
        t.stream(INPUT).count(COUNTS);
        t.global_table(RATES, RATE);
    })
    .expect("the topology is sound")
}

fn rates() -> TopicSpec {
    TopicSpec {
        cleanup: Cleanup::Compact,
        ..RATES.spec()
    }
}

/// What outlives a crash, and the time.
struct World {
    log: SimLog,
    disk: MemoryDisk,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        let log = SimLog::new(1, SimOptions::default());
        log.create_topics(&[INPUT.spec(), rates()]).expect("topics");
        Self {
            log,
            disk: MemoryDisk::new(),
            clock: ManualClock::new(Timestamp::from_millis(1_735_689_600_000)),
        }
    }

    fn append(&self, topic: &str, keys: Range<u32>) {
        self.append_all(topic, keys, Some(1));
    }

    fn append_all(&self, topic: &str, keys: Range<u32>, value: Option<i64>) {
        let writer = self.log.writer("test").expect("a writer");
        for key in keys {
            let record = NewRecord {
                topic: topic.into(),
                key: Some(format!("{key:04}").into_bytes()),
                value: value.map(|value| value.to_be_bytes().to_vec()),
                headers: HeaderList::new(),
                timestamp: Timestamp::from_millis(1),
            };
            futures::executor::block_on(writer.append(record)).expect("appended");
        }
    }

    fn state(&self) -> StateDir {
        StateDir::in_memory_shared(&self.disk, StateOptions::default())
    }

    fn prepare(&self, clock: Arc<dyn Clock>) -> Application {
        Streams::builder(&topology())
            .config(StreamsConfig::default())
            .clock(clock)
            .prepare(Arc::new(self.log.clone()), self.state())
            .expect("prepared")
    }

    fn thread(&self) -> StreamThread {
        let application = self.prepare(Arc::new(self.clock.clone()));
        application.stream_thread(0).expect("a seat")
    }

    /// Steps until there is nothing left to do.
    fn settle(&self, thread: &mut StreamThread) {
        let mut idle = 0;
        while idle < 10 {
            self.advance(Duration::from_millis(20));
            let progress = thread.step().expect("it goes on");
            let quiet = progress == Progress::Idle && thread.is_settled();
            idle = if quiet { idle + 1 } else { 0 };
        }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.log.advance(by);
    }

    /// Follows the global table to its end, flushes it, and gives the number of its keys.
    fn follow_rates(&self) -> usize {
        let mut application = self.prepare(Arc::new(self.clock.clone()));
        self.follow(&mut application);
        drop(application);
        self.rates_on_disk()
    }

    /// Follows the global table to its end, and flushes it.
    fn follow(&self, application: &mut Application) {
        while application.step_globals().expect("it reads") {}
        self.advance(Duration::from_secs(3));
        application.step_globals().expect("it flushes");
    }

    /// Makes the topic of the global table anew, with ten other keys.
    fn make_rates_anew(&self) {
        self.log.delete_topics(&[RATES.name()]).expect("deleted");
        self.log.create_topics(&[rates()]).expect("made anew");
        self.append(RATES.name(), 200..210);
    }

    /// The number of keys that the global table has on disk.
    fn rates_on_disk(&self) -> usize {
        let id = StoreId::new("upkeep", "global_0", RATE.name());
        let options = StoreOptions {
            ordered: false,
            changelog: true,
        };
        let store = self.state().open_store(&id, options).expect("opened");
        let entries: Result<Vec<_>, _> = store.all().collect();
        entries.expect("readable").len()
    }

    /// How far the store of this name is on disk.
    fn position(&self, store: &str) -> Option<Offset> {
        let stores = self.state().stores().expect("listed");
        let found = stores.into_iter().find(|(id, _)| id.store == store);
        found.and_then(|(_, position)| position)
    }
}

#[test]
fn once_warm_a_restarted_store_reads_nothing_from_disk() {
    let world = World::new();
    world.append(INPUT.name(), 0..1_000);
    let mut thread = world.thread();
    world.settle(&mut thread);
    thread.close().expect("closed");

    let mut thread = world.thread();
    world.settle(&mut thread);
    let reads = world.disk.reads();
    world.append(INPUT.name(), 900..1_100);
    world.settle(&mut thread);
    assert_eq!(world.disk.reads(), reads);
}

#[test]
fn an_idle_thread_flushes_its_tail() {
    let world = World::new();
    let mut thread = world.thread();
    world.settle(&mut thread);
    world.append(INPUT.name(), 0..10);
    world.settle(&mut thread);
    assert_eq!(world.position(COUNTS.name()), None);
    world.advance(Duration::from_secs(3));
    thread.step().expect("it goes on");
    assert!(world.position(COUNTS.name()) >= Some(10));
}

/// A clock whose wall clock is set back by an hour at every look.
#[derive(Debug)]
struct Backwards {
    clock: ManualClock,
    back: Mutex<Duration>,
}

impl Clock for Backwards {
    fn now(&self) -> Timestamp {
        let mut back = self.back.lock();
        *back += Duration::from_secs(3600);
        self.clock.now() - *back
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

#[test]
fn a_wall_clock_that_goes_back_stops_no_flush() {
    let world = World::new();
    let clock = Backwards {
        clock: world.clock.clone(),
        back: Mutex::default(),
    };
    let application = world.prepare(Arc::new(clock));
    let mut thread = application.stream_thread(0).expect("a seat");
    world.append(INPUT.name(), 0..10);
    world.settle(&mut thread);
    world.advance(Duration::from_secs(3));
    world.append(INPUT.name(), 0..10);
    world.settle(&mut thread);
    assert!(world.position(COUNTS.name()).is_some());
}

#[test]
fn a_global_table_begins_where_its_last_flush_left_it() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    assert_eq!(world.follow_rates(), 100);
    assert_eq!(world.position(RATE.name()), Some(100));
    let mut application = world.prepare(Arc::new(world.clock.clone()));
    assert!(!application.step_globals().expect("nothing is left to read"));
}

#[test]
fn a_store_of_a_topic_that_was_made_anew_is_rebuilt() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    assert_eq!(world.follow_rates(), 100);
    world.make_rates_anew();
    world.append(RATES.name(), 200..300);
    assert_eq!(world.follow_rates(), 100, "those of the new topic alone");
}

#[test]
fn a_store_that_is_older_than_tombstones_is_rebuilt() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    assert_eq!(world.follow_rates(), 100);
    world.append_all(RATES.name(), 0..50, None);
    world.append(RATES.name(), 100..101);
    world.log.compact(RATES.name());
    world.clock.advance(Duration::from_hours(19));
    assert_eq!(world.follow_rates(), 51, "deleted keys do not come back");
}

#[test]
fn a_global_table_whose_process_was_suspended_for_days_is_rebuilt() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    let mut application = world.prepare(Arc::new(world.clock.clone()));
    world.follow(&mut application);
    world.append_all(RATES.name(), 0..50, None);
    world.append(RATES.name(), 100..101);
    world.log.compact(RATES.name());
    world.clock.advance(Duration::from_hours(30));
    world.follow(&mut application);
    drop(application);
    assert_eq!(world.rates_on_disk(), 51, "deleted keys do not come back");
}

#[test]
fn a_global_table_whose_topic_was_cut_off_is_rebuilt() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    let mut application = world.prepare(Arc::new(world.clock.clone()));
    world.follow(&mut application);
    world.make_rates_anew();
    world.follow(&mut application);
    drop(application);
    assert_eq!(world.rates_on_disk(), 10, "those of the new topic alone");
}

#[test]
fn nothing_is_processed_while_a_global_table_is_read_anew() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    let mut application = world.prepare(Arc::new(world.clock.clone()));
    world.follow(&mut application);
    let mut thread = application.stream_thread(0).expect("a seat");
    world.settle(&mut thread);
    world.make_rates_anew();
    world.append(INPUT.name(), 0..10);
    while !application.step_globals().expect("it looks again") {}
    let written = || {
        let changelog = "upkeep-counts-changelog";
        let records = world.log.dump(changelog, Isolation::ReadUncommitted);
        records.len()
    };
    for _ in 0..100 {
        world.advance(Duration::from_millis(20));
        thread.step().expect("it waits");
        assert!(!thread.is_restored() && written() == 0);
    }
    world.follow(&mut application);
    world.settle(&mut thread);
    assert_eq!(thread.step().expect("it goes on"), Progress::Idle);
    assert_eq!(written(), 10);
}

#[test]
fn an_old_store_whose_changelog_has_not_moved_is_kept() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    assert_eq!(world.follow_rates(), 100);
    world.clock.advance(Duration::from_hours(48));
    let mut application = world.prepare(Arc::new(world.clock.clone()));
    assert!(!application.step_globals().expect("nothing is left to read"));
}

#[test]
fn a_global_table_is_flushed_when_the_application_closes() {
    let world = World::new();
    world.append(RATES.name(), 0..100);
    let streams = Streams::builder(&topology())
        .start(Arc::new(world.log.clone()), world.state())
        .expect("started");
    streams.close();
    assert_eq!(world.position(RATE.name()), Some(100));
}

#[test]
fn a_full_disk_ends_the_application_and_the_next_start_goes_on() {
    let world = World::new();
    let mut thread = world.thread();
    world.settle(&mut thread);
    world.disk.set_full(true);
    world.append(INPUT.name(), 0..10);
    world.settle(&mut thread);
    world.advance(Duration::from_secs(3));
    let error = loop {
        world.advance(Duration::from_millis(20));
        if let Err(error) = thread.step() {
            break error;
        }
    };
    let is_poisoned = |error: &Error| matches!(error, Error::State(error) if matches!(**error, StateError::Poisoned { .. }));
    assert!(is_poisoned(&error), "{error}");
    drop(thread);

    world.disk.set_full(false);
    let mut thread = world.thread();
    world.settle(&mut thread);
    thread.close().expect("closed");
    assert!(world.position(COUNTS.name()) >= Some(10));
}

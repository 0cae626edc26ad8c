//! Stream threads on the simulated log, driven step by step: zombies, and tasks that panic.

use std::sync::Arc;
use std::time::Duration;

use millrace_state::{MemoryDisk, StateDir, StateOptions};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{SimLog, SimOptions};
use millrace_streams::log::{Isolation, Log, NewRecord};
use millrace_streams::partitioner::partition_of;
use millrace_streams::{
    Clock, Error, InitContext, KeyValueStore, ManualClock, OnError, ProcessResult, Processor,
    ProcessorContext, Punctuation, PunctuationKind, Record, Store, StreamThread, Streams,
    StreamsConfig, Timestamp, Topic, Topology,
};
use parking_lot::Mutex;

const INPUT: Topic<String, i64> = Topic::new("input");
const OUTPUT: Topic<String, i64> = Topic::new("output");

const LAST: Store<String, i64> = Store::new("last");

/// A value at which the topology panics when it comes, and one at which it panics with every
/// punctuation from then on.
const POISON: i64 = -1;
const SLOW_POISON: i64 = -2;

/// Passes values on; tells the last of each key again, every second by the wall clock.
struct Reporter {
    last: KeyValueStore<String, i64>,
}

impl Processor<String, i64, String, i64> for Reporter {
    fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
        cx.schedule(PunctuationKind::WallClock, Duration::from_secs(1));
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        assert!(*record.value != POISON, "poison");
        self.last.put(cx, record.key, record.value)?;
        cx.forward(record)
    }

    fn punctuate(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        punctuation: Punctuation,
    ) -> ProcessResult {
        for (key, value) in self.last.all(cx)? {
            assert!(value != SLOW_POISON, "slow poison");
            cx.forward(Record::new(&key, &value, punctuation.at))?;
        }
        Ok(())
    }
}

fn topology() -> Topology {
    Topology::define("reports", |t| {
        let input = t.stream(INPUT);
        input.process(LAST, |last| Reporter { last }).to(OUTPUT);
    })
    .expect("the topology is sound")
}

fn log(partitions: i32) -> SimLog {
    let log = SimLog::new(1, SimOptions::default());
    let mut input = INPUT.spec();
    input.partitions = partitions;
    log.create_topics(&[input, OUTPUT.spec()]).expect("topics");
    log
}

fn append(log: &SimLog, key: &str, value: i64) {
    let writer = log.writer("test").expect("a writer");
    let record = NewRecord {
        topic: INPUT.name().into(),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.to_be_bytes().to_vec()),
        headers: HeaderList::new(),
        timestamp: Timestamp::from_millis(1),
    };
    futures::executor::block_on(writer.append(record)).expect("appended");
}

/// Keys and values of what is committed.
fn output(log: &SimLog) -> Vec<(String, i64)> {
    let records = log.dump(OUTPUT.name(), Isolation::ReadCommitted);
    let typed = records.into_iter().map(|record| {
        let key = String::from_utf8(record.key.expect("a key")).expect("text");
        let value = record
            .value
            .expect("a value")
            .try_into()
            .expect("eight bytes");
        (key, i64::from_be_bytes(value))
    });
    typed.collect()
}

fn thread(log: &SimLog, clock: Arc<dyn Clock>, name: &str, config: StreamsConfig) -> StreamThread {
    let disk = MemoryDisk::with_process_id(name);
    let state = StateDir::in_memory_shared(&disk, StateOptions::default());
    let application = Streams::builder(&topology())
        .config(config)
        .clock(clock)
        .prepare(Arc::new(log.clone()), state)
        .expect("prepared");
    application.stream_thread(0).expect("a seat")
}

/// Time for everybody.
fn advance(log: &SimLog, clock: &ManualClock) {
    let by = Duration::from_millis(20);
    clock.advance(by);
    log.advance(by);
}

/// Steps until the output holds the record.
fn step_until(log: &SimLog, clock: &ManualClock, thread: &mut StreamThread, key: &str, value: i64) {
    for _ in 0..1_000 {
        advance(log, clock);
        thread.step().expect("the thread goes on");
        if output(log).contains(&(key.to_owned(), value)) {
            return;
        }
    }
    panic!("{:?}", output(log));
}

/// Steps until the thread gives up; answers why, and after how long.
fn step_until_it_fails(
    log: &SimLog,
    clock: &ManualClock,
    thread: &mut StreamThread,
) -> (Error, Duration) {
    let began = clock.elapsed();
    for _ in 0..10_000 {
        advance(log, clock);
        if let Err(error) = thread.step() {
            return (error, clock.elapsed() - began);
        }
    }
    panic!("it goes on for ever");
}

/// A clock that stops its reader once, for as long as what it was told to do takes.
struct Stopping {
    clock: ManualClock,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clock for Stopping {
    fn now(&self) -> Timestamp {
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

#[test]
fn a_zombie_that_only_punctuates_commits_nothing() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let stopping = Arc::new(Stopping {
        clock: clock.clone(),
        meanwhile: Mutex::new(None),
    });
    let config = StreamsConfig::default;
    let mut zombie = thread(&log, stopping.clone(), "zombie", config());
    append(&log, "a", 1);
    step_until(&log, &clock, &mut zombie, "a", 1);

    // It stops in the middle of a round; its session ends, and another takes the task.
    let (told, taken_over) = std::sync::mpsc::channel();
    let (other_log, other_clock) = (log.clone(), clock.clone());
    *stopping.meanwhile.lock() = Some(Box::new(move || {
        let seats = other_log.members("reports");
        assert!(other_log.remove_member(&seats[0]));
        let clock = Arc::new(other_clock.clone());
        let mut other = thread(&other_log, clock, "other", config());
        while output(&other_log).len() == 1 {
            advance(&other_log, &other_clock);
            other.step().expect("it takes over, and punctuates");
        }
        other_clock.advance(Duration::from_secs(5));
        told.send(output(&other_log)).expect("heard");
    }));
    let after = loop {
        zombie.step().expect("it learns later that it is one");
        if let Ok(after) = taken_over.try_recv() {
            break after;
        }
    };
    for _ in 0..5 {
        zombie.step().expect("it joins again");
    }
    assert_eq!(output(&log), after, "the zombie's punctuation is fenced");
}

/// Two keys of different partitions.
fn keys() -> (&'static str, &'static str) {
    let apart = |key: &&str| partition_of(key.as_bytes(), 2) != partition_of(b"a", 2);
    let other = ["b", "c", "d", "e", "f", "g"].into_iter().find(apart);
    ("a", other.expect("one of them is elsewhere"))
}

#[test]
fn a_task_that_panics_again_and_again_stops_the_application_in_the_end_and_no_task_before() {
    let (sick, healthy) = keys();
    let log = log(2);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default();
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    append(&log, sick, SLOW_POISON);
    step_until(&log, &clock, &mut thread, sick, SLOW_POISON);
    for n in 0..20 {
        append(&log, healthy, n);
        step_until(&log, &clock, &mut thread, healthy, n);
    }
    let (error, after) = step_until_it_fails(&log, &clock, &mut thread);
    let Error::Panicked {
        record, message, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((record, message.as_str()), (None, "slow poison"));
    assert!(after > Duration::from_secs(3), "{after:?}");
}

#[test]
fn a_record_that_panics_stops_the_application_if_the_handler_says_so() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let mut config = StreamsConfig::default();
    config.errors.process = OnError::Fail;
    config.panic_retries = 2;
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    append(&log, "a", 1);
    append(&log, "a", POISON);
    let (error, after) = step_until_it_fails(&log, &clock, &mut thread);
    let text = error.to_string();
    assert_eq!(text, "task 0_0 panicked at offset 1 of `input-0`: poison");
    assert!(after > Duration::from_millis(300), "{after:?}");
    assert_eq!(output(&log), [], "nothing of a broken transaction is seen");
}

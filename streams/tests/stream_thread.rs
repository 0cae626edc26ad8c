//! Stream threads on the simulated log, driven step by step: zombies, and tasks that panic.

use std::sync::Arc;
use std::time::Duration;

use millrace_state::{MemoryDisk, StateDir, StateOptions};
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::sim::{Fault, SimLog, SimOptions};
use millrace_streams::log::{
    Isolation, Log, Member, NewRecord, OffsetReset, OutputBatch, OutputRecord, Seat, TopicPartition,
};
use millrace_streams::partitioner::partition_of;
use millrace_streams::serde::SerdeError;
use millrace_streams::{
    Clock, Error, InitContext, KeyValueStore, ManualClock, OnError, ProcessError, ProcessResult,
    Processor, ProcessorContext, Punctuation, PunctuationKind, Record, Store, StreamThread,
    Streams, StreamsConfig, Timestamp, Topic, Topology,
};
use parking_lot::Mutex;

const INPUT: Topic<String, i64> = Topic::new("input");
const OUTPUT: Topic<String, i64> = Topic::new("output");

const LAST: Store<String, i64> = Store::new("last");

/// A value at which the topology panics when it comes, and one at which it panics with every
/// punctuation from then on.
const POISON: i64 = -1;
const SLOW_POISON: i64 = -2;
/// A value that is refused when it was stored and forwarded, and one that makes every punctuation
/// fail from then on.
const REFUSED: i64 = -3;
const SLOW_REFUSED: i64 = -4;
/// A value of which a serde says in punctuations that it does not answer, until the given time.
const UNREADABLE: i64 = -5;
const READABLE_FROM: Timestamp = Timestamp::from_millis(60_000);

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
        cx.forward(record)?;
        if *record.value == REFUSED {
            return Err(ProcessError::Rejected("refused".into()));
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        punctuation: Punctuation,
    ) -> ProcessResult {
        for (key, value) in self.last.all(cx)? {
            assert!(value != SLOW_POISON, "slow poison");
            if value == SLOW_REFUSED {
                return Err(ProcessError::Rejected("refused".into()));
            }
            if value == UNREADABLE && punctuation.at < READABLE_FROM {
                let reason = "a registry is away".into();
                return Err(SerdeError::Unavailable { reason }.into());
            }
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

/// A seat of an application that reads nothing of the topology under test.
fn bystander(log: &SimLog) -> Box<dyn Member> {
    let seat = Seat {
        application: "bystander".into(),
        process_id: "bystander".into(),
        member_id: "bystander".into(),
        endpoint: None,
        topology: Arc::default(),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: 1 << 20,
        transaction_timeout: Duration::from_secs(60),
    };
    log.join(seat).expect("a seat")
}

/// Writes to the changelog in a transaction that stays open.
fn write_changelog(member: &mut dyn Member, key: &str, value: i64) {
    let mut outputs = OutputBatch::new();
    let topic = outputs.slot(&Arc::from("reports-last-changelog"));
    outputs.push(OutputRecord {
        topic,
        partition: 0,
        timestamp: Timestamp::from_millis(1),
        headers: Headers::EMPTY,
        key: Some(key.as_bytes()),
        value: Some(&value.to_be_bytes()),
    });
    member.send(&mut outputs).expect("sent");
}

#[test]
fn a_task_waits_for_a_transaction_whose_end_comes_to_its_changelog_last() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default;
    let mut owner = thread(&log, Arc::new(clock.clone()), "owner", config());
    append(&log, "a", 1);
    step_until(&log, &clock, &mut owner, "a", 1);
    owner.close().expect("closed");
    // Nothing is pending in the group any more.
    let mut late = bystander(&log);
    write_changelog(&mut *late, "a", 2);

    let mut next = thread(&log, Arc::new(clock.clone()), "next", config());
    for _ in 0..100 {
        advance(&log, &clock);
        next.step().expect("the thread goes on");
    }
    assert!(!output(&log).contains(&("a".to_owned(), 2)));
    late.commit(&[]).expect("committed");
    step_until(&log, &clock, &mut next, "a", 2);
    let told = output(&log).into_iter().skip(1);
    let stale: Vec<_> = told.filter(|(_, value)| *value != 2).collect();
    assert_eq!(stale, [], "nothing is told of a store that lacks a write");
}

/// Two keys of different partitions.
fn keys() -> (&'static str, &'static str) {
    let apart = |key: &&str| partition_of(key.as_bytes(), 2) != partition_of(b"a", 2);
    let other = ["b", "c", "d", "e", "f", "g"].into_iter().find(apart);
    ("a", other.expect("one of them is elsewhere"))
}

#[test]
fn tasks_go_on_while_the_offsets_of_one_that_is_taken_over_are_pending() {
    let (a, b) = keys();
    let log = log(2);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default;
    let mut survivor = thread(&log, Arc::new(clock.clone()), "survivor", config());
    append(&log, a, 1);
    step_until(&log, &clock, &mut survivor, a, 1);
    let mut other = thread(&log, Arc::new(clock.clone()), "other", config());
    for _ in 0..100 {
        advance(&log, &clock);
        survivor.step().expect("it gives a task away");
        other.step().expect("it takes a task");
    }
    other.close().expect("closed");
    for _ in 0..10_000 {
        log.inject(Fault::OffsetsUnavailable);
    }
    let appended = |value: &i64| *value == 2;
    [a, b].iter().for_each(|key| append(&log, key, 2));
    for _ in 0..100 {
        advance(&log, &clock);
        survivor.step().expect("it goes on");
    }
    assert!(log.faults_fired().contains_key(&Fault::OffsetsUnavailable));
    let mut told: Vec<_> = output(&log)
        .into_iter()
        .filter(|(_, v)| appended(v))
        .collect();
    told.dedup();
    assert_eq!(told.len(), 1, "the task that it had: {told:?}");
    log.stop_faults();
    step_until(&log, &clock, &mut survivor, a, 2);
    step_until(&log, &clock, &mut survivor, b, 2);
}

/// What the application has committed of its input's first partition.
fn committed(log: &SimLog) -> Option<i64> {
    let input = TopicPartition::new(INPUT.name(), 0);
    let offsets = log.committed("reports", &[input]).expect("told");
    offsets[0].as_ref().map(|committed| committed.offset)
}

#[test]
fn who_begins_at_the_latest_record_skips_nothing_after_a_failed_commit() {
    let (log, clock) = (log(1), ManualClock::new(Timestamp::from_millis(0)));
    append(&log, "a", 1);
    let mut config = StreamsConfig::default();
    config.offset_reset = OffsetReset::Latest;
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    for _ in 0..1_000 {
        advance(&log, &clock);
        thread.step().expect("it begins");
        if committed(&log).is_some() {
            break;
        }
    }
    assert_eq!(committed(&log), Some(1), "where it begins is committed");
    append(&log, "a", 2);
    log.inject(Fault::SendCutOff);
    step_until(&log, &clock, &mut thread, "a", 2);
    assert!(log.faults_fired().contains_key(&Fault::SendCutOff));
    assert!(!output(&log).contains(&("a".to_owned(), 1)));
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

#[test]
fn a_record_that_is_refused_half_way_is_a_dead_letter_and_nothing_of_it_stays() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default();
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    for value in [1, REFUSED, 2] {
        append(&log, "a", value);
    }
    step_until(&log, &clock, &mut thread, "a", 2);
    let letters = log.dump("reports-dead-letter", Isolation::ReadCommitted);
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    let says = |name| letter.headers.view().text(name);
    assert_eq!(says("__streams.errors.exception"), Some("rejected"));
    assert_eq!(says("__streams.errors.offset"), Some("1"));
    let refused = ("a".to_owned(), REFUSED);
    assert!(!output(&log).contains(&refused), "{:?}", output(&log));
}

#[test]
fn a_punctuation_that_fails_is_tried_again_before_the_application_stops() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default();
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    append(&log, "a", SLOW_REFUSED);
    let (error, after) = step_until_it_fails(&log, &clock, &mut thread);
    assert_eq!(error.to_string(), "task 0_0 failed: refused");
    assert!(after > Duration::from_secs(3), "{after:?}");
}

#[test]
fn a_punctuation_that_fails_stops_the_application_at_once_if_the_handler_says_so() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let mut config = StreamsConfig::default();
    config.errors.process = OnError::Fail;
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    append(&log, "a", SLOW_REFUSED);
    let (_, after) = step_until_it_fails(&log, &clock, &mut thread);
    assert!(after < Duration::from_secs(2), "{after:?}");
}

#[test]
fn a_punctuation_waits_for_a_serde_that_does_not_answer() {
    let log = log(1);
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let config = StreamsConfig::default();
    let mut thread = thread(&log, Arc::new(clock.clone()), "one", config);
    append(&log, "a", UNREADABLE);
    while clock.now() < READABLE_FROM {
        advance(&log, &clock);
        thread.step().expect("it waits, however long it takes");
    }
    let before = output(&log).len();
    for _ in 0..200 {
        advance(&log, &clock);
        thread.step().expect("it goes on");
    }
    assert!(output(&log).len() > before, "the punctuation has run");
}

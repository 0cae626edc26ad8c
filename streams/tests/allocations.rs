//! The per-record path takes no memory of its own: what grows with the records is what they leave
//! in stores and logs.

use std::sync::Arc;
use std::time::Duration;

use millrace_state::StateDir;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::SimLog;
use millrace_streams::log::{Log, NewRecord};
use millrace_streams::{
    ManualClock, Store, StreamThread, Streams, StreamsConfig, Timestamp, Topic, Topology,
};

const INPUT: Topic<u64, i64> = Topic::new("input").partitions(1);
const OUTPUT: Topic<u64, i64> = Topic::new("output").partitions(1);
const SUMS: Store<u64, i64> = Store::new("sums");

const RECORDS: u64 = 20_000;
const KEYS: u64 = 10;

/// A thread that runs `topology` by `clock`, with `RECORDS` records of `KEYS` keys in front of it.
fn thread(topology: &Topology, clock: &ManualClock) -> StreamThread {
    let log = SimLog::quiet();
    log.create_topics(&[INPUT.spec(), OUTPUT.spec()])
        .expect("topics");
    let mut config = StreamsConfig::default();
    // One commit, after the last record.
    config.commit_interval = Duration::from_secs(3_600);
    config.commit_bytes_max = usize::MAX;
    let application = Streams::builder(topology)
        .config(config)
        .clock(Arc::new(clock.clone()))
        .prepare(Arc::new(log.clone()), StateDir::in_memory())
        .expect("prepared");
    let mut thread = application.stream_thread(0).expect("a seat");
    while !thread.is_restored() {
        thread.step().expect("it begins");
    }
    let writer = log.writer("test").expect("a writer");
    let mut headers = HeaderList::new();
    headers.push("from", Some(b"the test"));
    for number in 0..RECORDS {
        let record = NewRecord {
            topic: INPUT.name().into(),
            key: Some((number % KEYS).to_be_bytes().to_vec()),
            value: Some(1_i64.to_be_bytes().to_vec()),
            headers: headers.clone(),
            timestamp: Timestamp::from_millis(1),
        };
        futures::executor::block_on(writer.append(record)).expect("appended");
    }
    thread
}

/// How often memory is taken until all records are processed and committed.
fn allocations(topology: &Topology) -> u64 {
    let clock = ManualClock::new(Timestamp::from_millis(0));
    let mut thread = thread(topology, &clock);
    let counted = allocation_counter::measure(|| {
        let mut idle = 0;
        while idle < 3 {
            clock.advance(Duration::from_millis(1));
            thread.step().expect("it goes on");
            idle = if thread.is_settled() { idle + 1 } else { 0 };
        }
    });
    counted.count_total
}

#[test]
fn a_record_that_passes_stateless_operators_takes_no_memory() {
    let topology = Topology::define("stateless", |t| {
        let input = t.stream(INPUT);
        let doubled = input.map_values(|_, value| value * 2);
        doubled.filter(|_, value| *value < 0).to(OUTPUT);
    });
    let counted = allocations(&topology.expect("sound"));
    assert!(counted < RECORDS / 20, "{counted} for {RECORDS} records");
}

#[test]
fn a_record_that_changes_a_known_key_takes_no_memory() {
    let topology = Topology::define("stateful", |t| {
        let sums = t
            .stream(INPUT)
            .aggregate(SUMS, || 0, |_, value, sum| sum + value);
        sums.to_stream()
            .filter(|_, sum| sum.is_some_and(|sum| sum < 0))
            .count(Store::new("negative"));
    });
    let counted = allocations(&topology.expect("sound"));
    assert!(counted < RECORDS / 20, "{counted} for {RECORDS} records");
}

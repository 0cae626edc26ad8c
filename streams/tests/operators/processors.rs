//! The Processor API: suppliers, stores before the first record, metadata, ranges.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use millrace_state::{MemoryDisk, StateDir, StateOptions};
use millrace_streams::log::sim::{SimLog, SimOptions};
use millrace_streams::log::{Isolation, Log, NewRecord};
use millrace_streams::serde::Resources;
use millrace_streams::{
    InitContext, KeyValueStore, ManualClock, ProcessResult, Processor, ProcessorContext,
    Punctuation, PunctuationKind, Record, RecordCodec, Store, StoreAccess, StreamThread, Streams,
    Topic, Topology, TopologyError,
};

use super::{at, driver, text};

const INPUT: Topic<String, i64> = Topic::new("input");
const OUTPUT: Topic<String, i64> = Topic::new("output");
const HIGH: Topic<String, i64> = Topic::new("high");
const TOLD: Topic<String, String> = Topic::new("told");

/// Passes on what is at least as large as its threshold.
struct AtLeast(i64);

impl Processor<String, i64, String, i64> for AtLeast {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        if *record.value >= self.0 {
            cx.forward(record)?;
        }
        Ok(())
    }
}

#[test]
fn one_processor_runs_with_different_settings() {
    let high = 10;
    let topology = Topology::define("thresholds", |t| {
        let input = t.stream(INPUT);
        input.process((), |()| AtLeast(1)).to(OUTPUT);
        input.process((), move |()| AtLeast(high)).to(HIGH);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    for value in [0, 5, 10] {
        driver
            .input(INPUT)
            .pipe(&text("k"), &value, at(0))
            .expect("piped");
    }
    assert_eq!(
        driver.output(OUTPUT).read_values().expect("values"),
        [5, 10]
    );
    assert_eq!(driver.output(HIGH).read_values().expect("values"), [10]);
}

const TOTALS: Store<String, i64> = Store::new("totals");
const STARTS: Store<String, i64> = Store::new("starts");

/// Keeps the total of each key, and the sum of all in a field: what it finds at its start counts.
struct GrandTotal {
    totals: KeyValueStore<String, i64>,
    starts: KeyValueStore<String, i64>,
    sum: i64,
}

impl Processor<String, i64, String, i64> for GrandTotal {
    fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
        self.sum = self.totals.all(cx)?.iter().map(|(_, total)| total).sum();
        let starts = self.starts.get(cx, &text("all"))?.unwrap_or(0);
        self.starts.put(cx, &text("all"), &(starts + 1))
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        let total = self.totals.get(cx, record.key)?.unwrap_or(0) + record.value;
        self.totals.put(cx, record.key, &total)?;
        self.sum += record.value;
        let starts = self.starts.get(cx, &text("all"))?.unwrap_or(0);
        cx.forward(record.with_value(&(100 * starts + self.sum)))
    }
}

fn grand_total() -> Topology {
    let topology = Topology::define("grand-total", |t| {
        let supplier = |(totals, starts)| GrandTotal {
            totals,
            starts,
            sum: 0,
        };
        t.stream(INPUT)
            .process((TOTALS, STARTS), supplier)
            .to(OUTPUT);
    });
    topology.expect("the topology is sound")
}

fn start(log: &SimLog, clock: &ManualClock, process: &str) -> StreamThread {
    let disk = MemoryDisk::with_process_id(process);
    let state = StateDir::in_memory_shared(&disk, StateOptions::default());
    let builder = Streams::builder(&grand_total()).clock(Arc::new(clock.clone()));
    let application = builder
        .prepare(Arc::new(log.clone()), state)
        .expect("prepared");
    application.stream_thread(0).expect("a seat")
}

fn append(log: &SimLog, key: &str, value: i64) {
    let mut codec = RecordCodec::new(INPUT, &Resources::new()).expect("a codec");
    let record: NewRecord = codec.encode(&text(key), &value, at(1)).expect("encoded");
    let writer = log.writer("test").expect("a writer");
    futures::executor::block_on(writer.append(record)).expect("appended");
}

/// Steps until as many records are committed; answers the value of the last.
fn step_until(log: &SimLog, clock: &ManualClock, thread: &mut StreamThread, records: usize) -> i64 {
    let mut codec = RecordCodec::new(OUTPUT, &Resources::new()).expect("a codec");
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(20));
        log.advance(Duration::from_millis(20));
        thread.step().expect("the thread goes on");
        let told = log.dump(OUTPUT.name(), Isolation::ReadCommitted);
        if let Some(last) = told.last().filter(|_| told.len() == records) {
            let decoded = codec.decode(
                last.key.as_deref(),
                last.value.as_deref(),
                last.headers.view(),
            );
            return decoded.expect("typed").1;
        }
    }
    panic!("there are not {records} records");
}

#[test]
fn a_processor_finds_what_its_stores_were_restored_to_and_may_write_before_its_first_record() {
    let log = SimLog::new(1, SimOptions::default());
    let (input, output) = (INPUT.partitions(1).spec(), OUTPUT.partitions(1).spec());
    log.create_topics(&[input, output]).expect("topics");
    let clock = ManualClock::new(at(0));
    let mut first = start(&log, &clock, "first");
    append(&log, "a", 3);
    append(&log, "b", 4);
    assert_eq!(step_until(&log, &clock, &mut first, 2), 107);
    first.close().expect("closed");

    // Another machine, with nothing on its disk.
    let mut second = start(&log, &clock, "second");
    append(&log, "a", 1);
    assert_eq!(step_until(&log, &clock, &mut second, 3), 208);
}

/// Tells where each record was read, and that a punctuation was read nowhere.
struct Origin;

impl Processor<String, i64, String, String> for Origin {
    fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
        cx.schedule(PunctuationKind::WallClock, Duration::from_secs(1));
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        let read = cx
            .record_metadata()
            .map(|m| (text(m.topic), m.partition, m.offset));
        cx.forward(record.with_value(&format!("{read:?}")))
    }

    fn punctuate(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        due: Punctuation,
    ) -> ProcessResult {
        let nowhere = format!("{:?}", cx.record_metadata());
        cx.forward(Record::new(&text("tick"), &nowhere, due.at))
    }
}

#[test]
fn a_processor_knows_topic_partition_and_offset_of_its_record() {
    let topology = Topology::define("origins", |t| {
        t.stream(INPUT)
            .repartition("again")
            .process((), |()| Origin)
            .to(TOLD);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    for value in [1, 2] {
        driver
            .input(INPUT)
            .pipe(&text("k"), &value, at(0))
            .expect("piped");
    }
    driver
        .advance_wall_clock(Duration::from_secs(1))
        .expect("ticked");
    let read = |offset| format!("Some((\"test-again-repartition\", 0, {offset}))");
    let told = driver.output(TOLD).read_values().expect("values");
    assert_eq!(told, [read(0), read(1), text("None")]);
}

#[test]
fn an_update_of_a_table_has_no_place_of_its_own() {
    let topology = Topology::define("origins", |t| {
        let table = t.table(INPUT, TOTALS);
        let updates = table.to_stream().flatten_values();
        updates.process((), |()| Origin).to(TOLD);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    driver
        .input(INPUT)
        .pipe(&text("k"), &1, at(0))
        .expect("piped");
    assert_eq!(driver.output(TOLD).read_values().expect("values"), ["None"]);
}

const QUEUE: Store<String, i64> = Store::new("queue").ordered();

/// Keeps values by key, and on a negative value hands the queue out page by page.
struct Queue(KeyValueStore<String, i64>);

impl Queue {
    fn page(
        &mut self,
        cx: &impl StoreAccess,
        from: Bound<String>,
    ) -> Result<Vec<(String, i64)>, millrace_streams::ProcessError> {
        let behind = self.0.range(cx, (from, Bound::Unbounded))?;
        behind.take(2).collect()
    }
}

impl Processor<String, i64, String, i64> for Queue {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        if *record.value >= 0 {
            return self.0.put(cx, record.key, record.value);
        }
        let mut from = Bound::Included(record.key.clone());
        loop {
            let page = self.page(cx, from)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            from = Bound::Excluded(last.clone());
            for (key, value) in &page {
                self.0.delete(cx, key)?;
                cx.forward(Record::new(key, value, record.timestamp))?;
            }
        }
    }
}

#[test]
fn an_ordered_store_is_read_page_by_page_while_it_is_written() {
    let topology = Topology::define("queue", |t| {
        t.stream(INPUT).process(QUEUE, Queue).to(OUTPUT);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    for (key, value) in [("d", 4), ("b", 2), ("a", 1), ("c", 3), ("e", 5), ("b", -1)] {
        driver
            .input(INPUT)
            .pipe(&text(key), &value, at(0))
            .expect("piped");
    }
    assert_eq!(
        driver.output(OUTPUT).read_values().expect("values"),
        [2, 3, 4, 5]
    );
    let left = driver
        .store(QUEUE)
        .expect("the store")
        .all()
        .expect("entries");
    assert_eq!(left, [(text("a"), 1)]);
}

/// Tells the keys from `b` up to and with its record's key, from the last to the first.
struct Backwards(KeyValueStore<String, i64>);

impl Processor<String, i64, String, String> for Backwards {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, String>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        self.0.put(cx, record.key, record.value)?;
        let range = text("b")..=record.key.clone();
        let mut keys = Vec::new();
        for entry in self.0.reverse_range(cx, range)? {
            keys.push(entry?.0);
        }
        cx.forward(record.with_value(&keys.join(" ")))
    }
}

#[test]
fn a_range_has_the_bounds_that_it_is_given_ordered_or_not() {
    for store in [QUEUE, Store::new("queue")] {
        let topology = Topology::define("ranges", move |t| {
            t.stream(INPUT).process(store, Backwards).to(TOLD);
        });
        let mut driver = driver(&topology.expect("the topology is sound"));
        for key in ["a", "c", "b", "d"] {
            driver
                .input(INPUT)
                .pipe(&text(key), &0, at(0))
                .expect("piped");
        }
        let told = driver.output(TOLD).read_values().expect("values");
        assert_eq!(told, ["", "c", "b", "d c b"]);
    }
}

fn mismatch(topology: Result<Topology, TopologyError>) -> String {
    match topology {
        Err(error @ TopologyError::StoreMismatch { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Keeps text where others keep numbers.
struct Keeps<V: millrace_streams::serde::Data>(KeyValueStore<String, V>);

impl<V: millrace_streams::serde::Data> Processor<String, i64, String, i64> for Keeps<V> {
    fn process(
        &mut self,
        _: &mut ProcessorContext<'_, String, i64>,
        _: Record<'_, String, i64>,
    ) -> ProcessResult {
        Ok(())
    }
}

#[test]
fn a_store_is_not_shared_under_two_types() {
    const AS_TEXT: Store<String, String> = Store::new("totals");
    let error = mismatch(Topology::define("shared", |t| {
        let input = t.stream(INPUT);
        input.process(TOTALS, Keeps).to(OUTPUT);
        input.process(AS_TEXT, Keeps).to(OUTPUT);
    }));
    assert_eq!(
        error,
        "store `totals` is unordered, `alloc::string::String` to `i64`, and is used as unordered, \
         `alloc::string::String` to `alloc::string::String`; use one constant for both"
    );
    let table = mismatch(Topology::define("shared", |t| {
        t.table(INPUT, TOTALS);
        t.stream(HIGH).process(AS_TEXT, Keeps).to(OUTPUT);
    }));
    assert_eq!(table, error);
}

#[test]
fn a_store_is_not_shared_in_two_orders() {
    let error = mismatch(Topology::define("shared", |t| {
        let input = t.stream(INPUT);
        input.process(TOTALS, Keeps).to(OUTPUT);
        input.process(TOTALS.ordered(), Keeps).to(OUTPUT);
    }));
    assert!(error.contains("is used as ordered"), "{error}");
}

#[test]
fn processors_that_connect_one_store_share_it() {
    let topology = Topology::define("shared", |t| {
        let supplier = |(totals, starts)| GrandTotal {
            totals,
            starts,
            sum: 0,
        };
        t.stream(INPUT)
            .process((TOTALS, STARTS), supplier)
            .to(OUTPUT);
        t.stream(HIGH)
            .process((TOTALS, STARTS), supplier)
            .to(OUTPUT);
    });
    let mut driver = driver(&topology.expect("the topology is sound"));
    driver
        .input(INPUT)
        .pipe(&text("k"), &1, at(0))
        .expect("piped");
    driver
        .input(HIGH)
        .pipe(&text("k"), &2, at(0))
        .expect("piped");
    let total = driver.store(TOTALS).expect("the store").get(&text("k"));
    assert_eq!(total.expect("read"), Some(3));
}

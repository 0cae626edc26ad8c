//! Bad records: each gets its dead letter in the transaction that goes past it, and the task goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::sim::{FaultRates, SimOptions};
use millrace_streams::log::{Isolation, NewRecord};
use millrace_streams::{
    BeyondSkew, Error, OnError, ProcessError, Simulation, Store, StreamsConfig, TestDriverOptions,
    TestRecord, Timestamp, TimestampPolicy, Topic, Topology, TopologyTestDriver,
};

const AMOUNTS: Topic<String, i64> = Topic::new("amounts");
const TOTALS: Topic<String, String> = Topic::new("totals");
const SUMS: Store<String, i64> = Store::new("sums");

const LINES: Topic<String, String> = Topic::new("lines");

/// An amount at which the topology panics.
const PANICS: i64 = -13;
/// An amount that makes a record of this many bytes, too many.
const LONG: i64 = 600;
/// A sum of which too large a record is made, at the commit.
const LONG_SUM: i64 = 77;
const BYTES_MAX: usize = 500;

/// amounts -> lines
/// amounts -> [sums] -> totals
fn topology() -> Topology {
    Topology::define("sums", |t| {
        let amounts = t.stream(AMOUNTS);
        amounts
            .map_values(|_, amount| "-".repeat(usize::try_from(*amount).unwrap_or(0)))
            .to(LINES);
        amounts
            .aggregate(
                SUMS,
                || 0,
                |_, amount, sum| {
                    assert!(*amount != PANICS, "unlucky");
                    sum + amount
                },
            )
            .to_stream()
            .map_values(|_, sum| match sum.unwrap_or_default() {
                LONG_SUM => "+".repeat(600),
                sum => sum.to_string(),
            })
            .to(TOTALS);
    })
    .expect("the topology is sound")
}

fn options(wall_clock: i64) -> TestDriverOptions {
    let mut options = TestDriverOptions::default();
    options.wall_clock = Timestamp::from_millis(wall_clock);
    options.record_bytes_max = BYTES_MAX;
    options
}

fn driver(options: TestDriverOptions) -> TopologyTestDriver {
    TopologyTestDriver::with_options(&topology(), options).expect("a driver")
}

/// Pipes a record in, with its key and value as bytes.
fn pipe(driver: &mut TopologyTestDriver, key: Option<&[u8]>, value: &[u8], at: i64) {
    let timestamp = Timestamp::from_millis(at);
    let piped = driver.pipe_raw(AMOUNTS.name(), key, Some(value), Headers::EMPTY, timestamp);
    piped.expect("the task goes on");
}

fn totals(driver: &mut TopologyTestDriver) -> Vec<String> {
    let read = driver.output(TOTALS).read_values();
    read.expect("totals are readable")
}

fn header<'a>(headers: &'a HeaderList, name: &str) -> &'a str {
    let value = headers.view().get(name);
    let value = value.unwrap_or_else(|| panic!("no header `{name}`"));
    std::str::from_utf8(value).expect("text")
}

type Letter = TestRecord<Option<Vec<u8>>, Option<Vec<u8>>>;

/// The only dead letter, which tells where its record came from.
fn dead_letter(driver: &mut TopologyTestDriver, offset: &str, exception: &str) -> Letter {
    let mut letters = driver.dead_letters().read_all().expect("bytes");
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = letters.remove(0);
    let says = |name| header(&letter.headers, name);
    assert_eq!(says("__streams.errors.topic"), "amounts");
    assert_eq!(says("__streams.errors.partition"), "0");
    assert_eq!(says("__streams.errors.offset"), offset);
    assert_eq!(says("__streams.errors.exception"), exception);
    letter
}

#[test]
fn a_malformed_value_is_set_aside_as_it_came() {
    let mut driver = driver(options(0));
    pipe(&mut driver, Some(b"a"), b"no number", 5);
    let letter = dead_letter(&mut driver, "0", "deserialize");
    assert_eq!(letter.key.as_deref(), Some(b"a".as_slice()));
    assert_eq!(letter.value.as_deref(), Some(b"no number".as_slice()));
    assert_eq!(letter.timestamp, Timestamp::from_millis(5));
    pipe(&mut driver, Some(b"a"), &7_i64.to_be_bytes(), 6);
    assert_eq!(totals(&mut driver), ["7"]);
}

#[test]
fn a_null_key_is_set_aside() {
    let mut driver = driver(options(0));
    pipe(&mut driver, None, &1_i64.to_be_bytes(), 5);
    let letter = dead_letter(&mut driver, "0", "deserialize");
    assert_eq!(letter.key, None);
    pipe(&mut driver, Some(b"a"), &7_i64.to_be_bytes(), 6);
    assert_eq!(totals(&mut driver), ["7"]);
}

#[test]
fn an_output_that_is_too_large_is_set_aside_alone() {
    let mut driver = driver(options(0));
    pipe(&mut driver, Some(b"a"), &LONG.to_be_bytes(), 5);
    let letter = dead_letter(&mut driver, "0", "record too large");
    assert_eq!(letter.value.as_deref(), Some(LONG.to_be_bytes().as_slice()));
    assert_eq!(header(&letter.headers, "__streams.errors.output"), "lines");
    pipe(&mut driver, Some(b"a"), &7_i64.to_be_bytes(), 6);
    assert_eq!(totals(&mut driver), ["600", "607"], "the rest is done");
}

#[test]
fn the_production_handler_decides_about_an_output() {
    let mut skipping = options(0);
    skipping.errors.produce = OnError::Continue;
    let mut skipping = driver(skipping);
    pipe(&mut skipping, Some(b"a"), &LONG.to_be_bytes(), 5);
    assert!(skipping.dead_letters().is_empty());
    assert_eq!(totals(&mut skipping), ["600"]);

    let mut failing = options(0);
    failing.errors.produce = OnError::Fail;
    let mut failing = driver(failing);
    let zero = Timestamp::from_millis(0);
    let failed = failing.input(AMOUNTS).pipe(&"a".into(), &LONG, zero);
    assert!(matches!(failed, Err(Error::Process { .. })), "{failed:?}");
}

#[test]
fn an_update_that_is_too_large_is_set_aside_and_the_table_goes_on() {
    let mut driver = driver(options(0));
    pipe(&mut driver, Some(b"a"), &LONG_SUM.to_be_bytes(), 5);
    let letters = driver.dead_letters().read_all().expect("bytes");
    let says = |name| header(&letters[0].headers, name);
    assert_eq!(says("__streams.errors.topic"), "test-sums-changelog");
    assert_eq!(says("__streams.errors.offset"), "-1");
    assert_eq!(says("__streams.errors.exception"), "record too large");
    assert_eq!(says("__streams.errors.update"), "sums");
    assert_eq!(says("__streams.errors.output"), "totals");
    assert_eq!(
        letters[0].value.as_deref(),
        Some(LONG_SUM.to_be_bytes().as_slice())
    );
    pipe(&mut driver, Some(b"a"), &1_i64.to_be_bytes(), 6);
    assert_eq!(totals(&mut driver), ["78"]);
}

#[test]
fn a_dead_letter_that_would_be_too_large_goes_without_its_value() {
    let mut driver = driver(options(0));
    pipe(&mut driver, Some(b"a"), &[b'?'; BYTES_MAX], 5);
    let letter = dead_letter(&mut driver, "0", "deserialize");
    assert_eq!(letter.value, None);
    assert_eq!(
        header(&letter.headers, "__streams.errors.value.left.out"),
        "true"
    );
}

#[test]
fn a_dead_letter_that_is_too_large_without_its_value_loses_its_headers_and_its_key_at_last() {
    let mut options = options(0);
    options.record_bytes_max = 2 * BYTES_MAX;
    let long = "x".repeat(2 * BYTES_MAX);
    let mut own = HeaderList::new();
    own.push("own", Some(long.as_bytes()));
    let mut other = HeaderList::new();
    other.push("own", Some(b"short"));
    for (key, own, left_out) in [("a", &own, "headers"), (&*long, &other, "key")] {
        let mut driver = driver(options.clone());
        let value = long.as_bytes();
        let timestamp = Timestamp::from_millis(5);
        let key = Some(key.as_bytes());
        let piped = driver.pipe_raw(AMOUNTS.name(), key, Some(value), own.view(), timestamp);
        piped.expect("the task goes on");
        let letter = dead_letter(&mut driver, "0", "deserialize");
        let is_left_out = |part: &str| {
            let name = format!("__streams.errors.{part}.left.out");
            letter.headers.view().text(&name) == Some("true")
        };
        assert!(is_left_out("value") && is_left_out(left_out));
        assert_eq!(
            (letter.key.is_none(), letter.value),
            (is_left_out("key"), None)
        );
        let is_there = letter.headers.view().get("own").is_some();
        assert_eq!(is_there, !is_left_out("headers"));
    }
}

#[test]
fn a_dead_letter_tells_of_a_long_fault_its_beginning() {
    let topology = Topology::define("long", |t| {
        t.stream(AMOUNTS)
            .map_values(|_, _| panic!("é{}", "é".repeat(100_000)))
            .to(LINES);
    });
    let topology = topology.expect("the topology is sound");
    let mut driver = TopologyTestDriver::new(&topology).expect("a driver");
    pipe(&mut driver, Some(b"a"), &1_i64.to_be_bytes(), 5);
    let letter = dead_letter(&mut driver, "0", "panic");
    let message = header(&letter.headers, "__streams.errors.message");
    assert!(message.starts_with("panicked: ééé") && message.len() <= 8 << 10);
}

#[test]
fn a_record_that_panics_is_set_aside_as_if_it_had_never_been() {
    let mut driver = driver(options(0));
    pipe(&mut driver, Some(b"a"), &1_i64.to_be_bytes(), 5);
    pipe(&mut driver, Some(b"a"), &PANICS.to_be_bytes(), 6);
    let letter = dead_letter(&mut driver, "1", "panic");
    assert_eq!(
        letter.value.as_deref(),
        Some(PANICS.to_be_bytes().as_slice())
    );
    assert_eq!(
        header(&letter.headers, "__streams.errors.message"),
        "panicked: unlucky"
    );
    pipe(&mut driver, Some(b"a"), &2_i64.to_be_bytes(), 7);
    assert_eq!(totals(&mut driver), ["1", "3"]);
    let lines = driver.output(LINES).read_values().expect("lines");
    assert_eq!(lines, ["-", "--"], "nothing of the panicking record stays");
}

#[test]
fn the_process_handler_decides_about_a_panic() {
    let mut skipping = options(0);
    skipping.errors.process = OnError::Continue;
    let mut skipping = driver(skipping);
    pipe(&mut skipping, Some(b"a"), &PANICS.to_be_bytes(), 5);
    let letters = skipping.dead_letters().read_all().expect("bytes");
    assert_eq!(letters, []);

    let mut failing = options(0);
    failing.errors.process = OnError::Fail;
    let mut failing = driver(failing);
    let zero = Timestamp::from_millis(0);
    let failed = failing.input(AMOUNTS).pipe(&"a".into(), &PANICS, zero);
    let Err(Error::Process { source, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert!(matches!(source, ProcessError::Panicked(text) if text == "unlucky"));
}

/// When the tests of the future take place, and a time ten years later.
const NOW: i64 = 1_735_689_600_000;
const FUTURE: i64 = NOW + 10 * 365 * 86_400_000;

fn in_time(beyond: BeyondSkew) -> TestDriverOptions {
    let mut options = options(NOW);
    options.timestamps = TimestampPolicy {
        beyond,
        ..TimestampPolicy::default()
    };
    options
}

#[test]
fn a_record_from_the_future_counts_as_one_from_now() {
    let mut driver = driver(in_time(BeyondSkew::Clamp));
    let value = 1_i64.to_be_bytes();
    let tomorrow = NOW + 86_400_000;
    for at in [NOW - 5, FUTURE, tomorrow, FUTURE] {
        pipe(&mut driver, Some(b"a"), &value, at);
    }
    let lines = driver.output(LINES).read_all().expect("lines");
    let times: Vec<_> = lines
        .iter()
        .map(|line| line.timestamp.as_millis())
        .collect();
    assert_eq!(times, [NOW - 5, NOW, tomorrow, tomorrow]);
}

#[test]
fn a_record_from_the_future_can_be_refused() {
    let mut driver = driver(in_time(BeyondSkew::Refuse));
    pipe(&mut driver, Some(b"a"), &1_i64.to_be_bytes(), FUTURE);
    let letter = dead_letter(&mut driver, "0", "deserialize");
    assert_eq!(letter.timestamp, Timestamp::from_millis(FUTURE));
    assert!(header(&letter.headers, "__streams.errors.message").contains("too far ahead"));
}

#[test]
fn a_record_without_a_timestamp_is_set_aside() {
    let mut driver = driver(in_time(BeyondSkew::Clamp));
    pipe(&mut driver, Some(b"a"), &1_i64.to_be_bytes(), -1);
    dead_letter(&mut driver, "0", "deserialize");
}

/// What is appended under faults: every third record is bad, in one of four ways.
fn sent(n: i64) -> (Option<Vec<u8>>, Vec<u8>) {
    let key = Some(format!("k{}", n % 5).into_bytes());
    match n % 12 {
        2 => (key, format!("malformed {n}").into_bytes()),
        5 => (None, n.to_be_bytes().to_vec()),
        8 => (key, LONG.to_be_bytes().to_vec()),
        11 => (key, PANICS.to_be_bytes().to_vec()),
        _ => (key, (n % 7 + 100).to_be_bytes().to_vec()),
    }
}

fn is_bad(n: i64) -> bool {
    n % 3 == 2
}

fn simulate(seed: u64) -> Simulation {
    let options = SimOptions {
        faults: FaultRates::all(0.01),
        session_timeout: Duration::from_secs(2),
        ..SimOptions::default()
    };
    let mut simulation = Simulation::new(seed, options);
    let topics = [AMOUNTS.spec(), LINES.spec(), TOTALS.spec()];
    simulation.create_topics(&topics).expect("topics");
    let mut config = StreamsConfig::default();
    config.record_bytes_max = BYTES_MAX;
    simulation.add_application(&topology(), config);
    simulation.start_instances(2).expect("instances start");
    for n in 0..48 {
        let (key, value) = sent(n);
        let mut headers = HeaderList::new();
        headers.set("n", n.to_string().as_bytes());
        let record = NewRecord {
            topic: AMOUNTS.name().into(),
            key,
            value: Some(value),
            headers,
            timestamp: simulation.now(),
        };
        let failed = |e| panic!("seed {seed}: {e}");
        simulation.append(&record).unwrap_or_else(failed);
        simulation.run(10).unwrap_or_else(failed);
    }
    let rest = simulation.settle();
    rest.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    simulation
}

/// One entry per committed record of a topic: its place in the input, as its dead letter tells it.
fn places(simulation: &Simulation, topic: &str) -> BTreeMap<(String, String), usize> {
    let mut places = BTreeMap::new();
    for record in simulation.log().dump(topic, Isolation::ReadCommitted) {
        let n: i64 = header(&record.headers, "n").parse().expect("a number");
        let place = if topic != AMOUNTS.name() {
            let says = |name| header(&record.headers, name).to_owned();
            assert_eq!((record.key, record.value.expect("bytes")), sent(n));
            (
                says("__streams.errors.partition"),
                says("__streams.errors.offset"),
            )
        } else if is_bad(n) {
            (record.partition.to_string(), record.offset.to_string())
        } else {
            continue;
        };
        *places.entry(place).or_default() += 1;
    }
    places
}

#[test]
fn under_faults_each_bad_record_has_one_dead_letter_and_the_others_are_folded_once() {
    for seed in 0..25 {
        let simulation = simulate(seed);
        let bad = places(&simulation, AMOUNTS.name());
        let letters = places(&simulation, "sums-dead-letter");
        assert!(bad.len() >= 16, "seed {seed}");
        assert_eq!(letters, bad, "seed {seed}");
        let log = simulation.log();
        let good = log.dump(AMOUNTS.name(), Isolation::ReadCommitted).len() - bad.len();
        let lines = log.dump(LINES.name(), Isolation::ReadCommitted).len();
        assert_eq!(lines, good, "seed {seed}");
    }
}

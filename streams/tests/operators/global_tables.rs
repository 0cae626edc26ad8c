//! Global tables: look-ups that miss, bad records, and what the test driver knows of them.

use millrace_streams::headers::Headers;
use millrace_streams::{
    Error, OnError, Store, TestDriverOptions, Topic, Topology, TopologyError, TopologyTestDriver,
};

use super::{at, driver, text};

const RATES: Topic<String, Option<i64>> = Topic::new("rates");
const RATE: Store<String, i64> = Store::new("rate");
const SALES: Topic<u64, String> = Topic::new("sales");
const PAID: Topic<u64, String> = Topic::new("paid");

fn sale_in(currency: &str) -> Option<String> {
    (!currency.is_empty()).then(|| currency.to_owned())
}

fn topology() -> Topology {
    let topology = Topology::define("paid", |t| {
        let rates = t.global_table(RATES.of_values(), RATE);
        let sales = t.stream(SALES);
        sales
            .join_global(rates, |_, sale| sale_in(sale), |_, rate| rate.to_string())
            .to(PAID);
    });
    topology.expect("the topology is sound")
}

fn left_topology() -> Topology {
    let topology = Topology::define("paid", |t| {
        let rates = t.global_table(RATES.of_values(), RATE);
        let tell = |_: &String, rate: Option<&i64>| format!("{rate:?}");
        t.stream(SALES)
            .left_join_global(rates, |_, sale| sale_in(sale), tell)
            .to(PAID);
    });
    topology.expect("the topology is sound")
}

fn rate(driver: &mut TopologyTestDriver, rate: Option<i64>, ms: i64) {
    driver
        .input(RATES)
        .pipe(&text("eur"), &rate, at(ms))
        .expect("piped");
}

fn sell(driver: &mut TopologyTestDriver, currency: &str) {
    driver
        .input(SALES)
        .pipe(&7, &text(currency), at(5))
        .expect("piped");
}

fn paid(driver: &mut TopologyTestDriver) -> Vec<String> {
    driver.output(PAID).read_values().expect("values")
}

#[test]
fn a_join_drops_a_record_without_a_value_or_without_a_key() {
    let mut driver = driver(&topology());
    sell(&mut driver, "eur");
    rate(&mut driver, Some(108), 9);
    for currency in ["eur", "xau", ""] {
        sell(&mut driver, currency);
    }
    rate(&mut driver, None, 10);
    sell(&mut driver, "eur");
    assert_eq!(paid(&mut driver), ["108"]);
}

#[test]
fn a_left_join_passes_a_record_without_a_value_or_without_a_key() {
    let mut driver = driver(&left_topology());
    rate(&mut driver, Some(108), 9);
    for currency in ["eur", "xau", ""] {
        sell(&mut driver, currency);
    }
    assert_eq!(paid(&mut driver), ["Some(108)", "None", "None"]);
}

#[test]
fn a_malformed_record_is_left_out_where_it_arrives_and_blames_no_other() {
    let mut driver = driver(&left_topology());
    rate(&mut driver, Some(108), 0);
    let malformed = driver.pipe_raw("rates", Some(b"eur"), Some(b"?"), Headers::EMPTY, at(1));
    malformed.expect("left out");
    sell(&mut driver, "eur");
    assert_eq!(paid(&mut driver), ["Some(108)"]);
    assert!(driver.dead_letters().is_empty());
}

#[test]
fn a_malformed_record_stops_the_application_if_the_handler_says_so() {
    let mut options = TestDriverOptions::default();
    options.errors.deserialize = OnError::Fail;
    let driver = TopologyTestDriver::with_options(&topology(), options);
    let mut driver = driver.expect("a driver");
    let malformed = driver.pipe_raw("rates", Some(b"eur"), Some(b"?"), Headers::EMPTY, at(1));
    let error = malformed.expect_err("it is no number").to_string();
    assert!(
        error.starts_with("global table failed at offset 0 of `rates-0`"),
        "{error}"
    );
}

#[test]
fn the_driver_reads_and_writes_a_global_table() {
    let mut driver = driver(&topology());
    rate(&mut driver, Some(108), 9);
    let mut store = driver.store(RATE).expect("the table");
    let stored = store
        .get_timestamped(&text("eur"))
        .expect("read")
        .expect("a value");
    assert_eq!((stored.value, stored.timestamp), (108, at(9)));
    store.put(&text("usd"), &100).expect("written");
    store.delete(&text("eur")).expect("deleted");
    assert_eq!(store.all().expect("entries"), [(text("usd"), 100)]);
    sell(&mut driver, "usd");
    assert_eq!(paid(&mut driver), ["100"]);
}

#[test]
fn the_driver_says_what_it_does_not_know() {
    const OTHER: Store<String, i64> = Store::new("other");
    const AS_TEXT: Store<String, String> = Store::new("rate");
    let mut driver = driver(&topology());
    let unread = driver.input(PAID).pipe(&1, &text("x"), at(0));
    let error = unread.expect_err("nothing reads it").to_string();
    assert_eq!(
        error,
        "the topology does not read topic `paid`; pipe into one of its source topics"
    );
    let unknown = driver.store(OTHER).expect_err("there is none").to_string();
    assert_eq!(
        unknown,
        "there is no store `other` here; name it in the topology"
    );
    let mistyped = driver.store(AS_TEXT).expect_err("it holds numbers");
    let is_mismatch = matches!(
        mistyped,
        Error::Topology(TopologyError::StoreMismatch { .. })
    );
    assert!(is_mismatch, "{mistyped}");
}

#[test]
fn a_topic_is_not_read_both_as_a_stream_and_as_a_global_table() {
    let twice = TopologyError::DuplicateSource {
        topic: text("rates"),
    };
    let after = Topology::define("twice", |t| {
        t.stream(RATES);
        t.global_table(RATES.of_values(), RATE);
    });
    assert_eq!(after.expect_err("read twice"), twice);
    let before = Topology::define("twice", |t| {
        t.global_table(RATES.of_values(), RATE);
        t.stream(RATES);
    });
    assert_eq!(before.expect_err("read twice"), twice);
}

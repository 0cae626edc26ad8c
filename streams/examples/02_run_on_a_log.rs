//! Lesson 2, the same topology for real: on a durable log in a folder, with a stream thread, a state
//! directory, and queries of what it has committed.
//!
//! `cargo run -p millrace-streams --example 02_run_on_a_log`
//!
//! On Kafka only the line that opens the log differs: `KafkaLog::connect(...)`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use millrace_state::{StateDir, StateOptions};
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Isolation, Log, Reader, TopicPartition};
use millrace_streams::serde::Resources;
use millrace_streams::{ApplicationState, RecordCodec, Store, Streams, Timestamp, Topic, Topology};

const ORDERS: Topic<u64, String> = Topic::new("orders").partitions(2);
const COUNTS: Topic<String, u64> = Topic::new("order-counts").partitions(1);
const BY_CUSTOMER: Store<String, u64> = Store::new("orders-by-customer");

pub fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::define("order-counts", |t| {
        t.stream(ORDERS)
            .select_key(|_, customer| customer.clone())
            .repartition("by-customer")
            .count(BY_CUSTOMER)
            .to(COUNTS);
    })?;
    let folder = tempfile::tempdir()?;
    let log: Arc<dyn Log> =
        EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default())?;
    log.create_topics(&[ORDERS.spec(), COUNTS.spec()])?;

    // What stands outside of a topology appends records by itself, and knows when they are durable.
    let writer = log.writer("shop")?;
    let mut orders = RecordCodec::new(ORDERS, &Resources::new())?;
    for (order, customer) in [(1, "ann"), (2, "bob"), (3, "ann")] {
        let record = orders.encode(&order, &customer.to_owned(), Timestamp::from_millis(0))?;
        block_on(writer.append(record))?;
    }

    let state = StateDir::open(folder.path().join("state"), StateOptions::default())?;
    let streams = Streams::builder(&topology).start(log.clone(), state)?;
    let started = streams.wait_until_running(Duration::from_secs(30));
    assert!(matches!(started, ApplicationState::Running), "{started:?}");

    // Facts are read as any other records are: here by a reader of its own, until there are three.
    let mut facts = log.reader(Isolation::ReadCommitted)?;
    facts.assign(&[(TopicPartition::new(COUNTS.name(), 0), 0)])?;
    for (customer, count) in read(&mut *facts, 3)? {
        println!("{customer}: {count}");
    }

    // A query reads committed state only, from any thread. A store applies a commit when it knows of
    // it, which may be a moment after a reader of the log does.
    let by_customer = streams.store(BY_CUSTOMER)?;
    let ann = "ann".to_owned();
    let mut counted = by_customer.get(&ann)?;
    for _ in 0..300 {
        if counted == Some(2) {
            break;
        }
        facts.fetch(Duration::from_millis(100), &mut Vec::new())?;
        counted = by_customer.get(&ann)?;
    }
    assert_eq!(counted, Some(2));
    streams.close();
    Ok(())
}

/// Reads until `count` orders are counted: a customer's counts may come as one, after a commit.
fn read(facts: &mut dyn Reader, count: u64) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let mut codec = RecordCodec::new(COUNTS, &Resources::new())?;
    let (mut counts, mut batches) = (std::collections::BTreeMap::new(), Vec::new());
    while counts.values().sum::<u64>() < count {
        facts.fetch(Duration::from_millis(100), &mut batches)?;
        for batch in batches.drain(..) {
            for record in batch.iter() {
                let (customer, n) = codec.decode(record.key, record.value, record.headers)?;
                counts.insert(customer, n);
            }
        }
    }
    Ok(counts.into_iter().collect())
}

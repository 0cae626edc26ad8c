//! A whole application on Kafka, and input that it cannot process.

use millrace_state::StateDir;
use millrace_streams::log::Isolation;
use millrace_streams::{ApplicationState, Streams, Topic, Topology};

use crate::Cluster;
use crate::contract::Harness;
use crate::contract::kit::{append, partition, read, record, spec, values};

const COUNTS: Topic<String, String> = Topic::new("bad-records-counts");
const LINES: Topic<String, String> = Topic::new("bad-records-lines");

/// counts -> lines
fn topology() -> Topology {
    Topology::define("bad-records", |t| {
        t.stream(COUNTS)
            .map_values(|_, count| "x".repeat(count.parse().expect("a number")))
            .to(LINES);
    })
    .expect("the topology is sound")
}

#[test]
fn bad_records_are_dead_letters_and_the_task_goes_on() {
    let h = match Cluster::start() {
        Ok(h) => h,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    for name in [COUNTS.name(), LINES.name()] {
        let spec = spec(name, 1);
        h.log().create_topics(&[spec]).expect("created");
    }
    let counts = COUNTS.name().into();
    let mut records: Vec<_> = ["1", "", "", "2000000", "no number", "2"]
        .map(|value| record(&counts, "k", value))
        .into();
    records[1].value = Some(vec![0xff]);
    records[2].key = None;
    append(&h, records.clone());
    let application = Streams::builder(&topology())
        .start(h.log.clone(), StateDir::in_memory())
        .expect("started");
    let lines = values(&h, &partition(&LINES.name().into(), 0), 2);
    assert_eq!(lines, ["x", "xx"]);
    let letters = partition(&"bad-records-dead-letter".into(), 0);
    let letters = read(&h, &letters, Isolation::ReadCommitted, 4);
    let exceptions = ["deserialize", "deserialize", "record too large", "panic"];
    assert_eq!(letters.len(), 4);
    for ((letter, sent), exception) in letters.iter().zip(&records[1..]).zip(exceptions) {
        let says = |name| letter.headers.view().text(name);
        assert_eq!(says("__streams.errors.exception"), Some(exception));
        assert_eq!(says("__streams.errors.topic"), Some(COUNTS.name()));
        assert_eq!((&letter.key, &letter.value), (&sent.key, &sent.value));
    }
    assert!(!matches!(application.state(), ApplicationState::Failed(_)));
    application.close();
}

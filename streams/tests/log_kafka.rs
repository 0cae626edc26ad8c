//! The log on a real Kafka broker: the contract of the port.

#[macro_use]
mod contract;
mod support;

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use contract::Harness;
use contract::kit::App;
use millrace_deploy::{Kafka, KafkaOptions as BrokerOptions, require_with};
use millrace_streams::Timestamp;
use millrace_streams::headers::Headers;
use millrace_streams::log::kafka::{KafkaLog, KafkaOptions};
use millrace_streams::log::{
    Cleanup, CommitError, Log, Offset, OutputRecord, TopicPartition, TopicSpec,
};

/// One broker for all tests of this file; the names of topics and applications keep them apart.
static BROKER: OnceLock<Option<Kafka>> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    broker: &'static Kafka,
    log: Arc<KafkaLog>,
    /// The last part of this test's names.
    number: u32,
}

impl Harness for Cluster {
    const HAS_SESSIONS: bool = true;
    const DELETES_RECORDS: bool = true;

    fn start() -> Result<Self, String> {
        let standbys = BrokerOptions::default().with("group.streams.num.standby.replicas", "1");
        let broker = BROKER.get_or_init(|| require_with(standbys)).as_ref();
        let broker = broker.ok_or("Kafka is not installed")?;
        let mut options = KafkaOptions::new(broker.bootstrap());
        options.repartition_purge_interval = Duration::ZERO;
        let log = KafkaLog::connect(options);
        Ok(Self {
            broker,
            log: Arc::new(log.expect("the broker is there")),
            number: NAMES.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.number)
    }

    fn settle(&self) {
        thread::park_timeout(Duration::from_millis(10));
    }

    fn record_bytes_max(&self) -> usize {
        1_000_000
    }

    // librdkafka takes 0 for "now", and writes 1 instead.
    fn timestamp_min_ms(&self) -> i64 {
        1
    }

    // A response holds at least one record of the largest size, so it may be that large.
    fn fetch_bytes_slack(&self) -> usize {
        1_000_000
    }

    fn standby_replicas(&self) -> usize {
        1
    }

    // What a coordinator does with a silent member, it does with one that is said to leave.
    fn end_session(&self, member_id: &str) {
        let group = format!("app-{}", self.number);
        let removed = support::remove_member(&self.broker.bootstrap(), &group, member_id);
        removed.expect("the coordinator takes it");
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("offsets.json");
        let (topic, number) = (&partition.topic, partition.partition);
        let json = format!(
            r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{number},"offset":{before}}}]}}"#
        );
        fs::write(&file, json).expect("written");
        let file = file.to_string_lossy();
        let tool = "org.apache.kafka.tools.DeleteRecordsCommand";
        let done = self.broker.tool(&[tool, "--offset-json-file", &file]);
        let done = done.expect("the tool runs");
        assert!(done.status.success(), "{done:?}");
    }
}

contract_suite!(Cluster);

#[test]
fn what_a_topic_refuses_is_refused_for_good_and_the_member_goes_on_without_it() {
    contract::run::<Cluster>(|h| {
        let input = contract::kit::topic(h, "input", 1);
        let compacted: Arc<str> = h.unique("compacted").into();
        let spec = TopicSpec {
            cleanup: Cleanup::Compact,
            ..contract::kit::spec(&compacted, 1)
        };
        h.log().create_topics(&[spec]).expect("created");
        let to = TopicPartition::new(Arc::clone(&compacted), 0);
        let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
        // A compacted topic takes no record without a key.
        let topic = client.outputs.slot(&compacted);
        client.outputs.push(OutputRecord {
            topic,
            partition: 0,
            timestamp: Timestamp::from_millis(1),
            headers: Headers::EMPTY,
            key: None,
            value: Some(b"v"),
        });
        client.member.send(&mut client.outputs).expect("sent");
        let refused = client.member.commit(&[]);
        assert!(
            matches!(refused, Err(CommitError::Refused(_))),
            "{refused:?}"
        );
        client.recover(h);
        client.send(&to, "k", "kept");
        client.commit();
        assert_eq!(contract::kit::values(h, &to, 1), ["kept"]);
    });
}

#[test]
fn a_topic_that_is_compressed_with_zstd_is_read() {
    contract::run::<Cluster>(|h| {
        let packed: Arc<str> = h.unique("packed").into();
        let tool = "org.apache.kafka.tools.TopicCommand";
        let config = "compression.type=zstd";
        let made = h
            .broker
            .tool(&[tool, "--create", "--topic", &packed, "--config", config]);
        let made = made.expect("the tool runs");
        assert!(made.status.success(), "{made:?}");
        let text = "the same again and again ".repeat(100);
        contract::kit::append(h, vec![contract::kit::record(&packed, "k", &text)]);
        let from = contract::kit::partition(&packed, 0);
        assert_eq!(contract::kit::values(h, &from, 1), [text]);
    });
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_the_member_goes_on() {
    contract::run::<Cluster>(|h| {
        let (input, output) = (
            contract::kit::topic(h, "input", 1),
            contract::kit::topic(h, "output", 1),
        );
        let (from, to) = (
            contract::kit::partition(&input, 0),
            contract::kit::partition(&output, 0),
        );
        let mut app = App::reading(h, &[&input]);
        app.transaction_timeout = Duration::from_secs(1);
        let mut client = app.join_alone(h, "a", 1);
        // The coordinator calls the producer fenced each time: that is no sign of a rival.
        let mut end = 0;
        for _ in 0..2 {
            client.send(&to, "k", "too late");
            end = contract::kit::eventually(h, "the coordinator's abort", || {
                let bounds = client.member.bounds(std::slice::from_ref(&to));
                let bounds = bounds.expect("an answer").pop().expect("one answer");
                let ended = bounds.end == bounds.high_watermark && bounds.end > end;
                ended.then_some(bounds.end)
            });
            let late = [(from.clone(), contract::kit::offset(1, "too late"))];
            let aborted = client.member.commit(&late);
            assert!(
                matches!(aborted, Err(CommitError::Aborted(_))),
                "{aborted:?}"
            );
            client.member.recover().expect("the member keeps its seat");
            assert_eq!(client.committed(&from), None);
        }
        client.send(&to, "k", "in time");
        client.commit_at(&from, contract::kit::offset(2, "in time"));
        assert_eq!(contract::kit::values(h, &to, 1), ["in time"]);
    });
}

//! Random histories against a model: what is read is what was committed, whatever was cleaned,
//! purged, deleted or opened again in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Cleanup, Log, Offset, OutputBatch, TopicPartition, TopicSpec};

use crate::kit::*;
use crate::memory::MemoryDisk;

const TOPICS: [&str; 3] = ["plain", "compact", "purged"];
const PARTITIONS: i32 = 2;

/// A partition as it should be: every record ever committed, and the first that must exist.
#[derive(Clone, Debug, Default)]
struct Expected {
    records: Vec<(String, Option<String>)>,
    start: usize,
}

#[derive(Debug, Default)]
struct Model {
    partitions: BTreeMap<(&'static str, i32), Expected>,
    offsets: HashMap<(&'static str, i32), Offset>,
}

fn options() -> EmbeddedOptions {
    let mut options = small();
    options.segment_bytes = 1500;
    options.dirty_percent_min = 30;
    options.delete_retention = std::time::Duration::ZERO;
    options.cleaner_bytes_max = 600;
    options
}

fn create_all(log: &EmbeddedLog) {
    let specs = TOPICS.map(|name| {
        let cleanup = match name {
            "compact" => Cleanup::Compact,
            _ => Cleanup::Delete { retention: None },
        };
        TopicSpec {
            cleanup,
            ..spec(name, PARTITIONS)
        }
    });
    log.create_topics(&specs).expect("created");
}

fn open_disk(disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    EmbeddedLog::open_on(Arc::new(disk.clone()), "/log", options()).expect("the log opens")
}

fn reopen(log: Arc<EmbeddedLog>, disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    drop(log);
    open_disk(disk)
}

fn commit(log: &EmbeddedLog, model: &mut Model, dice: &mut Dice) {
    let mut member = log.join(seat("app", "m", &TOPICS)).expect("joined");
    member.poll_assignment().expect("polled");
    let mut outputs = OutputBatch::new();
    for _ in 0..dice.below(20) {
        let topic = TOPICS[dice.below(TOPICS.len())];
        let partition = i32::try_from(dice.below(2)).expect("small");
        let key = format!("k{}", dice.below(8));
        let value = (!dice.one_in(5)).then(|| format!("{:x}", dice.next()));
        push(&mut outputs, topic, partition, &key, value.as_deref());
        let expected = model.partitions.entry((topic, partition)).or_default();
        expected.records.push((key, value));
    }
    member.send(&mut outputs).expect("sent");
    let topic = TOPICS[dice.below(TOPICS.len())];
    let at = i64::try_from(dice.below(1000)).expect("small");
    member.commit(&[offset(topic, 1, at)]).expect("committed");
    model.offsets.insert((topic, 1), at);
}

fn purge(log: &EmbeddedLog, model: &mut Model, dice: &mut Dice) {
    let expected = model.partitions.entry(("purged", 0)).or_default();
    let start = dice.below(expected.records.len() + 1);
    expected.start = expected.start.max(start);
    let offset = i64::try_from(start).expect("small");
    log.purge_before(&TopicPartition::new("purged", 0), offset)
        .expect("purged");
}

fn make_anew(log: &EmbeddedLog, model: &mut Model, dice: &mut Dice) {
    let topic = TOPICS[dice.below(TOPICS.len())];
    log.delete_topics(&[topic]).expect("deleted");
    create_all(log);
    for partition in 0..PARTITIONS {
        model.partitions.remove(&(topic, partition));
        model.offsets.remove(&(topic, partition));
    }
}

fn check(log: &EmbeddedLog, model: &Model) {
    for topic in TOPICS {
        for partition in 0..PARTITIONS {
            let expected = model.partitions.get(&(topic, partition));
            let expected = expected.cloned().unwrap_or_default();
            let read = read_all(log, topic, partition);
            check_partition(&read, &expected, topic == "compact");
            let known = TopicPartition::new(topic, partition);
            let committed = log.committed("app", &[known]).expect("read").swap_remove(0);
            let committed = committed.map(|committed| committed.offset);
            assert_eq!(committed, model.offsets.get(&(topic, partition)).copied());
        }
    }
}

fn check_partition(read: &[Read], expected: &Expected, is_compacted: bool) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for record in read {
        let at = usize::try_from(record.offset).expect("not negative");
        let (key, value) = &expected.records[at];
        assert_eq!(record.key.as_deref().map(text).as_ref(), Some(key));
        assert_eq!(record.value.as_deref().map(text), *value);
    }
    let offsets: Vec<_> = read.iter().map(|record| record.offset).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    if !is_compacted {
        assert_eq!(read.len(), expected.records.len() - expected.start);
        return;
    }
    let fold = |records: &mut dyn Iterator<Item = (String, Option<String>)>| {
        let mut table = BTreeMap::new();
        for (key, value) in records {
            match value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
        table
    };
    let mut records = read.iter().map(|record| {
        let key = record.key.as_deref().map(text).expect("a key");
        (key, record.value.as_deref().map(text))
    });
    let whole = fold(&mut expected.records.iter().cloned());
    assert_eq!(
        fold(&mut records),
        whole,
        "a table read from it is the same"
    );
}

#[test]
fn random_histories_read_as_the_model_says() {
    for seed in 0..400 {
        let disk = MemoryDisk::default();
        let mut dice = Dice::new(seed);
        let mut model = Model::default();
        let mut log = open_disk(&disk);
        create_all(&log);
        for _ in 0..120 {
            match dice.below(20) {
                0 => log = reopen(log, &disk),
                1..=3 => log.clean().expect("cleaned"),
                4 => purge(&log, &mut model, &mut dice),
                5 if dice.one_in(4) => make_anew(&log, &mut model, &mut dice),
                _ => commit(&log, &mut model, &mut dice),
            }
        }
        check(&log, &model);
        log.clean().expect("cleaned");
        check(&log, &model);
        check(&reopen(log, &disk), &model);
    }
}

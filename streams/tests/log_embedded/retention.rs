//! Giving up old records: retention, purging and compaction.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use millrace_streams::Timestamp;
use millrace_streams::log::embedded::EmbeddedLog;
use millrace_streams::log::{
    Cleanup, Isolation, Log, LogError, Member, OutputBatch, TopicPartition, TopicSpec,
};

use crate::kit::*;

fn compacted(log: &EmbeddedLog, name: &str) {
    let topic = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec(name, 1)
    };
    log.create_topics(&[topic]).expect("created");
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).expect("a directory");
    let names = files.map(|file| file.expect("a file").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".segment")).collect()
}

fn segments(dir: &std::path::Path) -> usize {
    names(dir).len()
}

/// Enough other records to close the open segment.
fn fill_segment(log: &EmbeddedLog) {
    create(log, "filler", 1);
    append(log, "filler", "k", &"x".repeat(5000));
    append(log, "filler", "k", "into the next segment");
}

#[test]
fn compaction_keeps_the_latest_record_of_each_key_at_its_offset() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let log = open(dir.path(), small());
        compacted(&log, "t");
        for number in 0..300 {
            append(
                &*log,
                "t",
                &format!("k{}", number % 3),
                &format!("{number}"),
            );
        }
        fill_segment(&log);
        let before = segments(dir.path());
        log.clean().expect("cleaned");
        assert!(segments(dir.path()) < before);
        assert_eq!(values(&read_all(&*log, "t", 0)), vec!["297", "298", "299"]);
    }
    let log = open(dir.path(), small());
    let read = read_all(&*log, "t", 0);
    let offsets: Vec<_> = read.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, vec![297, 298, 299]);
    assert_eq!(append(&*log, "t", "k0", "next").offset, 300);
}

#[test]
fn a_tombstone_is_kept_for_its_time_and_then_goes() {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000);
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.clock = || Timestamp::from_millis(NOW.load(Ordering::SeqCst));
    options.delete_retention = Duration::from_millis(1000);
    options.dirty_percent_min = 0;
    let log = open(dir.path(), options);
    compacted(&log, "t");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    push(&mut outputs, "t", 0, "gone", Some("v"));
    push(&mut outputs, "t", 0, "stays", Some("v"));
    push(&mut outputs, "t", 0, "gone", None);
    member.send(&mut outputs).expect("sent");
    member.commit(&[]).expect("committed");
    fill_segment(&log);
    log.clean().expect("cleaned");
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["v", "-"]);
    NOW.fetch_add(2000, Ordering::SeqCst);
    append(&*log, "t", "other", "v");
    fill_segment(&log);
    log.clean().expect("cleaned");
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["v", "v"]);
}

#[test]
fn a_reader_goes_over_the_gaps_of_compaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    compacted(&log, "t");
    for number in 0..10 {
        append(&*log, "t", "k", &format!("{number}"));
    }
    fill_segment(&log);
    log.clean().expect("cleaned");
    let mut reader = log.reader(Isolation::ReadCommitted).expect("a reader");
    let partition = TopicPartition::new("t", 0);
    reader.assign(&[(partition, 0)]).expect("assigned");
    let mut batches = Vec::new();
    reader.fetch(Duration::ZERO, &mut batches).expect("fetched");
    let batch = batches.first().expect("a batch");
    assert_eq!((batch.len(), batch.position, batch.at_end), (1, 10, true));
}

#[test]
fn records_older_than_the_retention_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.clock = || Timestamp::from_millis(10_000);
    let log = open(dir.path(), options.clone());
    let retention = Some(Duration::from_millis(1000));
    let topic = TopicSpec {
        cleanup: Cleanup::Delete { retention },
        ..spec("t", 1)
    };
    log.create_topics(&[topic]).expect("created");
    let writer = log.writer("w").expect("a writer");
    for ms in [1, 8999, 9000, 5] {
        let mut new = record("t", Some("k"), Some(&format!("{ms}{}", " ".repeat(3000))));
        new.timestamp = Timestamp::from_millis(ms);
        wait(writer.append(new)).expect("appended");
    }
    fill_segment(&log);
    let before = segments(dir.path());
    log.clean().expect("cleaned");
    assert!(segments(dir.path()) < before);
    let offsets = |log: &EmbeddedLog| {
        let read = read_all(log, "t", 0);
        read.iter().map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&log), vec![2, 3]);
    let mut reader = log.reader(Isolation::ReadCommitted).expect("a reader");
    reader
        .assign(&[(TopicPartition::new("t", 0), 1)])
        .expect("assigned");
    let error = reader.fetch(Duration::ZERO, &mut Vec::new());
    assert!(matches!(
        error,
        Err(LogError::OffsetOutOfRange {
            wanted: 1,
            start: 2,
            ..
        })
    ));
    drop((reader, writer, log));
    assert_eq!(offsets(&open(dir.path(), options)), vec![2, 3]);
}

#[test]
fn purged_records_are_gone_and_their_room_is_given_back() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let log = open(dir.path(), small());
        create(&*log, "t", 1);
        for number in 0..100 {
            append(&*log, "t", "k", &format!("{number}{}", " ".repeat(500)));
        }
        let before = segments(dir.path());
        let partition = TopicPartition::new("t", 0);
        log.purge_before(&partition, 99).expect("purged");
        log.purge_before(&partition, 50).expect("changes nothing");
        log.clean().expect("cleaned");
        assert!(before > 10 && segments(dir.path()) <= 2);
    }
    let log = open(dir.path(), small());
    assert_eq!(read_all(&*log, "t", 0).len(), 1);
    log.purge_before(&TopicPartition::new("t", 0), 1_000_000)
        .expect("purged");
    assert!(read_all(&*log, "t", 0).is_empty());
    assert_eq!(append(&*log, "t", "k", "next").offset, 100);
}

#[test]
fn scattered_records_are_gathered_and_stay_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.segment_bytes = 64 << 10;
    let log = open(dir.path(), options.clone());
    create(&*log, "t", 4);
    for number in 0..3000 {
        append(&*log, "t", &format!("k{number}"), &format!("{number}"));
    }
    let read = |log: &EmbeddedLog| (0..4).map(|p| read_all(log, "t", p)).collect::<Vec<_>>();
    let before = read(&log);
    log.clean().expect("cleaned");
    assert_eq!(read(&log), before);
    drop(log);
    assert_eq!(read(&open(dir.path(), options)), before);
}

#[test]
fn compaction_leaves_the_records_of_other_topics_where_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    compacted(&log, "c");
    create(&*log, "t", 1);
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let write = |member: &mut dyn Member| {
        let mut outputs = OutputBatch::new();
        for number in 0..40 {
            push(&mut outputs, "c", 0, "k", Some(&format!("{number}")));
            push(&mut outputs, "t", 0, "k", Some(&"x".repeat(1000)));
            member.send(&mut outputs).expect("sent");
            member.commit(&[]).expect("committed");
        }
    };
    write(&mut *member);
    log.clean().expect("cleaned");
    let split = names(dir.path());
    write(&mut *member);
    log.clean().expect("cleaned");
    let kept = names(dir.path());
    let moved = split.iter().filter(|name| !kept.contains(name)).count();
    assert!(
        split.len() > 10 && moved <= 3,
        "{moved} of {} rewritten",
        split.len()
    );
    assert_eq!(read_all(&*log, "t", 0).len(), 80);
    assert_eq!(
        read_all(&*log, "c", 0).first().map(|one| one.offset),
        Some(79)
    );
}

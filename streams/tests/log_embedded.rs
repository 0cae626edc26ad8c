//! The embedded log: what it promises, on the real file system and on disks that fail.

#![allow(
    clippy::disallowed_methods,
    reason = "stalls and kills are the faults that these tests inject"
)]

#[path = "log_embedded/damage.rs"]
mod damage;
#[path = "log_embedded/faults.rs"]
mod faults;
#[path = "log_embedded/groups.rs"]
mod groups;
#[path = "log_embedded/kill.rs"]
mod kill;
#[path = "log_embedded/kit.rs"]
mod kit;
#[path = "log_embedded/memory.rs"]
mod memory;
#[path = "log_embedded/model.rs"]
mod model;
#[path = "log_embedded/power.rs"]
mod power;
#[path = "log_embedded/retention.rs"]
mod retention;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kit::*;
use millrace_streams::log::{Isolation, Log, LogError, OutputBatch, RecordBatch, TopicPartition};

#[test]
fn an_acknowledged_append_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let log = open(dir.path(), small());
        create(&*log, "t", 3);
        for number in 0..100 {
            append(&*log, "t", &format!("k{number}"), &format!("v{number}"));
        }
    }
    let log = open(dir.path(), small());
    let read: Vec<_> = (0..3).flat_map(|p| read_all(&*log, "t", p)).collect();
    assert_eq!(read.len(), 100);
    let has = |number: i32| {
        let value = format!("v{number}");
        read.iter()
            .any(|record| record.value.as_deref() == Some(value.as_bytes()))
    };
    assert!((0..100).all(has));
}

#[test]
fn a_log_opens_under_a_bare_name_and_in_directories_that_do_not_exist() {
    let dir = tempfile::tempdir_in(".").expect("a directory");
    let bare = Path::new(dir.path().file_name().expect("a name"));
    fs::remove_dir(bare).expect("empty");
    drop(open(bare, small()));
    let log = open(&bare.join("a/b"), small());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "v");
}

#[test]
fn a_key_goes_where_kafka_streams_puts_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 7);
    let position = append(&*log, "t", "foobar", "v");
    let expected = millrace_streams::partitioner::partition_of(b"foobar", 7);
    assert_eq!(position.partition, TopicPartition::new("t", expected));
}

#[test]
fn records_without_a_key_go_round() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 3);
    let writer = log.writer("w").expect("a writer");
    for _ in 0..6 {
        wait(writer.append(record("t", None, Some("v")))).expect("appended");
    }
    assert!((0..3).all(|partition| read_all(&*log, "t", partition).len() == 2));
}

#[test]
fn a_second_open_is_refused_and_names_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    let error = try_open(dir.path(), small()).expect_err("locked");
    let text = error.to_string();
    assert!(matches!(error, LogError::Config(_)), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    drop(log);
    open(dir.path(), small());
}

#[test]
fn a_record_over_the_limit_is_refused_and_the_next_is_taken() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.record_bytes_max = 100;
    let log = open(dir.path(), options);
    create(&*log, "t", 1);
    let writer = log.writer("w").expect("a writer");
    let large = record("t", Some("k"), Some(&"x".repeat(100)));
    let error = wait(writer.append(large)).expect_err("too large");
    assert!(matches!(
        error,
        LogError::RecordTooLarge {
            bytes: 101,
            limit: 100,
            ..
        }
    ));
    let fits = record("t", Some("k"), Some(&"x".repeat(99)));
    assert_eq!(wait(writer.append(fits)).expect("fits").offset, 0);
}

#[test]
fn creating_a_topic_again_with_other_partitions_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 2);
    create(&*log, "t", 2);
    let error = log.create_topics(&[spec("new", 1), spec("t", 3)]);
    assert!(matches!(error, Err(LogError::Config(text)) if text.contains("`t`")));
    assert_eq!(log.topics().expect("topics").len(), 1, "all or none");
}

#[test]
fn a_deleted_topic_is_gone_with_its_records_and_offsets() {
    let dir = tempfile::tempdir().expect("a directory");
    let partition = TopicPartition::new("t", 0);
    {
        let log = open(dir.path(), small());
        create(&*log, "t", 1);
        append(&*log, "t", "k", "old");
        let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
        member.poll_assignment().expect("polled");
        member.commit(&[offset("t", 0, 1)]).expect("committed");
        log.delete_topics(&["t", "absent"]).expect("deleted");
        create(&*log, "t", 1);
        append(&*log, "t", "k", "new");
    }
    let log = open(dir.path(), small());
    let committed = log.committed("app", std::slice::from_ref(&partition));
    assert_eq!(committed, Ok(vec![None]));
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["new"]);
}

#[test]
fn a_reader_of_a_topic_that_was_made_anew_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "old");
    let mut reader = log.reader(Isolation::ReadCommitted).expect("a reader");
    reader
        .assign(&[(TopicPartition::new("t", 0), 1)])
        .expect("assigned");
    log.delete_topics(&["t"]).expect("deleted");
    let gone = reader.fetch(Duration::ZERO, &mut Vec::new());
    assert!(matches!(gone, Err(LogError::Config(_))));
    create(&*log, "t", 1);
    let anew = reader.fetch(Duration::ZERO, &mut Vec::new());
    assert!(matches!(
        anew,
        Err(LogError::OffsetOutOfRange { wanted: 1, .. })
    ));
}

#[test]
fn a_fetch_waits_for_the_first_record_and_no_longer() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 2);
    let mut reader = log.reader(Isolation::ReadCommitted).expect("a reader");
    let both = [
        (TopicPartition::new("t", 0), 0),
        (TopicPartition::new("t", 1), 0),
    ];
    reader.assign(&both).expect("assigned");
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            // The pause is the fault: the record comes late.
            thread::sleep(Duration::from_millis(50));
            append(&*log, "t", "k", "v");
        });
        let mut batches = Vec::new();
        reader
            .fetch(Duration::from_secs(30), &mut batches)
            .expect("fetched");
        assert_eq!(batches.iter().map(RecordBatch::len).sum::<usize>(), 1);
        // The other partition tells that it is empty.
        assert!(batches.iter().all(|batch| batch.at_end));
        assert_eq!(batches.len(), 2);
    });
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_small_fetch_is_fair_to_all_partitions_and_keeps_the_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.reader_fetch_bytes_max = 100;
    let log = open(dir.path(), options);
    create(&*log, "t", 4);
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    for number in 0..400 {
        push(
            &mut outputs,
            "t",
            number % 4,
            "k",
            Some(&format!("{number}")),
        );
    }
    member.send(&mut outputs).expect("sent");
    member.commit(&[]).expect("committed");
    let mut reader = log.reader(Isolation::ReadCommitted).expect("a reader");
    let all: Vec<_> = (0..4).map(|p| (TopicPartition::new("t", p), 0)).collect();
    reader.assign(&all).expect("assigned");
    let mut next = [0_i64; 4];
    while next.iter().sum::<i64>() < 400 {
        let mut batches = Vec::new();
        reader.fetch(Duration::ZERO, &mut batches).expect("fetched");
        assert!(batches.iter().map(RecordBatch::bytes).sum::<usize>() <= 200);
        for (batch, record) in batches.iter().flat_map(|b| b.iter().map(move |r| (b, r))) {
            let at = &mut next[usize::try_from(batch.partition.partition).expect("small")];
            assert_eq!(record.offset, *at);
            *at += 1;
        }
        let (least, most) = (next.iter().min(), next.iter().max());
        assert!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 20),
            "{next:?}"
        );
    }
}

#[test]
fn many_threads_share_one_journal_and_keep_their_own_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 4);
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let writer = log.writer("w").expect("a writer");
                let key = format!("thread-{thread}");
                let appended = (0..250).map(|number| {
                    writer.append(record("t", Some(&key), Some(&format!("{number}"))))
                });
                let appended: Vec<_> = appended.collect();
                let offsets: Vec<_> = appended
                    .into_iter()
                    .map(|append| wait(append).expect("appended").offset)
                    .collect();
                assert!(offsets.is_sorted());
            });
        }
    });
    let all: Vec<_> = (0..4).flat_map(|p| read_all(&*log, "t", p)).collect();
    assert_eq!(all.len(), 1000);
    for thread in 0..4 {
        let key = format!("thread-{thread}").into_bytes();
        let own = all
            .iter()
            .filter(|record| record.key.as_deref() == Some(&*key));
        let own: Vec<_> = own.map(|record| record.value.clone()).collect();
        let expected: Vec<_> = (0..250)
            .map(|n| Some(format!("{n}").into_bytes()))
            .collect();
        assert_eq!(own, expected);
    }
}

//! Power cuts, played on a disk in memory that forgets what was not synced.
//!
//! The disk keeps an image of itself at every operation. Each image is then cut: of the writes
//! that were not synced any sectors may have reached the disk, in any order, and of the names that
//! were not synced a first part has. The log must open on what is left, and keep its promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{Cleanup, Log, OutputBatch, TopicPartition, TopicSpec};

use crate::kit::*;
use crate::memory::{MemoryDisk, State};

fn options() -> EmbeddedOptions {
    let mut options = small();
    options.segment_bytes = 3000;
    options.dirty_percent_min = 0;
    options
}

fn open_disk(disk: &MemoryDisk) -> Arc<EmbeddedLog> {
    EmbeddedLog::open_on(Arc::new(disk.clone()), "/log", options()).expect("the log opens")
}

/// Commits of one number each to a plain and a compacted topic, with its offset.
fn run(disk: &MemoryDisk, commits: i64) {
    let log = open_disk(disk);
    create(&*log, "t", 2);
    let compact = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec("c", 1)
    };
    log.create_topics(&[compact]).expect("created");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    member.poll_assignment().expect("polled");
    let mut outputs = OutputBatch::new();
    for number in 1..=commits {
        let text = format!("{number}");
        push(&mut outputs, "t", 0, "k", Some(&text));
        push(
            &mut outputs,
            "t",
            1,
            "k",
            Some(&format!("{text}{}", " ".repeat(600))),
        );
        push(
            &mut outputs,
            "c",
            0,
            &format!("k{}", number % 3),
            Some(&text),
        );
        member.send(&mut outputs).expect("sent");
        member.commit(&[offset("t", 0, number)]).expect("committed");
        disk.acknowledge(number);
        if number % 10 == 0 {
            log.clean().expect("cleaned");
        }
    }
}

/// Opens what is left, and checks every promise. Answers the number of commits that survived.
fn check(disk: &MemoryDisk) -> i64 {
    let acknowledged = disk.acknowledged();
    let log = open_disk(disk);
    if log.topics().expect("topics").len() < 2 {
        assert_eq!(acknowledged, 0);
        return 0;
    }
    let partition = TopicPartition::new("t", 0);
    let committed = log.committed("app", std::slice::from_ref(&partition));
    let survived = committed.expect("read").swap_remove(0);
    let survived = survived.map_or(0, |committed| committed.offset);
    assert!(survived >= acknowledged, "{survived} of {acknowledged}");
    let expected: Vec<_> = (1..=survived).map(|number| format!("{number}")).collect();
    assert_eq!(values(&read_all(&*log, "t", 0)), expected);
    let padded = values(&read_all(&*log, "t", 1));
    assert!(padded.iter().map(|value| value.trim_end()).eq(&expected));
    let mut latest = BTreeMap::new();
    for record in read_all(&*log, "c", 0) {
        latest.insert(record.key, record.value);
    }
    let mut latest: Vec<_> = latest.into_values().flatten().collect();
    latest.sort_by_key(|value| String::from_utf8_lossy(value).parse::<i64>().ok());
    let first = (survived - 2).max(1);
    let expected = (first..=survived).map(|number| format!("{number}").into_bytes());
    assert!(latest.into_iter().eq(expected));
    append(&*log, "t", "k", "writing goes on");
    survived
}

#[test]
fn every_acknowledged_commit_survives_a_power_cut_at_any_operation_and_whole() {
    let disk = MemoryDisk::new(State::default(), true);
    run(&disk, 40);
    let images = disk.take_images();
    assert!(images.len() > 150, "{} images", images.len());
    let mut survived_most = 0;
    for (instant, image) in (0..).zip(&images) {
        for variant in 0..4 {
            let mut dice = Dice::new(instant * 4 + variant);
            let disk = MemoryDisk::new(image.cut(&mut dice), false);
            survived_most = survived_most.max(check(&disk));
        }
    }
    assert_eq!(survived_most, 40);
}

#[test]
fn a_power_cut_during_the_recovery_from_a_power_cut_is_survived_too() {
    let disk = MemoryDisk::new(State::default(), true);
    run(&disk, 20);
    for (instant, image) in (0..).zip(&disk.take_images()).step_by(3) {
        let mut dice = Dice::new(instant);
        let disk = MemoryDisk::new(image.cut(&mut dice), true);
        drop(open_disk(&disk));
        for image in disk.take_images() {
            check(&MemoryDisk::new(image.cut(&mut dice), false));
        }
    }
}

#[test]
fn a_frame_whose_sync_has_failed_is_on_disk_once_it_was_read_again() {
    let disk = MemoryDisk::new(State::default(), true);
    let log = open_disk(&disk);
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    disk.fail_next_sync();
    assert!(try_append(&*log, "t", "k", "unsure").is_err());
    drop(log);
    // The process starts again, and the machine does not.
    let log = open_disk(&disk);
    assert_eq!(values(&read_all(&*log, "t", 0)), ["before", "unsure"]);
    append(&*log, "t", "k", "after");
    drop(log);
    let image = disk.take_images().pop().expect("an image");
    for variant in 0..4 {
        let disk = MemoryDisk::new(image.cut(&mut Dice::new(variant)), false);
        let read = values(&read_all(&*open_disk(&disk), "t", 0));
        assert_eq!(read, ["before", "unsure", "after"]);
    }
}

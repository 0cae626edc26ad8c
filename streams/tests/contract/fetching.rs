//! Fetching: positions, ends, bounds, back-pressure.

use std::sync::Arc;

use millrace_streams::log::{
    Bounds, Isolation, LogError, Offset, Reader, RecordBatch, TopicPartition,
};

use super::Harness;
use super::kit::{
    App, Client, MAX_WAIT, Seen, append, eventually, partition, record, topic, values,
};

/// A member with one task over a topic with one partition per task, and records `0..count` in it.
fn filled<H: Harness>(h: &H, count: usize) -> (Client, TopicPartition) {
    let input = topic(h, "input", 1);
    append(h, numbers(&input, count));
    let client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    (client, partition(&input, 0))
}

fn numbers(topic: &Arc<str>, count: usize) -> Vec<millrace_streams::log::NewRecord> {
    let text = (0..count).map(|n| n.to_string());
    text.map(|text| record(topic, &text, &text)).collect()
}

fn texts(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::text).collect()
}

pub(crate) fn a_paused_partition_brings_nothing_until_it_is_resumed<H: Harness>(h: &H) {
    let input = topic(h, "input", 2);
    let (zero, one) = (partition(&input, 0), partition(&input, 1));
    append(h, numbers(&input, 40));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 2);
    let both = [(zero.clone(), 0), (one.clone(), 0)];
    client.member.assign(&both).expect("assigned");
    let paused = std::slice::from_ref(&zero);
    client.member.pause(paused).expect("paused");
    let seen = client.fetch_until(h, "the other partition's end", |_, batches| {
        batches.iter().any(|b| b.partition == one && b.at_end)
    });
    assert!(seen.iter().all(|s| s.partition == 1), "{seen:?}");
    let rest = 40 - seen.len();
    client.member.resume(paused).expect("resumed");
    let seen = client.fetch_until(h, "the resumed partition", |seen, _| seen.len() == rest);
    assert!(seen.iter().all(|s| s.partition == 0), "{seen:?}");
    assert_eq!(seen.first().map(|s| s.offset), Some(0));
}

pub(crate) fn a_fetch_is_bounded_in_bytes<H: Harness>(h: &H) {
    const RECORD: usize = 1_000;
    const RECORDS: usize = 2_000;
    let input = topic(h, "input", 2);
    let value = "x".repeat(RECORD);
    let records = (0..RECORDS).map(|n| record(&input, &n.to_string(), &value));
    append(h, records.collect());
    let app = App {
        fetch_bytes_max: 64 << 10,
        ..App::reading(h, &[&input])
    };
    let mut client = app.join_alone(h, "a", 2);
    let all = [(partition(&input, 0), 0), (partition(&input, 1), 0)];
    client.member.assign(&all).expect("assigned");
    let bound = app.fetch_bytes_max + 2 * RECORD + h.fetch_bytes_slack();
    client.fetch_until(h, "all records", |seen, batches| {
        let bytes: usize = batches.iter().map(RecordBatch::bytes).sum();
        assert!(bytes <= bound, "{bytes} bytes in one fetch");
        seen.len() == RECORDS
    });
}

pub(crate) fn a_fetch_brings_one_batch_per_partition<H: Harness>(h: &H) {
    let input = topic(h, "input", 3);
    append(h, numbers(&input, 300));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 3);
    let all: Vec<_> = (0..3).map(|n| (partition(&input, n), 0)).collect();
    client.member.assign(&all).expect("assigned");
    let seen = client.fetch_until(h, "all records", |seen, batches| {
        let mut partitions: Vec<_> = batches.iter().map(|b| b.partition.partition).collect();
        partitions.sort_unstable();
        let count = partitions.len();
        partitions.dedup();
        assert_eq!(partitions.len(), count, "one batch each");
        seen.len() == 300
    });
    for number in 0..3 {
        let of = seen.iter().filter(|s| s.partition == number);
        let offsets: Vec<_> = of.map(|s| s.offset).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
    }
}

pub(crate) fn the_end_is_told_with_and_without_records<H: Harness>(h: &H) {
    let (mut client, from) = filled(h, 10);
    client
        .member
        .assign(&[(from.clone(), 0)])
        .expect("assigned");
    let seen = client.fetch_until(h, "the end behind records", |_, batches| {
        at_end(batches, 10)
    });
    assert_eq!(seen.len(), 10);
    client.member.assign(&[(from, 10)]).expect("assigned");
    let seen = client.fetch_until(h, "the end at once", |_, batches| at_end(batches, 10));
    assert!(seen.is_empty());
}

fn at_end(batches: &[RecordBatch], position: i64) -> bool {
    let mut ends = batches.iter().filter(|batch| batch.at_end);
    ends.any(|batch| {
        assert_eq!(batch.position, position);
        true
    })
}

pub(crate) fn the_position_jumps_over_markers_and_aborted_records<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let to = partition(&output, 0);
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    client.send(&to, "k", "committed");
    client.commit();
    client.send(&to, "k", "aborted");
    client.recover(h);
    client.send(&to, "k", "last");
    client.commit();
    assert_eq!(values(h, &to, 2), ["committed", "last"]);
    let mut reader = h.log().reader(Isolation::ReadCommitted).expect("a reader");
    reader.assign(&[(to.clone(), 0)]).expect("assigned");
    eventually(h, "the position to reach the end", || {
        let mut batches = Vec::new();
        reader.fetch(MAX_WAIT, &mut batches).expect("fetched");
        let bounds = reader.bounds(std::slice::from_ref(&to)).expect("bounds");
        let end = bounds.first().map(|bounds| bounds.end);
        let mut ends = batches.iter().filter(|batch| batch.at_end);
        ends.any(|batch| Some(batch.position) == end).then_some(())
    });
}

pub(crate) fn bounds_tell_the_start_and_the_end<H: Harness>(h: &H) {
    let (mut client, from) = filled(h, 10);
    let mut reader = h
        .log()
        .reader(Isolation::ReadUncommitted)
        .expect("a reader");
    let of = std::slice::from_ref(&from);
    eventually(h, "the bounds", || {
        let inside = client.member.bounds(of).expect("bounds");
        let outside = reader.bounds(of).expect("bounds");
        let ends = |bounds: &[Bounds]| bounds.first().map(|bounds| (bounds.start, bounds.end));
        (ends(&inside) == Some((0, 10)) && ends(&outside) == Some((0, 10))).then_some(())
    });
    let missing = partition(&h.unique("missing").into(), 0);
    let refused = reader.bounds(&[missing]);
    assert!(matches!(refused, Err(LogError::Config(_))), "{refused:?}");
}

pub(crate) fn the_position_reaches_the_high_watermark_when_what_was_open_has_ended<H: Harness>(
    h: &H,
) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let to = partition(&output, 0);
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    client.send(&to, "k", "first");
    client.commit();
    let mut reader = h.log().reader(Isolation::ReadCommitted).expect("a reader");
    reader.assign(&[(to.clone(), 0)]).expect("assigned");
    let mut position = 0;
    for commits in [false, true] {
        client.send(&to, "k", "open");
        let written = eventually(h, "a record behind the end", || {
            let bounds = bounds_of(&mut *reader, &to);
            let open = bounds.end < bounds.high_watermark || !h.writes_before_commit();
            open.then_some(bounds.high_watermark)
        });
        fetch_on(&mut *reader, &mut position);
        assert!(position < written || !h.writes_before_commit());
        if commits {
            client.commit();
        } else {
            client.recover(h);
        }
        eventually(h, "the high watermark", || {
            fetch_on(&mut *reader, &mut position);
            (position >= written).then_some(())
        });
    }
    eventually(h, "the end of everything", || {
        fetch_on(&mut *reader, &mut position);
        let bounds = bounds_of(&mut *reader, &to);
        (position == bounds.end && position == bounds.high_watermark).then_some(())
    });
}

fn bounds_of(reader: &mut dyn Reader, of: &TopicPartition) -> Bounds {
    let bounds = reader.bounds(std::slice::from_ref(of)).expect("bounds");
    *bounds.first().expect("of one partition")
}

fn fetch_on(reader: &mut dyn Reader, position: &mut Offset) {
    let mut batches = Vec::new();
    reader.fetch(MAX_WAIT, &mut batches).expect("fetched");
    let positions = batches.iter().map(|batch| batch.position);
    *position = positions.max().unwrap_or(*position);
}

pub(crate) fn fetching_goes_on_from_the_offset_assigned<H: Harness>(h: &H) {
    let (mut client, from) = filled(h, 10);
    client
        .member
        .assign(&[(from.clone(), 7)])
        .expect("assigned");
    let seen = client.fetch_until(h, "three records", |seen, _| seen.len() >= 3);
    assert_eq!(texts(&seen), ["7", "8", "9"]);
    client.member.assign(&[(from, 2)]).expect("assigned");
    let seen = client.fetch_until(h, "eight records", |seen, _| seen.len() >= 8);
    assert_eq!(seen.first().map(Seen::text), Some("2".into()));
    assert_eq!(seen.len(), 8);
}

pub(crate) fn reading_what_is_gone_is_out_of_range<H: Harness>(h: &H) {
    if !H::DELETES_RECORDS {
        return;
    }
    let (mut client, from) = filled(h, 10);
    h.delete_records(&from, 6);
    client
        .member
        .assign(&[(from.clone(), 2)])
        .expect("assigned");
    let error = eventually(h, "an offset out of range", || {
        let mut batches = Vec::new();
        let fetched = client.member.fetch(MAX_WAIT, &mut batches);
        assert!(batches.iter().all(RecordBatch::is_empty), "{batches:?}");
        fetched.err()
    });
    assert_eq!(
        error,
        LogError::OffsetOutOfRange {
            partition: from.clone(),
            wanted: 2,
            start: 6
        }
    );
    client.member.assign(&[(from, 6)]).expect("assigned");
    let seen = client.fetch_until(h, "what is left", |seen, _| seen.len() >= 4);
    assert_eq!(texts(&seen), ["6", "7", "8", "9"]);
}

pub(crate) fn recycled_batches_carry_nothing_over<H: Harness>(h: &H) {
    let (mut client, from) = filled(h, 200);
    for _ in 0..3 {
        client
            .member
            .assign(&[(from.clone(), 0)])
            .expect("assigned");
        let mut seen = Vec::new();
        eventually(h, "all records", || {
            let mut batches = Vec::new();
            client
                .member
                .fetch(MAX_WAIT, &mut batches)
                .expect("fetched");
            for batch in batches {
                super::kit::collect(&batch, &mut seen);
                client.member.recycle(batch);
            }
            (seen.len() >= 200).then_some(())
        });
        let expected: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        assert_eq!(texts(&seen), expected);
    }
}

pub(crate) fn assigning_a_missing_partition_is_refused<H: Harness>(h: &H) {
    let (mut client, from) = filled(h, 1);
    let missing = partition(&from.topic, 9);
    let refused = client.member.assign(&[(missing.clone(), 0)]);
    assert!(matches!(refused, Err(LogError::Config(_))), "{refused:?}");
    let mut reader = h.log().reader(Isolation::ReadCommitted).expect("a reader");
    let refused = reader.assign(&[(missing, 0)]);
    assert!(matches!(refused, Err(LogError::Config(_))), "{refused:?}");
}

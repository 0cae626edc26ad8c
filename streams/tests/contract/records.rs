//! Records: what goes in comes out, in order, where it belongs.

use std::sync::Arc;

use futures::executor::block_on;
use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::{Isolation, LogError, NewRecord};
use millrace_streams::partitioner::partition_of;

use super::Harness;
use super::kit::{App, Seen, append, partition, read, record, topic, values};

pub(crate) fn appended_records_are_read_back_at_their_positions<H: Harness>(h: &H) {
    let name = topic(h, "appended", 3);
    let keys: Vec<String> = (0..30).map(|n| format!("key-{n}")).collect();
    let records = keys.iter().map(|key| record(&name, key, key)).collect();
    let positions = append(h, records);
    for number in 0..3 {
        let of = partition(&name, number);
        let written = positions.iter().zip(&keys);
        let written: Vec<_> = written
            .filter(|(position, _)| position.partition == of)
            .map(|(position, key)| (position.offset, key.clone()))
            .collect();
        let seen = read(h, &of, Isolation::ReadCommitted, written.len());
        let seen: Vec<_> = seen.iter().map(|s| (s.offset, s.text())).collect();
        assert_eq!(seen, written);
    }
}

pub(crate) fn records_of_a_key_keep_their_order<H: Harness>(h: &H) {
    let name = topic(h, "ordered", 2);
    let text = |n: usize| (format!("key-{}", n % 5), format!("{n:04}"));
    let records = (0..200).map(text).map(|(k, v)| record(&name, &k, &v));
    let positions = append(h, records.collect());
    for number in 0..2 {
        let of = partition(&name, number);
        let count = positions.iter().filter(|p| p.partition == of).count();
        let seen = read(h, &of, Isolation::ReadCommitted, count);
        for key in (0..5).map(|n| format!("key-{n}").into_bytes()) {
            let of_key = seen.iter().filter(|s| s.key.as_ref() == Some(&key));
            let values: Vec<String> = of_key.map(Seen::text).collect();
            assert!(values.is_sorted(), "{values:?}");
        }
    }
}

pub(crate) fn null_and_empty_are_told_apart<H: Harness>(h: &H) {
    let name = topic(h, "nulls", 1);
    const EMPTY: Option<&[u8]> = Some(b"");
    let pairs = [(None, None), (None, EMPTY), (EMPTY, None), (EMPTY, EMPTY)];
    let records = pairs.iter().map(|(key, value)| NewRecord {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        ..record(&name, "", "")
    });
    append(h, records.collect());
    let seen = read(h, &partition(&name, 0), Isolation::ReadCommitted, 4);
    let seen: Vec<_> = seen
        .iter()
        .map(|s| (s.key.as_deref(), s.value.as_deref()))
        .collect();
    assert_eq!(seen, pairs);
}

pub(crate) fn headers_and_timestamps_survive<H: Harness>(h: &H) {
    let name = topic(h, "headers", 1);
    let mut headers = HeaderList::new();
    headers.push("trace", Some(b"1"));
    headers.push("empty", Some(b""));
    headers.push("null", None);
    headers.push("trace", Some(b"2"));
    let stamps = [
        h.timestamp_min_ms(),
        1,
        1_700_000_000_000,
        1_600_000_000_000,
        // The log has no opinion about the future: the application has.
        4_102_444_800_000,
    ];
    let records = stamps.map(|ms| NewRecord {
        headers: headers.clone(),
        timestamp: Timestamp::from_millis(ms),
        ..record(&name, "k", "v")
    });
    append(h, records.to_vec());
    let seen = read(
        h,
        &partition(&name, 0),
        Isolation::ReadCommitted,
        stamps.len(),
    );
    let times: Vec<i64> = seen.iter().map(|s| s.timestamp.as_millis()).collect();
    assert_eq!(times, stamps);
    assert!(seen.iter().all(|s| s.headers == headers), "{seen:?}");
}

pub(crate) fn keys_go_where_the_java_client_puts_them<H: Harness>(h: &H) {
    let name = topic(h, "murmur", 7);
    let keys = ["21", "foobar", "a-little-bit-long-string", "abc", ""];
    let records = keys.map(|key| record(&name, key, "v"));
    for (key, position) in keys.iter().zip(append(h, records.to_vec())) {
        let expected = partition_of(key.as_bytes(), 7);
        assert_eq!(position.partition.partition, expected, "{key}");
    }
}

pub(crate) fn a_record_that_is_too_large_is_refused<H: Harness>(h: &H) {
    let name = topic(h, "large", 1);
    let writer = h.log().writer("large").expect("a writer");
    let large = "x".repeat(h.record_bytes_max() + 1);
    let answer = block_on(writer.append(record(&name, "k", &large)));
    assert_too_large(answer.map(drop), &name);
    append(h, vec![record(&name, "k", "small")]);
    assert_eq!(values(h, &partition(&name, 0), 1), ["small"]);
}

pub(crate) fn an_output_that_is_too_large_is_refused<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    let to = partition(&output, 0);
    client.send(&to, "k", "before");
    let large = vec![b'x'; h.record_bytes_max() + 1];
    assert_too_large(client.try_send(&to, "k", &large), &output);
    client.recover(h);
    client.send(&to, "k", "after");
    client.commit();
    assert_eq!(values(h, &to, 1), ["after"]);
}

fn assert_too_large(answer: Result<(), LogError>, name: &Arc<str>) {
    match answer {
        Err(LogError::RecordTooLarge { topic, .. }) => assert_eq!(topic, *name),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn fifty_thousand_records_are_one_commit<H: Harness>(h: &H) {
    const RECORDS: usize = 50_000;
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 2));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    for n in 0..RECORDS {
        let to = partition(&output, i32::from(n % 2 == 1));
        client.push(&to, &format!("key-{n}"), format!("{n:06}").as_bytes());
        if n % 1_000 == 999 {
            client.member.send(&mut client.outputs).expect("sent");
            assert!(client.outputs.is_empty());
        }
    }
    client.commit();
    for number in 0..2_usize {
        let of = partition(&output, i32::from(number == 1));
        let seen = values(h, &of, RECORDS / 2);
        let sent = (number..RECORDS).step_by(2).map(|n| format!("{n:06}"));
        assert!(seen.into_iter().eq(sent), "all of them, in order");
    }
}

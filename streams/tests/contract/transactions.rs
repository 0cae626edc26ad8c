//! Transactions: outputs, changelogs and input offsets in one step, or not at all.

use millrace_streams::log::Isolation;

use super::Harness;
use super::kit::{
    App, Seen, append, assert_shows_nothing, eventually, offset, partition, read, record, topic,
    values,
};

pub(crate) fn a_commit_shows_all_partitions_and_tells_their_last_offsets<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 3));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    for number in 0..3 {
        client.send(&partition(&output, number), "k", "first");
        client.send(&partition(&output, number), "k", "last");
    }
    let slot = client.outputs.slot(&output);
    let mut last = client.commit().last_offsets;
    last.sort_unstable();
    for number in 0..3 {
        let seen = read(h, &partition(&output, number), Isolation::ReadCommitted, 2);
        let texts: Vec<_> = seen.iter().map(Seen::text).collect();
        assert_eq!(texts, ["first", "last"]);
        let told = last.iter().find(|(_, partition, _)| *partition == number);
        let expected = seen.last().map(|s| (slot, number, s.offset));
        assert_eq!(told.copied(), expected);
    }
}

pub(crate) fn nothing_is_visible_before_the_commit<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    let to = partition(&output, 0);
    client.send(&to, "k", "v");
    assert_shows_nothing(h, &to);
    client.commit();
    assert_eq!(values(h, &to, 1), ["v"]);
}

pub(crate) fn recovered_output_is_never_visible<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 2));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    for number in 0..2 {
        client.send(&partition(&output, number), "k", "aborted");
    }
    client.recover(h);
    for number in 0..2 {
        client.send(&partition(&output, number), "k", "committed");
    }
    client.commit();
    for number in 0..2 {
        assert_eq!(values(h, &partition(&output, number), 1), ["committed"]);
    }
}

pub(crate) fn an_open_transaction_is_recovered_from_without_effect<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    // Nothing open, something open, nothing open again: there is one path back.
    client.recover(h);
    client.send(&partition(&output, 0), "k", "aborted");
    client.recover(h);
    client.recover(h);
    append(h, vec![record(&output, "k", "outside")]);
    assert_eq!(values(h, &partition(&output, 0), 1), ["outside"]);
}

pub(crate) fn offsets_and_metadata_are_read_back_by_the_next_owner<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 2), topic(h, "output", 1));
    let app = App::reading(h, &[&input]);
    let mut first = app.join_alone(h, "a", 2);
    first.send(&partition(&output, 0), "k", "v");
    let offsets = [
        (partition(&input, 0), offset(5, "stream-time=17")),
        (partition(&input, 1), offset(9, "")),
    ];
    first.member.commit(&offsets).expect("committed");
    first.member.leave().expect("left");
    let mut next = app.join_alone(h, "b", 2);
    for (partition, at) in offsets {
        assert_eq!(next.committed(&partition), Some(at));
    }
    assert_eq!(values(h, &partition(&output, 0), 1), ["v"]);
}

pub(crate) fn offsets_of_an_aborted_transaction_are_not_committed<H: Harness>(h: &H) {
    let input = topic(h, "input", 2);
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 2);
    client.commit_at(&partition(&input, 0), offset(3, "kept"));
    // Offsets of a partition that no task reads are refused, and take the others with them.
    let offsets = [
        (partition(&input, 0), offset(8, "lost")),
        (partition(&input, 7), offset(1, "nobody's")),
    ];
    client.member.commit(&offsets).expect_err("refused");
    client.recover(h);
    let kept = client.committed(&partition(&input, 0));
    assert_eq!(kept, Some(offset(3, "kept")));
}

pub(crate) fn a_second_commit_goes_on_from_the_first<H: Harness>(h: &H) {
    let (input, output) = (topic(h, "input", 1), topic(h, "output", 1));
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    let (from, to) = (partition(&input, 0), partition(&output, 0));
    let mut last = -1;
    for n in 1..=3 {
        client.send(&to, "k", &n.to_string());
        let committed = client.member.commit(&[(from.clone(), offset(n, ""))]);
        let told = committed.expect("committed").last_offsets;
        let [(_, 0, written)] = told[..] else {
            panic!("{told:?}");
        };
        assert!(written > last, "offsets grow");
        last = written;
        assert_eq!(client.committed(&from), Some(offset(n, "")));
    }
    assert_eq!(values(h, &to, 3), ["1", "2", "3"]);
}

pub(crate) fn a_commit_of_nothing_succeeds<H: Harness>(h: &H) {
    let input = topic(h, "input", 1);
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    assert!(client.commit().last_offsets.is_empty());
    assert!(client.commit().last_offsets.is_empty());
}

pub(crate) fn a_commit_of_offsets_alone_is_kept<H: Harness>(h: &H) {
    let input = topic(h, "input", 1);
    let app = App::reading(h, &[&input]);
    let mut client = app.join_alone(h, "a", 1);
    let from = partition(&input, 0);
    client.commit_at(&from, offset(42, "m"));
    eventually(h, "the offset to be seen from outside", || {
        let seen = h.log().committed(&app.id, std::slice::from_ref(&from));
        (seen.expect("an answer") == [Some(offset(42, "m"))]).then_some(())
    });
}

pub(crate) fn offsets_are_polled_without_waiting_and_never_stale<H: Harness>(h: &H) {
    let input = topic(h, "input", 1);
    let mut client = App::reading(h, &[&input]).join_alone(h, "a", 1);
    let from = partition(&input, 0);
    let of = std::slice::from_ref(&from);
    for at in 1..4 {
        // Nobody takes this answer, if it comes.
        client.member.poll_committed(of).expect("no error");
        client.commit_at(&from, offset(at, ""));
        let told = eventually(h, "an answer", || {
            client.member.poll_committed(of).expect("no error")
        });
        assert_eq!(told, [Some(offset(at, ""))]);
    }
}

pub(crate) fn nothing_is_committed_where_nobody_has_committed<H: Harness>(h: &H) {
    let input = topic(h, "input", 1);
    let app = App::reading(h, &[&input]);
    let mut client = app.join_alone(h, "a", 1);
    let from = partition(&input, 0);
    assert_eq!(client.committed(&from), None);
    let outside = h.log().committed(&app.id, &[from]);
    assert_eq!(outside, Ok(vec![None]));
}

//! Membership, fencing, and what a transaction promises.

use std::sync::Arc;
use std::time::Duration;

use millrace_streams::log::{
    CommitError, HeldTasks, InternalTopic, Log, LogError, Member, OutputBatch, RecordBatch, Seat,
    SubtopologyMetadata, TaskId, TopicPartition,
};

use crate::kit::*;

fn tasks(member: &mut dyn Member) -> Option<Vec<TaskId>> {
    let assignment = member.poll_assignment().expect("polled");
    assignment.map(|assignment| assignment.active)
}

fn holds(active: &[TaskId]) -> HeldTasks {
    HeldTasks {
        active: active.to_vec(),
        standby: Vec::new(),
    }
}

fn task(subtopology: u32, partition: i32) -> TaskId {
    TaskId {
        subtopology,
        partition,
    }
}

#[test]
fn a_missing_source_topic_is_named_until_it_exists() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    let mut member = log.join(seat("app", "m", &["orders"])).expect("joined");
    let error = member.poll_assignment().expect_err("missing");
    let LogError::Config(text) = error else {
        panic!("{error}");
    };
    assert!(
        text.contains("`orders`") && text.contains("create the topic"),
        "{text}"
    );
    create(&*log, "orders", 2);
    assert_eq!(tasks(&mut *member), Some(vec![task(0, 0), task(0, 1)]));
    assert_eq!(tasks(&mut *member), None, "nothing has changed");
}

#[test]
fn revoked_tasks_go_on_only_when_they_are_confirmed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 2);
    let mut a = log.join(seat("app", "a", &["t"])).expect("joined");
    let all = tasks(&mut *a).expect("assigned");
    a.confirm(&holds(&all)).expect("confirmed");
    let mut b = log.join(seat("app", "b", &["t"])).expect("joined");
    assert_eq!(tasks(&mut *b), Some(vec![]), "a still holds both");
    let kept = tasks(&mut *a).expect("one was revoked");
    assert_eq!(kept, vec![task(0, 0)]);
    assert_eq!(tasks(&mut *b), None);
    a.confirm(&holds(&all)).expect("confirmed");
    assert_eq!(tasks(&mut *b), None, "a has not closed it yet");
    a.commit(&[offset("t", 1, 7)])
        .expect("what is held may be committed");
    a.confirm(&holds(&kept)).expect("confirmed");
    assert_eq!(tasks(&mut *b), Some(vec![task(0, 1)]));
    let committed = b.committed(&[TopicPartition::new("t", 1)]).expect("read");
    assert_eq!(committed, vec![Some(offset("t", 1, 7).1)]);
    let fenced = a.commit(&[offset("t", 1, 8)]);
    assert!(matches!(fenced, Err(CommitError::Fenced(_))));
}

#[test]
fn a_member_that_is_dropped_frees_its_tasks() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 2);
    let mut a = log.join(seat("app", "a", &["t"])).expect("joined");
    tasks(&mut *a).expect("assigned");
    let mut b = log.join(seat("app", "b", &["t"])).expect("joined");
    assert_eq!(tasks(&mut *b), Some(vec![]));
    drop(a);
    assert_eq!(tasks(&mut *b).map(|tasks| tasks.len()), Some(2));
}

#[test]
fn a_member_that_leaves_is_lost_until_it_rejoins() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    let mut member = log.join(seat("app", "a", &["t"])).expect("joined");
    member.leave().expect("left");
    assert!(matches!(
        member.poll_assignment(),
        Err(LogError::MemberLost(_))
    ));
    assert!(matches!(member.recover(), Err(LogError::MemberLost(_))));
    member.rejoin().expect("rejoined");
    assert_eq!(tasks(&mut *member), Some(vec![task(0, 0)]));
}

#[test]
fn a_new_incarnation_gets_the_tasks_at_once_and_fences_the_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 4);
    create(&*log, "out", 1);
    let mut old = log.join(seat("app", "a", &["t"])).expect("joined");
    let mut other = log.join(seat("app", "b", &["t"])).expect("joined");
    let own = tasks(&mut *old).expect("assigned");
    tasks(&mut *other).expect("assigned");
    let mut outputs = OutputBatch::new();
    push(&mut outputs, "out", 0, "k", Some("zombie"));
    old.send(&mut outputs).expect("sent");
    let mut new = log.join(seat("app", "a", &["t"])).expect("joined");
    assert_eq!(tasks(&mut *new), Some(own));
    assert!(matches!(old.commit(&[]), Err(CommitError::Fenced(_))));
    assert!(matches!(old.recover(), Err(LogError::MemberLost(_))));
    assert!(matches!(
        old.poll_assignment(),
        Err(LogError::MemberLost(_))
    ));
    assert!(read_all(&*log, "out", 0).is_empty());
    drop(old);
    assert_eq!(tasks(&mut *new), None, "the old one takes nothing with it");
}

#[test]
fn another_topology_is_refused_while_the_application_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    create(&*log, "u", 1);
    let first = log.join(seat("app", "a", &["t"])).expect("joined");
    let second = log.join(seat("app", "b", &["u"]));
    assert!(matches!(second, Err(LogError::Config(_))));
    drop(first);
    log.join(seat("app", "b", &["u"]))
        .expect("a new version may join now");
}

/// t -> app-by-repartition -> count
fn counting(member_id: &str) -> Seat {
    let repartition: Arc<str> = "app-by-repartition".into();
    let first = SubtopologyMetadata {
        sources: vec!["t".into()],
        repartition_sinks: vec![Arc::clone(&repartition)],
        ..SubtopologyMetadata::default()
    };
    let second = SubtopologyMetadata {
        repartition_sources: vec![InternalTopic {
            name: repartition,
            partitions: None,
        }],
        changelogs: vec!["app-count-changelog".into()],
        ..SubtopologyMetadata::default()
    };
    seat_of("app", member_id, vec![first, second])
}

#[test]
fn internal_topics_are_created_with_the_number_of_tasks() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 3);
    let mut member = log.join(counting("m")).expect("joined");
    assert_eq!(tasks(&mut *member).map(|tasks| tasks.len()), Some(6));
    let topics = log.topics().expect("topics");
    let topics: Vec<_> = topics
        .iter()
        .map(|one| (&*one.name, one.partitions))
        .collect();
    let expected = vec![
        ("app-by-repartition", 3),
        ("app-count-changelog", 3),
        ("t", 3),
    ];
    assert_eq!(topics, expected);
}

#[test]
fn consumed_records_of_a_repartition_topic_are_purged_by_the_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    let mut member = log.join(counting("m")).expect("joined");
    tasks(&mut *member).expect("assigned");
    let mut outputs = OutputBatch::new();
    for number in 0..5 {
        push(
            &mut outputs,
            "app-by-repartition",
            0,
            "k",
            Some(&format!("{number}")),
        );
    }
    member.send(&mut outputs).expect("sent");
    member.commit(&[]).expect("committed");
    let committed = [offset("app-by-repartition", 0, 3), offset("t", 0, 0)];
    member.commit(&committed).expect("committed");
    let read = read_all(&*log, "app-by-repartition", 0);
    assert_eq!(values(&read), vec!["3", "4"]);
    let lagging = TopicPartition::new("app-by-repartition", 0);
    member.assign(&[(lagging, 2)]).expect("assigned");
    let error = member.fetch(Duration::ZERO, &mut Vec::new());
    let expected = LogError::OffsetOutOfRange {
        partition: TopicPartition::new("app-by-repartition", 0),
        wanted: 2,
        start: 3,
    };
    assert_eq!(error, Err(expected));
}

#[test]
fn a_commit_tells_the_last_offset_of_each_partition() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 2);
    append(&*log, "t", "k", "before");
    let before = read_all(&*log, "t", 0).len();
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    for _ in 0..2 {
        push(&mut outputs, "t", 0, "k", Some("v"));
        member.send(&mut outputs).expect("sent");
        assert!(outputs.is_empty());
    }
    let committed = member.commit(&[]).expect("committed");
    let last = i64::try_from(before).expect("small") + 1;
    assert_eq!(committed.last_offsets, vec![(outputs.slot("t"), 0, last)]);
    assert_eq!(
        member.commit(&[]).expect("nothing to do").last_offsets,
        vec![]
    );
}

#[test]
fn what_is_sent_is_seen_by_nobody_before_the_commit_nor_after_a_recovery() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    push(&mut outputs, "t", 0, "k", Some("given up"));
    member.send(&mut outputs).expect("sent");
    assert!(read_all(&*log, "t", 0).is_empty());
    member.recover().expect("recovered");
    push(&mut outputs, "t", 0, "k", Some("kept"));
    member.send(&mut outputs).expect("sent");
    member.commit(&[]).expect("committed");
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["kept"]);
}

#[test]
fn after_a_failed_send_there_is_only_recovery() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    push(&mut outputs, "t", 0, "k", Some("half"));
    push(&mut outputs, "absent", 0, "k", Some("v"));
    assert!(matches!(
        member.send(&mut outputs),
        Err(LogError::Config(_))
    ));
    assert!(outputs.is_empty());
    assert!(matches!(member.commit(&[]), Err(CommitError::Aborted(_))));
    member.recover().expect("recovered");
    tasks(&mut *member).expect("assigned");
    member.commit(&[offset("t", 0, 0)]).expect("committed");
    assert!(read_all(&*log, "t", 0).is_empty());
}

#[test]
fn a_paused_partition_is_not_fetched_until_it_is_resumed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "v");
    let partition = [TopicPartition::new("t", 0)];
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    assert!(member.pause(&partition).is_err(), "not assigned");
    member
        .assign(&[(partition[0].clone(), 0)])
        .expect("assigned");
    member.pause(&partition).expect("paused");
    let mut batches = Vec::new();
    member
        .fetch(Duration::from_millis(10), &mut batches)
        .expect("fetched");
    assert!(batches.is_empty());
    member.resume(&partition).expect("resumed");
    member
        .fetch(Duration::from_millis(10), &mut batches)
        .expect("fetched");
    assert_eq!(batches.iter().map(RecordBatch::len).sum::<usize>(), 1);
}

//! Topics: made, listed, deleted, and those that an application owns.

use std::sync::Arc;

use millrace_streams::log::{Isolation, LogError, SubtopologyMetadata};

use super::Harness;
use super::kit::{
    App, Seen, append, eventually, partition, read, record, repartition, spec, topic,
};

pub(crate) fn creating_topics_again_changes_nothing<H: Harness>(h: &H) {
    let name = topic(h, "again", 2);
    let position = append(h, vec![record(&name, "k", "v")]).remove(0);
    h.log().create_topics(&[spec(&name, 2)]).expect("no change");
    let seen = read(h, &position.partition, Isolation::ReadCommitted, 1);
    assert_eq!(seen.first().map(|seen| seen.offset), Some(position.offset));
}

pub(crate) fn another_number_of_partitions_is_refused<H: Harness>(h: &H) {
    let name = topic(h, "refused", 2);
    let error = h.log().create_topics(&[spec(&name, 3)]);
    match error {
        Err(LogError::Config(text)) => assert!(text.contains(&*name), "{text}"),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn topics_are_listed_with_their_partitions<H: Harness>(h: &H) {
    let (two, five) = (topic(h, "two", 2), topic(h, "five", 5));
    assert_eq!(partitions_of(h, &two), Some(2));
    assert_eq!(partitions_of(h, &five), Some(5));
    assert_eq!(partitions_of(h, &h.unique("none")), None);
}

pub(crate) fn deleted_topics_are_gone_with_their_records<H: Harness>(h: &H) {
    let name = topic(h, "deleted", 1);
    append(h, vec![record(&name, "k", "before")]);
    let id = id_of(h, &name);
    let absent = h.unique("absent");
    h.log().delete_topics(&[&name, &absent]).expect("deleted");
    eventually(h, "the topic to be gone", || {
        partitions_of(h, &name).is_none().then_some(())
    });
    let again = h.log().create_topics(&[spec(&name, 1)]);
    again.expect("made anew");
    append(h, vec![record(&name, "k", "after")]);
    let seen = read(h, &partition(&name, 0), Isolation::ReadCommitted, 1);
    assert_eq!(seen.first().map(Seen::text), Some("after".into()));
    assert_ne!(id_of(h, &name), id, "another topic with the name");
}

pub(crate) fn internal_topics_are_created_with_the_right_partitions<H: Harness>(h: &H) {
    let source = topic(h, "source", 3);
    let probe = App::of(h, Vec::new());
    let (hop, changelog) = (
        probe.internal("hop-repartition"),
        probe.internal("store-changelog"),
    );
    let app = App {
        topology: Arc::new(millrace_streams::log::TopologyMetadata {
            subtopologies: vec![
                SubtopologyMetadata {
                    sources: vec![source],
                    repartition_sinks: vec![Arc::clone(&hop)],
                    ..SubtopologyMetadata::default()
                },
                SubtopologyMetadata {
                    repartition_sources: vec![repartition(&hop)],
                    changelogs: vec![Arc::clone(&changelog)],
                    ..SubtopologyMetadata::default()
                },
            ],
        }),
        ..probe
    };
    let client = app.join_alone(h, "a", 6);
    assert_eq!(client.active().len(), 6);
    assert_eq!(partitions_of(h, &hop), Some(3));
    assert_eq!(partitions_of(h, &changelog), Some(3));
}

pub(crate) fn missing_source_topic_is_reported_by_name<H: Harness>(h: &H) {
    let missing: Arc<str> = h.unique("missing").into();
    let text = config_error(h, &App::reading(h, &[&missing]));
    assert!(text.contains(&*missing), "{text}");
}

pub(crate) fn joined_topics_with_unequal_partitions_are_refused<H: Harness>(h: &H) {
    let (two, three) = (topic(h, "two", 2), topic(h, "three", 3));
    let text = config_error(h, &App::reading(h, &[&two, &three]));
    assert!(text.contains(&*two) || text.contains(&*three), "{text}");
}

/// The text of the configuration error that an application gets when or after it joins.
fn config_error<H: Harness>(h: &H, app: &App) -> String {
    let mut member = match h.log().join(app.seat("a")) {
        Ok(member) => member,
        Err(LogError::Config(text)) => return text,
        Err(other) => panic!("{other:?}"),
    };
    eventually(h, "a configuration error", || {
        match member.poll_assignment() {
            Err(LogError::Config(text)) => Some(text),
            Ok(None) => None,
            other => panic!("{other:?}"),
        }
    })
}

fn id_of<H: Harness>(h: &H, name: &str) -> u128 {
    eventually(h, "the topic's id", || {
        let topics = h.log().topics().expect("a list");
        topics.iter().find(|topic| &*topic.name == name)?.id
    })
}

fn partitions_of<H: Harness>(h: &H, name: &str) -> Option<i32> {
    let topics = h.log().topics().expect("a list");
    let found = topics.iter().find(|topic| &*topic.name == name);
    found.map(|topic| topic.partitions)
}

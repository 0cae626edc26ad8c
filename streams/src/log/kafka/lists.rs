//! Partitions and offsets, as librdkafka takes them.

use rdkafka::{Offset, TopicPartitionList};

use crate::log::{CommittedOffset, TopicPartition};

/// A list without offsets.
pub(super) fn list_of<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> TopicPartitionList {
    list_at(
        partitions
            .into_iter()
            .map(|partition| (partition, Offset::Invalid)),
    )
}

/// A list with offsets.
pub(super) fn list_at<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, Offset)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        // Only an offset of a kind that does not occur here is refused.
        let _ = element.set_offset(offset);
    }
    list
}

/// A list of offsets to commit, with their metadata.
pub(super) fn list_to_commit(offsets: &[(TopicPartition, CommittedOffset)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        let _ = element.set_offset(Offset::Offset(committed.offset));
        element.set_metadata(&committed.metadata);
    }
    list
}

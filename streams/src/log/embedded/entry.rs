//! Entries: the facts of which a frame's directory is made, and their encoding.
//!
//! The state of the log is the fold of its entries. Running and recovery apply the same ones, so
//! they cannot come to different states.

use std::sync::Arc;
use std::time::Duration;

use super::codec::{Put, Take};
use super::record::Layout;
use crate::log::{Cleanup, CommittedOffset, Offset, TopicPartition};

/// A topic's number. A topic that is made anew under its old name gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TopicId(pub(super) u32);

/// One partition, by number.
pub(super) type PartitionId = (TopicId, i32);

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// What follows in this frame is all there is, but for the records of earlier segments.
    Checkpoint { next_topic: u32 },
    /// A topic was created.
    Topic {
        id: TopicId,
        name: Arc<str>,
        partitions: i32,
        cleanup: Cleanup,
    },
    /// A topic was deleted.
    DropTopic(TopicId),
    /// The ends of a partition, and how far it has been compacted. Only in checkpoints.
    Bounds {
        partition: PartitionId,
        start: Offset,
        end: Offset,
        compacted_to: Offset,
    },
    /// The records below `start` are gone.
    Start {
        partition: PartitionId,
        start: Offset,
    },
    /// An application has committed an input offset.
    Offset {
        application: Arc<str>,
        partition: TopicPartition,
        committed: CommittedOffset,
    },
    /// Records; their bytes lie behind the directory.
    Records(Head),
}

/// What the directory tells of a section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whose records they are.
    pub(super) partition: PartitionId,
    /// The offset that deltas count from, at most that of the first record.
    pub(super) base: Offset,
    /// The last record's offset.
    pub(super) last: Offset,
    /// Whether there are gaps.
    pub(super) layout: Layout,
    /// The largest timestamp, in milliseconds: retention goes by it.
    pub(super) max_timestamp: i64,
    /// When the youngest record was appended, in milliseconds: tombstones grow old by it.
    pub(super) appended: i64,
    /// The bytes of the records.
    pub(super) len: u32,
    /// The checksum over them.
    pub(super) crc: u32,
}

impl Entry {
    /// Appends the entry to a directory.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Checkpoint { next_topic } => {
                into.put_u8(1);
                into.put_u32(*next_topic);
            }
            Self::Topic {
                id,
                name,
                partitions,
                cleanup,
            } => {
                into.put_u8(2);
                into.put_u32(id.0);
                into.put_text(name);
                into.put_i32(*partitions);
                into.put_i64(cleanup_to_number(*cleanup));
            }
            Self::DropTopic(id) => {
                into.put_u8(3);
                into.put_u32(id.0);
            }
            Self::Bounds {
                partition,
                start,
                end,
                compacted_to,
            } => {
                into.put_u8(4);
                put_partition(*partition, into);
                into.put_i64(*start);
                into.put_i64(*end);
                into.put_i64(*compacted_to);
            }
            Self::Start { partition, start } => {
                into.put_u8(5);
                put_partition(*partition, into);
                into.put_i64(*start);
            }
            Self::Offset {
                application,
                partition,
                committed,
            } => {
                into.put_u8(6);
                into.put_text(application);
                into.put_text(&partition.topic);
                into.put_i32(partition.partition);
                into.put_i64(committed.offset);
                into.put_text(&committed.metadata);
            }
            Self::Records(head) => head.encode(into),
        }
    }

    /// Takes one entry off a directory; `None` if there is none that this version knows.
    pub(super) fn decode(from: &mut Take<'_>) -> Option<Self> {
        Some(match from.u8()? {
            1 => Self::Checkpoint {
                next_topic: from.u32()?,
            },
            2 => Self::Topic {
                id: TopicId(from.u32()?),
                name: from.shared_text()?,
                partitions: from.i32()?,
                cleanup: cleanup_from_number(from.i64()?)?,
            },
            3 => Self::DropTopic(TopicId(from.u32()?)),
            4 => Self::Bounds {
                partition: take_partition(from)?,
                start: from.i64()?,
                end: from.i64()?,
                compacted_to: from.i64()?,
            },
            5 => Self::Start {
                partition: take_partition(from)?,
                start: from.i64()?,
            },
            6 => Self::Offset {
                application: from.shared_text()?,
                partition: TopicPartition::new(from.shared_text()?, from.i32()?),
                committed: CommittedOffset {
                    offset: from.i64()?,
                    metadata: from.text()?.to_owned(),
                },
            },
            7 => Self::Records(Head::decode(from)?),
            _ => return None,
        })
    }

    /// Takes all entries of a directory.
    pub(super) fn decode_all(directory: &[u8]) -> Option<Vec<Self>> {
        let mut from = Take(directory);
        let mut entries = Vec::new();
        while !from.is_empty() {
            entries.push(Self::decode(&mut from)?);
        }
        Some(entries)
    }
}

impl Head {
    fn encode(&self, into: &mut Vec<u8>) {
        into.put_u8(7);
        put_partition(self.partition, into);
        into.put_i64(self.base);
        into.put_i64(self.last);
        into.put_u8(u8::from(self.layout == Layout::Sparse));
        into.put_i64(self.max_timestamp);
        into.put_i64(self.appended);
        into.put_u32(self.len);
        into.put_u32(self.crc);
    }

    fn decode(from: &mut Take<'_>) -> Option<Self> {
        Some(Self {
            partition: take_partition(from)?,
            base: from.i64()?,
            last: from.i64()?,
            layout: match from.u8()? {
                0 => Layout::Dense,
                1 => Layout::Sparse,
                _ => return None,
            },
            max_timestamp: from.i64()?,
            appended: from.i64()?,
            len: from.u32()?,
            crc: from.u32()?,
        })
    }
}

fn put_partition((topic, partition): PartitionId, into: &mut Vec<u8>) {
    into.put_u32(topic.0);
    into.put_i32(partition);
}

fn take_partition(from: &mut Take<'_>) -> Option<PartitionId> {
    Some((TopicId(from.u32()?), from.i32()?))
}

const COMPACT: i64 = -2;
const KEEP: i64 = -1;

fn cleanup_to_number(cleanup: Cleanup) -> i64 {
    match cleanup {
        Cleanup::Compact => COMPACT,
        Cleanup::Delete { retention: None } => KEEP,
        Cleanup::Delete {
            retention: Some(age),
        } => i64::try_from(age.as_millis()).unwrap_or(i64::MAX),
    }
}

fn cleanup_from_number(number: i64) -> Option<Cleanup> {
    Some(match number {
        COMPACT => Cleanup::Compact,
        KEEP => Cleanup::Delete { retention: None },
        ms => Cleanup::Delete {
            retention: Some(Duration::from_millis(u64::try_from(ms).ok()?)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Entry> {
        let partition = (TopicId(3), 1);
        let cleanup = Cleanup::Delete {
            retention: Some(Duration::from_secs(7)),
        };
        vec![
            Entry::Checkpoint { next_topic: 9 },
            Entry::Topic {
                id: TopicId(3),
                name: "orders".into(),
                partitions: 4,
                cleanup,
            },
            Entry::DropTopic(TopicId(2)),
            Entry::Bounds {
                partition,
                start: 1,
                end: 5,
                compacted_to: 4,
            },
            Entry::Start {
                partition,
                start: 2,
            },
            Entry::Offset {
                application: "app".into(),
                partition: TopicPartition::new("orders", 1),
                committed: CommittedOffset {
                    offset: 5,
                    metadata: "stream time".to_owned(),
                },
            },
            Entry::Records(Head {
                partition,
                base: 5,
                last: 8,
                layout: Layout::Sparse,
                max_timestamp: -1,
                appended: 77,
                len: 100,
                crc: 0xdead_beef,
            }),
        ]
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let mut directory = Vec::new();
        for entry in one_of_each() {
            entry.encode(&mut directory);
        }
        assert_eq!(Entry::decode_all(&directory), Some(one_of_each()));
    }

    #[test]
    fn a_cut_or_unknown_directory_is_refused() {
        let mut directory = Vec::new();
        for entry in one_of_each() {
            entry.encode(&mut directory);
        }
        directory.pop();
        assert_eq!(Entry::decode_all(&directory), None);
        assert_eq!(Entry::decode_all(&[99]), None);
    }
}

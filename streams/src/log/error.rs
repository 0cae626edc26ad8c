//! What may go wrong with a log, by what to do next.

use std::sync::Arc;

use super::{Offset, TopicPartition};

/// Why the log did not do what was asked. The kinds say what to do next.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// Fix the configuration: trying again does not help.
    #[error("{0}")]
    Config(String),
    /// The log does not answer, for now: try again.
    #[error("log unavailable: {0}")]
    Unavailable(String),
    /// The group has removed this member, or another incarnation has taken its place: close every
    /// task without a commit, then rejoin.
    #[error("member lost: {0}")]
    MemberLost(String),
    /// The records to read next are gone, by retention or because the topic was made anew.
    #[error("offset {wanted} of `{partition}` is gone; it now begins at {start}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset to read next.
        wanted: Offset,
        /// The first that still exists.
        start: Offset,
    },
    /// The record is larger than the topic takes.
    #[error("record of {bytes} bytes for `{topic}` is over the limit of {limit}")]
    RecordTooLarge {
        /// The topic.
        topic: Arc<str>,
        /// The record's size.
        bytes: usize,
        /// What the topic takes.
        limit: usize,
    },
    /// The log's own data is damaged, or a write of it failed: stop, and start again.
    #[error("log corrupted: {0}")]
    Corrupted(String),
}

/// Why a commit is not a clean success. After each of these comes [`Member::recover`](super::Member::recover).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// It did not take effect.
    #[error("transaction aborted: {0}")]
    Aborted(String),
    /// It did not take effect, and would not if it were tried again: stop, and fix what the text
    /// says. A topic may be gone, a permission missing, a record not to the topic's rules.
    #[error("transaction refused: {0}")]
    Refused(String),
    /// It did not take effect, and this member may not commit these tasks any more.
    #[error("transaction fenced: {0}")]
    Fenced(String),
    /// It may or may not have taken effect; it was cut off in between. Never guess: recover, and
    /// read offsets and changelogs.
    #[error("transaction outcome unknown: {0}")]
    Unknown(String),
}

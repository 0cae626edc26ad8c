//! What an application says to the runner: what to do about an event.

use std::future::Future;

use millrace_streams::Timestamp;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::TopicPartition;
use millrace_streams::serde::Data;

/// What to do about each event of one topic.
///
/// A call may be repeated, also at the same time by another instance that has not heard yet that the
/// partition has moved: so its effect has to be idempotent, by an id that is in the event.
pub trait Handler<K, V>: Send + Sync + 'static {
    /// The keys of the results.
    type Key: Data;
    /// The values of the results.
    type Value: Data;

    /// Makes the call, and answers what came of it; an empty list where nothing is to be told.
    ///
    /// The future may be dropped at any await: when the attempt takes too long, when the partition
    /// goes to another instance, and at the end.
    ///
    /// # Errors
    /// See [`Failure`].
    fn handle(
        &self,
        event: &Input<K, V>,
    ) -> impl Future<Output = Handled<Self::Key, Self::Value>> + Send;
}

/// What came of an event: the results to write, or why there are none.
pub type Handled<K, V> = Result<Vec<Output<K, V>>, Failure>;

/// An event that was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Input<K, V> {
    /// Its key.
    pub key: K,
    /// Its value.
    pub value: V,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's headers.
    pub headers: HeaderList,
    /// Where it stands.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: i64,
    /// How often it is tried by this instance, from 1.
    pub attempt: u32,
}

/// A result to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Output<K, V> {
    /// Its key; it decides the partition.
    pub key: K,
    /// Its value.
    pub value: V,
    /// The record's timestamp.
    pub timestamp: Timestamp,
}

impl<K, V> Output<K, V> {
    /// A result.
    pub const fn new(key: K, value: V, timestamp: Timestamp) -> Self {
        Self {
            key,
            value,
            timestamp,
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may work later: it is made again.
    #[error("{0}")]
    Retry(String),
    /// It will never work: the event goes to the dead-letter topic.
    #[error("{0}")]
    Reject(String),
}

impl Failure {
    /// It may work later.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry(reason.into())
    }

    /// It will never work.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject(reason.into())
    }
}

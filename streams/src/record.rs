//! A record on its way through a topology.

use crate::headers::Headers;
use crate::log::Offset;
use crate::time::Timestamp;

/// A record as an operator sees it: borrowed, so that fan-out copies nothing.
#[derive(Debug)]
pub struct Record<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's headers; they go along to whatever is derived from it.
    pub headers: Headers<'a>,
}

impl<'a, K, V> Record<'a, K, V> {
    /// A record without headers.
    pub fn new(key: &'a K, value: &'a V, timestamp: Timestamp) -> Self {
        Self {
            key,
            value,
            timestamp,
            headers: Headers::EMPTY,
        }
    }

    /// The same record with another key.
    pub fn with_key<K2>(self, key: &'a K2) -> Record<'a, K2, V> {
        Record {
            key,
            value: self.value,
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: &'a V2) -> Record<'a, K, V2> {
        Record {
            key: self.key,
            value,
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }

    /// The same record with another timestamp.
    #[must_use]
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }
}

impl<K, V> Clone for Record<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Record<'_, K, V> {}

/// Where a record was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata<'a> {
    /// The topic; a repartition topic by its full name.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: Offset,
}

/// An update of a table: the value before and the value after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// What the table held under the key; `None` if nothing.
    pub old: Option<V>,
    /// What it holds now; `None` if the key was deleted.
    pub new: Option<V>,
}

//! The typed names of what is durable: topics and stores, as constants.
//!
//! ```
//! use millrace_streams::{Store, Topic};
//!
//! const ORDERS: Topic<u64, String> = Topic::new("orders").partitions(8);
//! const ORDER_COUNT: Store<u64, u64> = Store::new("order-count");
//! assert_eq!((ORDERS.name(), ORDER_COUNT.name()), ("orders", "order-count"));
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::log::{Cleanup, TopicSpec};

/// The number of partitions of a topic that does not say.
pub const DEFAULT_PARTITIONS: i32 = 4;

/// A topic whose records have keys `K` and values `V`.
///
/// Values are never null unless `V` is an `Option`.
pub struct Topic<K, V> {
    name: &'static str,
    partitions: i32,
    cleanup: Cleanup,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Topic<K, V> {
    /// The topic `name`, with [`DEFAULT_PARTITIONS`] partitions whose records are kept for ever.
    ///
    /// # Panics
    /// At compile time for a constant: when Kafka takes no such name, see [`is_topic_name`].
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_topic_name(name),
            "a topic's name is of a-z, A-Z, 0-9, ., _ and -, at most 249 characters"
        );
        let cleanup = Cleanup::Delete { retention: None };
        Self {
            name,
            partitions: DEFAULT_PARTITIONS,
            cleanup,
            types: PhantomData,
        }
    }

    /// The same topic with `partitions` partitions.
    ///
    /// # Panics
    /// At compile time for a constant: when there are none.
    #[must_use]
    pub const fn partitions(mut self, partitions: i32) -> Self {
        assert!(partitions > 0, "a topic has at least one partition");
        self.partitions = partitions;
        self
    }

    /// The same topic, whose records are deleted when they are older than `retention`.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.cleanup = Cleanup::Delete {
            retention: Some(retention),
        };
        self
    }

    /// The same topic, which keeps the last record of each key.
    #[must_use]
    pub const fn compacted(mut self) -> Self {
        self.cleanup = Cleanup::Compact;
        self
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the log needs to create it.
    pub fn spec(&self) -> TopicSpec {
        TopicSpec {
            name: self.name.into(),
            partitions: self.partitions,
            cleanup: self.cleanup,
        }
    }
}

impl<K, V> Topic<K, Option<V>> {
    /// The same topic as a table reads it: a table takes a null as a deletion, so its values are
    /// those that are there.
    pub const fn of_values(self) -> Topic<K, V> {
        Topic {
            name: self.name,
            partitions: self.partitions,
            cleanup: self.cleanup,
            types: PhantomData,
        }
    }
}

impl<K, V> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Topic<K, V> {}

impl<K, V> fmt::Debug for Topic<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.name)
    }
}

/// A key-value store with keys `K` and values `V`, backed by a changelog.
pub struct Store<K, V> {
    name: &'static str,
    ordered: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Store<K, V> {
    /// The store `name`.
    ///
    /// # Panics
    /// At compile time for a constant: when the name is not of `[a-z0-9-]`, or empty.
    pub const fn new(name: &'static str) -> Self {
        assert_durable_name(name);
        Self {
            name,
            ordered: false,
            types: PhantomData,
        }
    }

    /// The same store, kept in the byte order of its keys: a range of it is read in the time of
    /// what is read. Without, a range looks through all keys that are in memory, and each read and
    /// write is cheaper.
    ///
    /// Only memory is kept differently: the data of the store stay as they are.
    #[must_use]
    pub const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn is_ordered(&self) -> bool {
        self.ordered
    }
}

impl<K, V> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Store<K, V> {}

impl<K, V> fmt::Debug for Store<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.name)
    }
}

/// The changelog topic of a store, named as Kafka Streams names it.
pub fn changelog_topic(application: &str, store: &str) -> String {
    format!("{application}-{store}-changelog")
}

/// A repartition topic, named as Kafka Streams names it.
pub fn repartition_topic(application: &str, name: &str) -> String {
    format!("{application}-{name}-repartition")
}

/// True if only its own application writes to the topic: a changelog or a repartition topic.
pub fn is_internal_topic(name: &str) -> bool {
    name.ends_with("-changelog") || name.ends_with("-repartition")
}

/// The topic that takes an application's bad records.
pub fn dead_letter_topic(application: &str) -> String {
    format!("{application}-dead-letter")
}

/// True if the topic takes the bad records of an application.
pub fn is_dead_letter_topic(name: &str) -> bool {
    name.ends_with("-dead-letter")
}

/// True if Kafka takes `name` for a topic: `[A-Za-z0-9._-]`, 1 to 249 characters, neither `.` nor
/// `..`. So every topic that exists can be read, such as `orders.v1`; names of one's own are better
/// of `[a-z0-9-]`, as those of stores and topologies are.
pub const fn is_topic_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    let mut only_dots = true;
    while index < bytes.len() {
        if !matches!(bytes[index], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-') {
            return false;
        }
        only_dots = only_dots && bytes[index] == b'.';
        index += 1;
    }
    !(bytes.is_empty() || bytes.len() > 249 || only_dots && bytes.len() <= 2)
}

/// True if `name` may name a store, a repartition or a topology: `[a-z0-9-]`, not empty, at most 200
/// characters. Internal topics are named by it.
pub const fn is_durable_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty() && bytes.len() <= 200
}

const fn assert_durable_name(name: &str) {
    assert!(
        is_durable_name(name),
        "a durable name is of a-z, 0-9 and -, at most 200 characters"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_any_name_that_kafka_takes() {
        const EXISTING: Topic<u64, u64> = Topic::new("My_Topic.v1");
        assert_eq!(EXISTING.name(), "My_Topic.v1");
        let longest = "a".repeat(249);
        for name in ["orders.v1", "My_Topic", "...", "a", "__a-b", &longest] {
            assert!(is_topic_name(name), "{name}");
        }
        let too_long = "a".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "\u{e4}", &too_long] {
            assert!(!is_topic_name(name), "{name}");
        }
    }

    #[test]
    fn what_owns_data_has_a_strict_name() {
        for name in ["orders.v1", "My-Store", "a_b", ""] {
            assert!(!is_durable_name(name), "{name}");
        }
        assert!(is_durable_name("orders-v1"));
    }
}

//! Typed records of a topic to bytes and back, outside of any topology: for those who publish
//! commands, read facts, or look into a simulated log.

use std::fmt;
use std::sync::Arc;

use crate::catalog::Topic;
use crate::headers::{HeaderList, Headers};
use crate::log::NewRecord;
use crate::serde::{Data, Presence, Resources, Role, Serde, SerdeContext, SerdeError};
use crate::store::{Timestamped, split_timestamp};
use crate::time::Timestamp;

/// The serdes of one topic.
///
/// ```
/// use millrace_streams::serde::Resources;
/// use millrace_streams::{RecordCodec, Timestamp, Topic};
///
/// const VISITS: Topic<String, u64> = Topic::new("visits");
/// let mut codec = RecordCodec::new(VISITS, &Resources::new())?;
/// let record = codec.encode(&"/".to_owned(), &7, Timestamp::from_millis(0))?;
/// let (key, value) = (record.key.as_deref(), record.value.as_deref());
/// assert_eq!(codec.decode(key, value, record.headers.view())?, ("/".to_owned(), 7));
/// # Ok::<(), millrace_streams::serde::SerdeError>(())
/// ```
pub struct RecordCodec<K: Data, V: Data> {
    topic: Arc<str>,
    keys: K::Serde,
    values: V::Serde,
}

impl<K: Data, V: Data> RecordCodec<K, V> {
    /// Builds the serdes.
    ///
    /// # Errors
    /// When a resource that a serde needs is absent or refuses.
    pub fn new(topic: Topic<K, V>, resources: &Resources) -> Result<Self, SerdeError> {
        Self::of(topic.name(), resources)
    }

    /// As [`RecordCodec::new`], for a topic that no constant names.
    pub(crate) fn of(topic: &str, resources: &Resources) -> Result<Self, SerdeError> {
        let (keys, values) = serdes::<K, V>(topic, resources)?;
        Ok(Self {
            topic: topic.into(),
            keys,
            values,
        })
    }

    /// The record of a key and a value, ready to be appended.
    ///
    /// # Errors
    /// When one of them cannot be expressed.
    pub fn encode(
        &mut self,
        key: &K,
        value: &V,
        timestamp: Timestamp,
    ) -> Result<NewRecord, SerdeError> {
        self.encode_with_headers(key, value, HeaderList::new(), timestamp)
    }

    /// As [`RecordCodec::encode`], with headers; serdes may add their own.
    ///
    /// # Errors
    /// As [`RecordCodec::encode`].
    pub fn encode_with_headers(
        &mut self,
        key: &K,
        value: &V,
        mut headers: HeaderList,
        timestamp: Timestamp,
    ) -> Result<NewRecord, SerdeError> {
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        let key = self.keys.serialize(key, &mut headers, &mut key_bytes)?;
        let value = self
            .values
            .serialize(value, &mut headers, &mut value_bytes)?;
        Ok(NewRecord {
            topic: self.topic.clone(),
            key: (key == Presence::Value).then_some(key_bytes),
            value: (value == Presence::Value).then_some(value_bytes),
            headers,
            timestamp,
        })
    }

    /// The key and the value of a record's bytes.
    ///
    /// # Errors
    /// When the bytes are not of the topic's types.
    pub fn decode(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(K, V), SerdeError> {
        let key = self.keys.deserialize(key, headers)?;
        Ok((key, self.values.deserialize(value, headers)?))
    }
}

/// The serdes of keys and values for `topic`, which may be a store's changelog.
pub(crate) fn serdes<K: Data, V: Data>(
    topic: &str,
    resources: &Resources,
) -> Result<(K::Serde, V::Serde), SerdeError> {
    let at = |role| SerdeContext {
        topic,
        role,
        resources,
    };
    Ok((K::serde(&at(Role::Key))?, V::serde(&at(Role::Value))?))
}

/// Writes a key as bytes into `into`; a key that is null has none.
pub(crate) fn encode_key<K, S: Serde<K>>(
    keys: &mut S,
    key: &K,
    into: &mut Vec<u8>,
) -> Result<(), SerdeError> {
    into.clear();
    // A store's keys have no headers: what a serde adds is dropped.
    match keys.serialize(key, &mut HeaderList::new(), into)? {
        Presence::Value => Ok(()),
        Presence::Null => Err(SerdeError::Null { what: "key" }),
    }
}

/// The value and its timestamp, from a store's bytes.
pub(crate) fn decode_stored<V, S: Serde<V>>(
    values: &mut S,
    stored: &[u8],
) -> Result<Timestamped<V>, SerdeError> {
    let (timestamp, bytes) = split_timestamp(stored).ok_or_else(|| SerdeError::Malformed {
        what: "stored value",
        reason: format!("{} bytes, shorter than its timestamp", stored.len()),
    })?;
    let value = values.deserialize(Some(bytes), Headers::EMPTY)?;
    Ok(Timestamped { value, timestamp })
}

impl<K: Data, V: Data> fmt::Debug for RecordCodec<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordCodec({})", self.topic)
    }
}

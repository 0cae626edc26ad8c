//! Typed records of a topic to bytes and back, outside of any topology: for those who publish
//! commands, read facts, or look into a simulated log.

use std::fmt;
use std::sync::Arc;

use crate::catalog::Topic;
use crate::headers::{HeaderList, Headers};
use crate::log::NewRecord;
use crate::serde::{Data, Presence, Resources, Role, Serde, SerdeContext, SerdeError};
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
        let name = topic.name();
        Ok(Self {
            topic: name.into(),
            keys: K::serde(&SerdeContext {
                topic: name,
                role: Role::Key,
                resources,
            })?,
            values: V::serde(&SerdeContext {
                topic: name,
                role: Role::Value,
                resources,
            })?,
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
        let mut headers = HeaderList::new();
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

impl<K: Data, V: Data> fmt::Debug for RecordCodec<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordCodec({})", self.topic)
    }
}

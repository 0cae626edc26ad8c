//! What a test holds of a driver: typed inputs, outputs and stores.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use millrace_state::{Entry, Store as StateStore};

use super::{TestRecord, TopologyTestDriver};
use crate::catalog::Topic;
use crate::codec::{RecordCodec, decode_stored, encode_key};
use crate::error::Error;
use crate::headers::{HeaderList, Headers};
use crate::serde::{Data, Presence, Serde};
use crate::store::Timestamped;
use crate::time::Timestamp;

/// Pipes records into one topic of a driver.
#[derive(Debug)]
pub struct TestInput<'a, K, V> {
    pub(super) driver: &'a mut TopologyTestDriver,
    pub(super) topic: Topic<K, V>,
}

impl<K: Data, V: Data> TestInput<'_, K, V> {
    /// Pipes a record in, and processes whatever follows from it.
    ///
    /// # Errors
    /// When key or value have no bytes, the topology does not read the topic, or a task fails.
    pub fn pipe(&mut self, key: &K, value: &V, timestamp: Timestamp) -> Result<(), Error> {
        self.pipe_with_headers(key, value, HeaderList::new(), timestamp)
    }

    /// Pipes records in, one after the other, all at the same time.
    ///
    /// # Errors
    /// As [`TestInput::pipe`]; the records before the one that failed are processed.
    pub fn pipe_all(
        &mut self,
        records: impl IntoIterator<Item = (K, V)>,
        timestamp: Timestamp,
    ) -> Result<(), Error> {
        let mut records = records.into_iter();
        records.try_for_each(|(key, value)| self.pipe(&key, &value, timestamp))
    }

    /// As [`TestInput::pipe`], with headers.
    ///
    /// # Errors
    /// As [`TestInput::pipe`].
    pub fn pipe_with_headers(
        &mut self,
        key: &K,
        value: &V,
        headers: HeaderList,
        timestamp: Timestamp,
    ) -> Result<(), Error> {
        let codec = RecordCodec::new(self.topic, &self.driver.places.resources);
        let record =
            codec.and_then(|mut codec| codec.encode_with_headers(key, value, headers, timestamp));
        let record = record.map_err(Error::Query)?;
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let headers = record.headers.view();
        self.driver
            .pipe_raw(self.topic.name(), key, value, headers, timestamp)
    }
}

/// Reads what a driver's topology has written to one topic; each record once.
#[derive(Debug)]
pub struct TestOutput<'a, K, V> {
    pub(super) driver: &'a mut TopologyTestDriver,
    pub(super) topic: Arc<str>,
    pub(super) types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TestOutput<'_, K, V> {
    /// How many records were not read yet.
    pub fn len(&self) -> usize {
        let written = self.driver.written.get(&self.topic);
        written.map_or(0, VecDeque::len)
    }

    /// True if every record was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Data, V: Data> TestOutput<'_, K, V> {
    /// The next record; `None` if there is none.
    ///
    /// # Errors
    /// When the bytes are no `(K, V)`.
    pub fn read(&mut self) -> Result<Option<TestRecord<K, V>>, Error> {
        let written = self.driver.written.get_mut(&self.topic);
        let Some(raw) = written.and_then(VecDeque::pop_front) else {
            return Ok(None);
        };
        let codec = RecordCodec::<K, V>::of(&self.topic, &self.driver.places.resources);
        let (bytes, value) = (raw.key.as_deref(), raw.value.as_deref());
        let decoded = codec.and_then(|mut codec| codec.decode(bytes, value, raw.headers.view()));
        let (key, value) = decoded.map_err(Error::Query)?;
        Ok(Some(TestRecord {
            key,
            value,
            timestamp: raw.timestamp,
            headers: raw.headers,
        }))
    }

    /// All records that were not read yet.
    ///
    /// # Errors
    /// As [`TestOutput::read`].
    pub fn read_all(&mut self) -> Result<Vec<TestRecord<K, V>>, Error> {
        let mut records = Vec::new();
        while let Some(record) = self.read()? {
            records.push(record);
        }
        Ok(records)
    }

    /// The keys of all records that were not read yet.
    ///
    /// # Errors
    /// As [`TestOutput::read`].
    pub fn read_keys(&mut self) -> Result<Vec<K>, Error> {
        Ok(self
            .read_all()?
            .into_iter()
            .map(|record| record.key)
            .collect())
    }

    /// The values of all records that were not read yet.
    ///
    /// # Errors
    /// As [`TestOutput::read`].
    pub fn read_values(&mut self) -> Result<Vec<V>, Error> {
        Ok(self
            .read_all()?
            .into_iter()
            .map(|record| record.value)
            .collect())
    }

    /// Keys and values of all records that were not read yet.
    ///
    /// # Errors
    /// As [`TestOutput::read`].
    pub fn read_key_values(&mut self) -> Result<Vec<(K, V)>, Error> {
        Ok(self
            .read_all()?
            .into_iter()
            .map(|record| (record.key, record.value))
            .collect())
    }

    /// What a table that reads the topic would hold: the last value of each key among the records
    /// that were not read yet. Deletions are values as well, of a topic of `Option<V>`.
    ///
    /// # Errors
    /// As [`TestOutput::read`].
    pub fn read_to_map(&mut self) -> Result<BTreeMap<K, V>, Error>
    where
        K: Ord,
    {
        Ok(self.read_key_values()?.into_iter().collect())
    }
}

/// A store or a global table of a driver's topology.
pub struct TestStore<'a, K: Data, V: Data> {
    pub(super) store: &'a mut StateStore,
    pub(super) serdes: (K::Serde, V::Serde),
    /// The timestamp of what is written: that of the last record of the store's task.
    pub(super) at: Timestamp,
}

impl<K: Data, V: Data> TestStore<'_, K, V> {
    /// The value under `key`.
    ///
    /// # Errors
    /// When the stored bytes are no `V`.
    pub fn get(&mut self, key: &K) -> Result<Option<V>, Error> {
        Ok(self.get_timestamped(key)?.map(|stored| stored.value))
    }

    /// The value under `key` with its timestamp.
    ///
    /// # Errors
    /// As [`TestStore::get`].
    pub fn get_timestamped(&mut self, key: &K) -> Result<Option<Timestamped<V>>, Error> {
        let key = self.encode(key)?;
        let stored = self.store.get(&key)?;
        let values = &mut self.serdes.1;
        let decoded = stored
            .as_deref()
            .map(|stored| decode_stored(values, stored));
        decoded.transpose().map_err(Error::Query)
    }

    /// All keys and values, in the byte order of the keys.
    ///
    /// # Errors
    /// When stored bytes are no `(K, V)`.
    pub fn all(&mut self) -> Result<Vec<(K, V)>, Error> {
        let (keys, values) = &mut self.serdes;
        let mut decode = |entry: &Entry| {
            let key = keys.deserialize(Some(entry.key()), Headers::EMPTY)?;
            Ok((key, decode_stored(values, entry.value())?.value))
        };
        let entries = self.store.all();
        entries
            .map(|entry| decode(&entry?).map_err(Error::Query))
            .collect()
    }

    /// Writes a value, committed at once; nothing is forwarded for it.
    ///
    /// # Errors
    /// When key or value have no bytes.
    pub fn put(&mut self, key: &K, value: &V) -> Result<(), Error> {
        let key = self.encode(key)?;
        let mut stored = self.at.as_millis().to_be_bytes().to_vec();
        let values = &mut self.serdes.1;
        match values.serialize(value, &mut HeaderList::new(), &mut stored) {
            Ok(Presence::Value) => self.store.put(&key, &stored)?,
            Ok(Presence::Null) => self.store.delete(&key)?,
            Err(error) => return Err(Error::Query(error)),
        }
        Ok(self.store.commit(None)?)
    }

    /// Removes a key, committed at once; nothing is forwarded for it.
    ///
    /// # Errors
    /// When the key has no bytes.
    pub fn delete(&mut self, key: &K) -> Result<(), Error> {
        let key = self.encode(key)?;
        self.store.delete(&key)?;
        Ok(self.store.commit(None)?)
    }

    fn encode(&mut self, key: &K) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        encode_key(&mut self.serdes.0, key, &mut bytes).map_err(Error::Query)?;
        Ok(bytes)
    }
}

impl<K: Data, V: Data> fmt::Debug for TestStore<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestStore({})", self.store.name())
    }
}

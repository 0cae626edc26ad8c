//! What a test holds of a driver: typed inputs, outputs and stores.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use super::{TestRecord, TopologyTestDriver};
use crate::catalog::Topic;
use crate::codec::RecordCodec;
use crate::error::{Error, ProcessResult};
use crate::headers::HeaderList;
use crate::log::{Offset, TopicSlot};
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::Task;
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

/// A store of a driver's topology.
#[derive(Debug)]
pub struct TestStore<'a, K: Data, V: Data> {
    pub(super) task: &'a mut Task,
    pub(super) handle: KeyValueStore<K, V>,
}

impl<K: Data, V: Data> TestStore<'_, K, V> {
    /// The value under `key`.
    ///
    /// # Errors
    /// When the stored bytes are no `V`.
    pub fn get(&mut self, key: &K) -> Result<Option<V>, Error> {
        let (id, cx) = (self.task.id(), self.task.context());
        self.handle
            .get(cx, key)
            .map_err(|source| Error::Task { task: id, source })
    }

    /// All keys and values, in the byte order of the keys.
    ///
    /// # Errors
    /// When stored bytes are no `(K, V)`.
    pub fn all(&mut self) -> Result<Vec<(K, V)>, Error> {
        let (id, cx) = (self.task.id(), self.task.context());
        self.handle
            .all(cx)
            .map_err(|source| Error::Task { task: id, source })
    }

    /// Writes a value, committed at once; nothing is forwarded for it.
    ///
    /// # Errors
    /// When key or value have no bytes.
    pub fn put(&mut self, key: &K, value: &V) -> Result<(), Error> {
        let put = self.handle.put(self.task.context_mut(), key, value);
        self.commit(put)
    }

    /// Removes a key, committed at once; nothing is forwarded for it.
    ///
    /// # Errors
    /// When the key has no bytes.
    pub fn delete(&mut self, key: &K) -> Result<(), Error> {
        let deleted = self.handle.delete(self.task.context_mut(), key);
        self.commit(deleted)
    }

    fn commit(&mut self, written: ProcessResult) -> Result<(), Error> {
        let id = self.task.id();
        written.map_err(|source| Error::Task { task: id, source })?;
        self.task.committed(&[] as &[(TopicSlot, i32, Offset)])
    }
}

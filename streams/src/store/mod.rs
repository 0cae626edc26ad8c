//! Typed access to a task's stores.
//!
//! A store holds, under a key's bytes, eight bytes of timestamp (milliseconds, big-endian) and the
//! value's bytes: Kafka Streams' timestamped key-value store.

mod restore;

use std::fmt;
use std::ops::{Bound, RangeBounds};

use millrace_state::{Entry, Range};

use crate::catalog::Store;
use crate::codec::{decode_stored, encode_key};
use crate::error::{ProcessError, ProcessResult};
use crate::headers::{HeaderList, Headers};
use crate::serde::{Data, Presence, Role, Serde};
use crate::task::TaskContext;
use crate::time::Timestamp;
use crate::topology::Locator;

pub(crate) use restore::{restore_batch, restore_where};

/// The bytes in front of each stored value.
pub(crate) const TIMESTAMP_BYTES: usize = 8;

/// Splits stored bytes into the timestamp and the value's bytes.
pub(crate) fn split_timestamp(stored: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (timestamp, value) = stored.split_first_chunk::<TIMESTAMP_BYTES>()?;
    Some((
        Timestamp::from_millis(i64::from_be_bytes(*timestamp)),
        value,
    ))
}

/// A value and the timestamp of the record that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamped<V> {
    /// The value.
    pub value: V,
    /// When it was written, in the time of records.
    pub timestamp: Timestamp,
}

/// Both ends of a range, as bytes.
type KeyBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A handle on one store of the task at hand.
///
/// A processor gets it in [`crate::Processor::init`] and keeps it: there is no look-up by name
/// afterwards. Reads see the writes of the running transaction.
pub struct KeyValueStore<K: Data, V: Data> {
    name: &'static str,
    slot: usize,
    keys: K::Serde,
    values: V::Serde,
    key: Vec<u8>,
    value: Vec<u8>,
    unused_headers: HeaderList,
}

impl<K: Data, V: Data> KeyValueStore<K, V> {
    pub(crate) fn new(locator: Locator<'_>, store: Store<K, V>) -> Result<Self, ProcessError> {
        let (slot, changelog) = locator.store(store)?;
        Ok(Self {
            name: store.name(),
            slot,
            keys: locator.places.serde::<K>(&changelog, Role::Key)?,
            values: locator.places.serde::<V>(&changelog, Role::Value)?,
            key: Vec::new(),
            value: Vec::new(),
            unused_headers: HeaderList::new(),
        })
    }

    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// The store's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// When the key has no bytes, the stored bytes are no `V`, or the store cannot be read.
    pub fn get(&mut self, cx: &impl StoreAccess, key: &K) -> Result<Option<V>, ProcessError> {
        Ok(self.get_timestamped(cx, key)?.map(|stored| stored.value))
    }

    /// The value under `key` with its timestamp.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn get_timestamped(
        &mut self,
        cx: &impl StoreAccess,
        key: &K,
    ) -> Result<Option<Timestamped<V>>, ProcessError> {
        self.encode_key(key)?;
        let values = &mut self.values;
        cx.task()
            .store(self.slot)?
            .get_with(&self.key, |stored| decode(values, stored))?
    }

    /// Writes `value` under `key`, at the timestamp of the record being processed.
    ///
    /// # Errors
    /// When key or value have no bytes, or the record would be larger than the log takes.
    pub fn put(&mut self, cx: &mut impl StoreAccess, key: &K, value: &V) -> ProcessResult {
        let at = cx.task().timestamp();
        self.put_at(cx, key, value, at)
    }

    /// Writes `value` under `key` with a timestamp of its own.
    ///
    /// # Errors
    /// As [`KeyValueStore::put`].
    pub fn put_at(
        &mut self,
        cx: &mut impl StoreAccess,
        key: &K,
        value: &V,
        at: Timestamp,
    ) -> ProcessResult {
        self.encode_key(key)?;
        self.value.clear();
        self.unused_headers.clear();
        self.value.extend_from_slice(&at.as_millis().to_be_bytes());
        match self
            .values
            .serialize(value, &mut self.unused_headers, &mut self.value)?
        {
            Presence::Value => cx.task_mut().put(self.slot, &self.key, &self.value),
            Presence::Null => cx.task_mut().delete(self.slot, &self.key),
        }
    }

    /// Removes `key` and its value, if there is one.
    ///
    /// # Errors
    /// When the key has no bytes.
    pub fn delete(&mut self, cx: &mut impl StoreAccess, key: &K) -> ProcessResult {
        self.encode_key(key)?;
        cx.task_mut().delete(self.slot, &self.key)
    }

    /// Keys and values whose keys lie in `range`, one by one, in the byte order of the keys: the
    /// order of the keys themselves where their serde keeps it.
    ///
    /// A store that is [`Store::ordered`] is read as far as the iterator is; any other is looked
    /// through for keys first. Nothing can be forwarded or written while the iterator lives: take a
    /// bounded part of it, and go on behind its last key.
    ///
    /// ```
    /// # use std::ops::Bound;
    /// # use millrace_streams::{KeyValueStore, ProcessError, StoreAccess};
    /// # type Stock = KeyValueStore<String, i64>;
    /// # fn next(stock: &mut Stock, cx: &impl StoreAccess, last: String) -> Result<(), ProcessError> {
    /// let behind = (Bound::Excluded(last), Bound::Unbounded);
    /// let page: Vec<(String, i64)> = stock.range(cx, behind)?.take(100).collect::<Result<_, _>>()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When a bound has no bytes. An item is an error when the store cannot be read, or its bytes
    /// are no `(K, V)`.
    pub fn range<'s>(
        &'s mut self,
        cx: &'s impl StoreAccess,
        range: impl RangeBounds<K>,
    ) -> Result<Entries<'s, K, V>, ProcessError> {
        let bounds = self.encode_bounds(&range)?;
        let entries = cx.task().store(self.slot)?.store().range(bounds);
        Ok(self.entries(entries))
    }

    /// As [`KeyValueStore::range`], from the last key to the first.
    ///
    /// # Errors
    /// As [`KeyValueStore::range`].
    pub fn reverse_range<'s>(
        &'s mut self,
        cx: &'s impl StoreAccess,
        range: impl RangeBounds<K>,
    ) -> Result<Entries<'s, K, V>, ProcessError> {
        let bounds = self.encode_bounds(&range)?;
        let entries = cx.task().store(self.slot)?.store().reverse_range(bounds);
        Ok(self.entries(entries))
    }

    /// All keys and values, in the byte order of the keys: for a store that is known to be small.
    ///
    /// # Errors
    /// As [`KeyValueStore::get`].
    pub fn all(&mut self, cx: &impl StoreAccess) -> Result<Vec<(K, V)>, ProcessError> {
        self.range(cx, ..)?.collect()
    }

    fn entries<'s>(&'s mut self, entries: Range<'s>) -> Entries<'s, K, V> {
        Entries {
            entries,
            keys: &mut self.keys,
            values: &mut self.values,
        }
    }

    fn encode_bounds(&mut self, range: &impl RangeBounds<K>) -> Result<KeyBounds, ProcessError> {
        let from = self.encode_bound(range.start_bound())?;
        Ok((from, self.encode_bound(range.end_bound())?))
    }

    fn encode_bound(&mut self, bound: Bound<&K>) -> Result<Bound<Vec<u8>>, ProcessError> {
        if let Bound::Included(key) | Bound::Excluded(key) = bound {
            self.encode_key(key)?;
        }
        Ok(bound.map(|_| self.key.clone()))
    }

    /// Remembers the headers of the record that has changed the key which was used last.
    pub(crate) fn keep_headers(&self, cx: &mut TaskContext, headers: Headers<'_>) {
        cx.keep_headers(self.slot, &self.key, headers);
    }

    pub(crate) fn decode_key(&mut self, bytes: &[u8]) -> Result<K, ProcessError> {
        Ok(self.keys.deserialize(Some(bytes), Headers::EMPTY)?)
    }

    pub(crate) fn decode_value(
        &mut self,
        stored: Option<&[u8]>,
    ) -> Result<Option<Timestamped<V>>, ProcessError> {
        decode(&mut self.values, stored)
    }

    fn encode_key(&mut self, key: &K) -> Result<(), ProcessError> {
        Ok(encode_key(&mut self.keys, key, &mut self.key)?)
    }
}

impl<K: Data, V: Data> fmt::Debug for KeyValueStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyValueStore({})", self.name)
    }
}

/// Keys and values of a store, one by one: see [`KeyValueStore::range`].
pub struct Entries<'s, K: Data, V: Data> {
    entries: Range<'s>,
    keys: &'s mut K::Serde,
    values: &'s mut V::Serde,
}

impl<K: Data, V: Data> Entries<'_, K, V> {
    fn decode(&mut self, entry: &Entry) -> Result<(K, V), ProcessError> {
        let key = self.keys.deserialize(Some(entry.key()), Headers::EMPTY)?;
        Ok((key, decode_stored(self.values, entry.value())?.value))
    }
}

impl<K: Data, V: Data> Iterator for Entries<'_, K, V> {
    type Item = Result<(K, V), ProcessError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some(
            entry
                .map_err(ProcessError::from)
                .and_then(|entry| self.decode(&entry)),
        )
    }
}

impl<K: Data, V: Data> fmt::Debug for Entries<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

fn decode<V, S: Serde<V>>(
    values: &mut S,
    stored: Option<&[u8]>,
) -> Result<Option<Timestamped<V>>, ProcessError> {
    let decoded = stored.map(|stored| decode_stored(values, stored));
    Ok(decoded.transpose()?)
}

/// What a store handle works on: the context of a processor, or of a task.
pub trait StoreAccess: sealed::Sealed {
    #[doc(hidden)]
    fn task(&self) -> &TaskContext;
    #[doc(hidden)]
    fn task_mut(&mut self) -> &mut TaskContext;
}

impl StoreAccess for TaskContext {
    fn task(&self) -> &TaskContext {
        self
    }

    fn task_mut(&mut self) -> &mut TaskContext {
        self
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::task::TaskContext {}
}

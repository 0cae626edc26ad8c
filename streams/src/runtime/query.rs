//! Interactive queries: typed reads of committed state, from any thread.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millrace_state::StoreReader;
use parking_lot::{Mutex, RwLock};

use crate::catalog::Store;
use crate::codec::{decode_stored, encode_key, serdes};
use crate::error::{Error, ProcessError};
use crate::headers::Headers;
use crate::partitioner::partition_of;
use crate::serde::{Data, Resources, Serde, SerdeError};
use crate::task::pairs;

/// The stores that this instance holds now, by name and partition.
#[derive(Default)]
pub(crate) struct StoreRegistry {
    stores: RwLock<BTreeMap<Arc<str>, BTreeMap<i32, StoreReader>>>,
}

impl StoreRegistry {
    pub(crate) fn add(&self, store: &Arc<str>, partition: i32, reader: StoreReader) {
        self.stores
            .write()
            .entry(store.clone())
            .or_default()
            .insert(partition, reader);
    }

    pub(crate) fn remove(&self, store: &str, partition: i32) {
        if let Some(partitions) = self.stores.write().get_mut(store) {
            partitions.remove(&partition);
        }
    }

    /// The partitions, `first` before the others.
    fn from(&self, store: &str, first: i32) -> Vec<StoreReader> {
        let stores = self.stores.read();
        let Some(partitions) = stores.get(store) else {
            return Vec::new();
        };
        let others = partitions.iter().filter(|(number, _)| **number != first);
        let first = partitions.get(&first).into_iter();
        first
            .chain(others.map(|(_, reader)| reader))
            .cloned()
            .collect()
    }

    fn all(&self, store: &str) -> Vec<StoreReader> {
        let stores = self.stores.read();
        stores
            .get(store)
            .map(|p| p.values().cloned().collect())
            .unwrap_or_default()
    }
}

/// A store of the application, as a query sees it: committed state only, of the partitions that
/// this instance holds.
pub struct QueryableStore<K: Data, V: Data> {
    name: &'static str,
    registry: Arc<StoreRegistry>,
    partitions: i32,
    serdes: Mutex<(K::Serde, V::Serde)>,
}

impl<K: Data, V: Data> QueryableStore<K, V> {
    pub(crate) fn new(
        store: Store<K, V>,
        registry: Arc<StoreRegistry>,
        partitions: i32,
        topic: &str,
        resources: &Resources,
    ) -> Result<Self, SerdeError> {
        Ok(Self {
            name: store.name(),
            registry,
            partitions,
            serdes: Mutex::new(serdes::<K, V>(topic, resources)?),
        })
    }

    /// The value under `key`; `None` also when another instance holds the key's partition.
    ///
    /// Looks into the partition to which Java's default partitioner assigns the key first, and then
    /// into the others, as whoever writes a source topic may have a partitioner of its own.
    ///
    /// # Errors
    /// When the key has no bytes, or the stored bytes are no `V`.
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        let mut serdes = self.serdes.lock();
        let (keys, values) = &mut *serdes;
        let mut bytes = Vec::new();
        encode_key(keys, key, &mut bytes).map_err(query_error)?;
        let partition = partition_of(&bytes, self.partitions);
        for reader in self.registry.from(self.name, partition) {
            if let Some(stored) = reader.get(&bytes)? {
                let decoded = decode_stored(values, &stored).map_err(query_error)?;
                return Ok(Some(decoded.value));
            }
        }
        Ok(None)
    }

    /// All keys and values of the partitions that this instance holds, in byte order within each.
    ///
    /// # Errors
    /// When stored bytes are no `(K, V)`.
    pub fn all(&self) -> Result<Vec<(K, V)>, Error> {
        let mut found = Vec::new();
        for reader in self.registry.all(self.name) {
            let pairs = pairs(reader.all()).map_err(store_error)?;
            let mut serdes = self.serdes.lock();
            let (keys, values) = &mut *serdes;
            for (key, stored) in pairs {
                let key = keys
                    .deserialize(Some(&key), Headers::EMPTY)
                    .map_err(query_error)?;
                let stored = decode_stored(values, &stored).map_err(query_error)?;
                found.push((key, stored.value));
            }
        }
        Ok(found)
    }
}

impl<K: Data, V: Data> fmt::Debug for QueryableStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryableStore({})", self.name)
    }
}

fn store_error(error: ProcessError) -> Error {
    match error {
        ProcessError::State(error) => Error::State(error),
        other => Error::Config(other.to_string()),
    }
}

fn query_error(error: SerdeError) -> Error {
    Error::Query(error)
}

//! Global tables: whole on every instance, one store per partition of their topic.

use std::fmt;
use std::sync::Arc;

use millrace_state::StoreReader;

use crate::catalog::Store;
use crate::codec::{decode_stored, encode_key};
use crate::error::ProcessError;
use crate::partitioner::partition_of;
use crate::serde::{Data, Role};
use crate::store::StoreAccess;
use crate::topology::Locator;

/// The global tables of a topology, in the order of their definition.
#[derive(Clone, Default)]
pub(crate) struct GlobalTables {
    /// Per table the readers of its partitions.
    tables: Arc<[Vec<StoreReader>]>,
}

impl GlobalTables {
    pub(crate) fn new(tables: Vec<Vec<StoreReader>>) -> Self {
        Self {
            tables: tables.into(),
        }
    }

    fn partition_with(&self, table: usize, key: &[u8]) -> Option<&StoreReader> {
        let partitions = self.tables.get(table)?;
        let count = i32::try_from(partitions.len()).ok()?;
        partitions.get(usize::try_from(partition_of(key, count)).ok()?)
    }
}

impl fmt::Debug for GlobalTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalTables({})", self.tables.len())
    }
}

/// An operator's way into one global table.
pub(crate) struct GlobalLookup<K: Data, V: Data> {
    table: usize,
    keys: K::Serde,
    values: V::Serde,
    key: Vec<u8>,
}

impl<K: Data, V: Data> GlobalLookup<K, V> {
    pub(crate) fn new(locator: Locator<'_>, store: Store<K, V>) -> Result<Self, ProcessError> {
        let (table, topic) = locator.global(store.name())?;
        Ok(Self {
            table,
            keys: locator.places.serde::<K>(topic, Role::Key)?,
            values: locator.places.serde::<V>(topic, Role::Value)?,
            key: Vec::new(),
        })
    }

    /// The value under `key`, as far as this instance has read the topic.
    pub(crate) fn get(
        &mut self,
        cx: &impl StoreAccess,
        key: &K,
    ) -> Result<Option<V>, ProcessError> {
        encode_key(&mut self.keys, key, &mut self.key)?;
        let globals = &cx.task().globals;
        let Some(partition) = globals.partition_with(self.table, &self.key) else {
            return Ok(None);
        };
        let stored = partition.get(&self.key)?;
        let decode = |stored: &[u8]| decode_stored(&mut self.values, stored);
        let found = stored.as_deref().map(decode).transpose()?;
        Ok(found.map(|found| found.value))
    }
}

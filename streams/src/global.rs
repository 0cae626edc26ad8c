//! Global tables: whole on every instance, one store per partition of their topic.

use std::fmt;
use std::sync::Arc;

use millrace_state::StoreReader;

use crate::catalog::Store;
use crate::error::ProcessError;
use crate::headers::{HeaderList, Headers};
use crate::partitioner::partition_of;
use crate::serde::{Data, Presence, Role, Serde, SerdeError};
use crate::store::{StoreAccess, split_timestamp};
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
    unused_headers: HeaderList,
}

impl<K: Data, V: Data> GlobalLookup<K, V> {
    pub(crate) fn new(locator: Locator<'_>, store: Store<K, V>) -> Result<Self, ProcessError> {
        let (table, topic) = locator.global(store.name())?;
        Ok(Self {
            table,
            keys: locator.places.serde::<K>(topic, Role::Key)?,
            values: locator.places.serde::<V>(topic, Role::Value)?,
            key: Vec::new(),
            unused_headers: HeaderList::new(),
        })
    }

    /// The value under `key`, as far as this instance has read the topic.
    pub(crate) fn get(
        &mut self,
        cx: &impl StoreAccess,
        key: &K,
    ) -> Result<Option<V>, ProcessError> {
        self.key.clear();
        let presence = self
            .keys
            .serialize(key, &mut self.unused_headers, &mut self.key)?;
        if presence == Presence::Null {
            return Err(SerdeError::Null { what: "key" }.into());
        }
        let globals = &cx.task().globals;
        let Some(partition) = globals.partition_with(self.table, &self.key) else {
            return Ok(None);
        };
        let stored = partition.get(&self.key)?;
        let value = stored
            .as_deref()
            .and_then(split_timestamp)
            .map(|(_, value)| value);
        let decode = |value| self.values.deserialize(Some(value), Headers::EMPTY);
        Ok(value.map(decode).transpose()?)
    }
}

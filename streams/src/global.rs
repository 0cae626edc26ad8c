//! Global tables: whole on every instance, one store per partition of their topic.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_state::{Store as StateStore, StoreReader, Value};

use crate::catalog::Store;
use crate::codec::{decode_stored, encode_key};
use crate::error::{Error, ProcessError, TopologyError};
use crate::log::{RawRecord, RecordBatch, TopicPartition};
use crate::partitioner::partition_of;
use crate::serde::{Data, Resources, Role, SerdeError};
use crate::store::StoreAccess;
use crate::store::restore_where;
use crate::task::OnError;
use crate::topology::{GlobalDefinition, Locator, RecordCheck};

/// The global tables of a topology, in the order of their definition.
#[derive(Clone, Default)]
pub(crate) struct GlobalTables {
    /// Per table the readers of its partitions.
    tables: Arc<[Vec<StoreReader>]>,
    /// Counts when a table begins to be read anew, and when all are whole again.
    epoch: Arc<AtomicU64>,
}

/// A time in which every global table was whole, or one was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GlobalEpoch(u64);

impl GlobalEpoch {
    /// True if what is looked up is there, as far as the topics were read.
    pub(crate) fn is_whole(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

impl GlobalTables {
    pub(crate) fn new(tables: Vec<Vec<StoreReader>>) -> Self {
        Self {
            tables: tables.into(),
            epoch: Arc::default(),
        }
    }

    /// The time that it is. What was looked up in one that has ended since may have been missing.
    pub(crate) fn epoch(&self) -> GlobalEpoch {
        GlobalEpoch(self.epoch.load(Ordering::SeqCst))
    }

    /// For the one that reads the tables.
    pub(crate) fn set_whole(&self, is_whole: bool) {
        if self.epoch().is_whole() != is_whole {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn get(&self, table: usize, key: &[u8]) -> Result<Option<Value>, ProcessError> {
        match self.tables.get(table) {
            Some(partitions) => Ok(find(partitions, key)?),
            None => Ok(None),
        }
    }
}

/// Looks into the partition to which Java's default partitioner assigns the key, and then into the
/// others: whoever writes the topic may have a partitioner of its own.
fn find(partitions: &[StoreReader], key: &[u8]) -> Result<Option<Value>, millrace_state::Error> {
    let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
    let home = usize::try_from(partition_of(key, count)).unwrap_or(0);
    let (before, from) = partitions.split_at(home.min(partitions.len()));
    for partition in from.iter().chain(before) {
        if let Some(found) = partition.get(key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// One partition of a global table, as its topic is read.
pub(crate) struct GlobalPartition {
    pub(crate) read: TopicPartition,
    pub(crate) store: StateStore,
    check: RecordCheck,
    on_error: OnError,
}

impl GlobalPartition {
    pub(crate) fn new(
        defined: &GlobalDefinition,
        partition: i32,
        store: StateStore,
        resources: &Resources,
        on_error: OnError,
    ) -> Result<Self, TopologyError> {
        Ok(Self {
            read: TopicPartition::new(defined.topic.clone(), partition),
            store,
            check: defined.check(resources)?,
            on_error,
        })
    }

    /// Takes a batch in. What is not of the table's types is found here, where its topic and offset
    /// are known, and not by the record that looks it up.
    pub(crate) fn apply(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let (check, on_error) = (&mut self.check, self.on_error);
        restore_where(&mut self.store, batch, |record| match check(record) {
            Ok(()) => Ok(true),
            Err(error) => refuse(&batch.partition, record, error, on_error),
        })
    }
}

fn refuse(
    partition: &TopicPartition,
    record: RawRecord<'_>,
    error: SerdeError,
    on_error: OnError,
) -> Result<bool, Error> {
    let reason = match error {
        SerdeError::UnknownType { .. } => "unknown type",
        SerdeError::Unavailable { .. } => return Err(failed(partition, record, error)),
        _ if on_error == OnError::Fail => return Err(failed(partition, record, error)),
        _ => "deserialize",
    };
    tracing::warn!(%error, %partition, offset = record.offset, "left out of the global table");
    metrics::counter!("dropped_records_total", "reason" => reason).increment(1);
    Ok(false)
}

fn failed(partition: &TopicPartition, record: RawRecord<'_>, source: SerdeError) -> Error {
    Error::GlobalTable {
        topic: partition.topic.clone(),
        partition: partition.partition,
        offset: record.offset,
        source,
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
        let stored = cx.task().globals.get(self.table, &self.key)?;
        let decode = |stored: &[u8]| decode_stored(&mut self.values, stored);
        let found = stored.as_deref().map(decode).transpose()?;
        Ok(found.map(|found| found.value))
    }
}

#[cfg(test)]
mod tests {
    use millrace_state::{StateDir, StoreId, StoreOptions};

    use super::*;

    #[test]
    fn a_key_is_found_in_whatever_partition_its_writer_put_it() {
        let state = StateDir::in_memory();
        let options = StoreOptions {
            ordered: false,
            changelog: true,
        };
        let open = |number| {
            let id = StoreId::new("lookups", format!("global_{number}"), "rate");
            state.open_store(&id, options).expect("opened")
        };
        let mut stores: Vec<_> = (0..3).map(open).collect();
        let home = usize::try_from(partition_of(b"eur", 3)).expect("a partition");
        for away in 0..3 {
            let place = (home + away) % 3;
            let readers: Vec<_> = stores.iter().map(StateStore::reader).collect();
            assert_eq!(find(&readers, b"eur").expect("readable"), None);
            let mut write = |value: Option<&[u8]>| {
                let pairs = [(b"eur".as_slice(), value)];
                stores[place].restore(pairs, 1).expect("written");
            };
            write(Some(b"one"));
            let found = find(&readers, b"eur").expect("readable");
            assert_eq!(
                found.as_deref(),
                Some(b"one".as_slice()),
                "{away} from home"
            );
            write(None);
        }
        assert_eq!(find(&[], b"eur").expect("readable"), None);
    }
}

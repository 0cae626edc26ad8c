//! What a topology knows of its stores before any task opens them.

use std::any::{TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use millrace_state::StoreOptions;

use crate::catalog::{Store, Topic};
use crate::codec::serdes;
use crate::error::TopologyError;
use crate::log::RawRecord;
use crate::serde::{Data, Resources, Serde, SerdeError};

/// A store of the topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreDefinition {
    pub(crate) name: Arc<str>,
    ordered: bool,
    /// The types whose bytes it holds: two that share it must mean the same.
    types: (TypeId, TypeId),
    type_names: (&'static str, &'static str),
}

impl StoreDefinition {
    pub(crate) fn of<K: 'static, V: 'static>(store: Store<K, V>) -> Self {
        Self {
            name: store.name().into(),
            ordered: store.is_ordered(),
            types: (TypeId::of::<K>(), TypeId::of::<V>()),
            type_names: (type_name::<K>(), type_name::<V>()),
        }
    }

    /// How a task opens it.
    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions {
            ordered: self.ordered,
            changelog: true,
        }
    }

    /// Refuses a use with other types, which would read one type's bytes as another's.
    pub(crate) fn check_types(&self, used: &Self) -> Result<(), TopologyError> {
        if self.types == used.types {
            Ok(())
        } else {
            Err(self.mismatch(used))
        }
    }

    pub(crate) fn mismatch(&self, used: &Self) -> TopologyError {
        TopologyError::StoreMismatch {
            store: self.name.as_ref().into(),
            known: self.to_string(),
            used: used.to_string(),
        }
    }
}

impl fmt::Display for StoreDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.ordered { "ordered" } else { "unordered" };
        let (key, value) = self.type_names;
        write!(f, "{order}, `{key}` to `{value}`")
    }
}

/// Tells whether a record is of a global table's types.
pub(crate) type RecordCheck = Box<dyn FnMut(RawRecord<'_>) -> Result<(), SerdeError> + Send>;

/// Makes the check from what the application has put at the disposal of its serdes.
type CheckFactory = dyn Fn(&Resources) -> Result<RecordCheck, SerdeError> + Send + Sync;

/// A table that every instance holds whole.
#[derive(Clone)]
pub(crate) struct GlobalDefinition {
    pub(crate) topic: Arc<str>,
    pub(crate) store: StoreDefinition,
    check: Arc<CheckFactory>,
}

impl GlobalDefinition {
    pub(crate) fn of<K: Data, V: Data>(topic: Topic<K, V>, store: Store<K, V>) -> Self {
        let name = topic.name();
        Self {
            topic: name.into(),
            store: StoreDefinition::of(store),
            check: Arc::new(move |resources| {
                let (mut keys, mut values) = serdes::<K, V>(name, resources)?;
                Ok(Box::new(move |record| {
                    check(&mut keys, &mut values, record)
                }))
            }),
        }
    }

    /// What looks at each record before the table takes it.
    pub(crate) fn check(&self, resources: &Resources) -> Result<RecordCheck, TopologyError> {
        (self.check)(resources).map_err(|source| TopologyError::Serde {
            topic: self.topic.as_ref().into(),
            source,
        })
    }
}

fn check<K, V>(
    keys: &mut impl Serde<K>,
    values: &mut impl Serde<V>,
    record: RawRecord<'_>,
) -> Result<(), SerdeError> {
    keys.deserialize(record.key, record.headers)?;
    if record.value.is_some() {
        values.deserialize(record.value, record.headers)?;
    }
    Ok(())
}

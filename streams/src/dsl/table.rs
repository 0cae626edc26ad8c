//! Handles of tables.

use std::fmt;

use crate::catalog::Store;
use crate::dsl::Scope;
use crate::topology::NodeId;

/// A table: the newest value of each key, kept in a store and followed as a stream of changes.
///
/// Its operators stand in `operators/`, one file each.
pub struct KTable<'t, K, V> {
    pub(crate) scope: &'t Scope,
    pub(crate) node: NodeId,
    pub(crate) store: Store<K, V>,
}

impl<'t, K, V> KTable<'t, K, V> {
    pub(crate) fn scope(self) -> &'t Scope {
        self.scope
    }

    pub(crate) fn node(self) -> NodeId {
        self.node
    }
}

impl<K, V> Clone for KTable<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for KTable<'_, K, V> {}

impl<K, V> fmt::Debug for KTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KTable({})", self.store.name())
    }
}

/// A table that every instance of the application holds whole, so that any record may look up any
/// key of it.
pub struct GlobalKTable<'t, K, V> {
    #[expect(dead_code, reason = "keeps the handle inside its scope")]
    pub(crate) scope: &'t Scope,
    pub(crate) store: Store<K, V>,
}

impl<K, V> Clone for GlobalKTable<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for GlobalKTable<'_, K, V> {}

impl<K, V> fmt::Debug for GlobalKTable<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GlobalKTable({})", self.store.name())
    }
}

//! `to_table`: keeps the newest value of each key.

use crate::catalog::Store;
use crate::dsl::{KStream, KTable, Partitioned};
use crate::error::ProcessResult;
use crate::operators::table::TableUpdate;
use crate::record::Record;
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::TaskContext;

impl<'t, K: Data, V: Data, P> KStream<'t, K, V, P> {
    /// Keeps the newest value of each key, in the order of arrival: the stream as a table.
    ///
    /// Creates `store` and its changelog `<application>-<store>-changelog`.
    pub fn to_table(self, store: Store<K, V>) -> KTable<'t, K, V>
    where
        P: Partitioned,
    {
        self.scope()
            .add_table("to-table", self.node(), store, || Newest)
    }
}

struct Newest;

impl<K: Data, V: Data> TableUpdate<K, V, V> for Newest {
    fn apply(
        &self,
        table: &mut KeyValueStore<K, V>,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult {
        table.put_at(cx, record.key, record.value, record.timestamp)
    }
}

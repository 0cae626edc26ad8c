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
    /// Creates `store` and its changelog `<application>-<store>-changelog`. A late record is taken
    /// like any other. Nothing deletes a key, unless `V` has a null: then a null does.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const READINGS: Topic<u64, i64> = Topic::new("readings");
    /// const BY_SENSOR: Store<u64, i64> = Store::new("reading-by-sensor");
    /// let topology = Topology::define("readings", |t| {
    ///     t.stream(READINGS).filter(|_, reading| *reading >= 0).to_table(BY_SENSOR);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for reading in [3, 4, -1] {
    ///     driver.input(READINGS).pipe(&7, &reading, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.store(BY_SENSOR)?.get(&7)?, Some(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

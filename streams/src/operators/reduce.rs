//! `reduce`: combines the values of each key into one of the same type.

use std::sync::Arc;

use crate::catalog::Store;
use crate::dsl::{KStream, KTable, Partitioned};
use crate::error::ProcessResult;
use crate::operators::table::TableUpdate;
use crate::record::Record;
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::TaskContext;

impl<'t, K: Data, V: Data, P> KStream<'t, K, V, P> {
    /// Combines the values of each key, in order: the first value stands as it is, `reduce` takes
    /// the value so far and the next.
    ///
    /// Creates `store` and its changelog `<application>-<store>-changelog`. Timestamps and late
    /// records are treated as by [`KStream::aggregate`].
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const BIDS: Topic<String, i64> = Topic::new("bids");
    /// const HIGHEST: Store<String, i64> = Store::new("highest-bid");
    /// let topology = Topology::define("auction", |t| {
    ///     t.stream(BIDS).reduce(HIGHEST, |highest, bid| highest.max(*bid));
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for bid in [5, 9, 7] {
    ///     driver.input(BIDS).pipe(&"vase".to_owned(), &bid, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.store(HIGHEST)?.get(&"vase".to_owned())?, Some(9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reduce(
        self,
        store: Store<K, V>,
        reduce: impl Fn(V, &V) -> V + Send + Sync + 'static,
    ) -> KTable<'t, K, V>
    where
        P: Partitioned,
    {
        let reduce = Arc::new(reduce);
        self.scope()
            .add_table("reduce", self.node(), store, move || Reduce(reduce.clone()))
    }
}

struct Reduce<F>(Arc<F>);

impl<F: Fn(V, &V) -> V, K: Data, V: Data> TableUpdate<K, V, V> for Reduce<F> {
    fn apply(
        &self,
        table: &mut KeyValueStore<K, V>,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult {
        match table.get_timestamped(cx, record.key)? {
            Some(stored) => {
                let next = (self.0)(stored.value, record.value);
                table.put_at(
                    cx,
                    record.key,
                    &next,
                    stored.timestamp.max(record.timestamp),
                )
            }
            None => table.put_at(cx, record.key, record.value, record.timestamp),
        }
    }
}

//! `aggregate`: folds the records of each key into one value.

use std::sync::Arc;

use crate::catalog::Store;
use crate::dsl::{KStream, KTable, Partitioned};
use crate::error::ProcessResult;
use crate::operators::table::TableUpdate;
use crate::record::Record;
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::TaskContext;

impl<'t, K: Data, V: 'static, P> KStream<'t, K, V, P> {
    /// Folds the records of each key, in order, into one value: `initial` makes the value before
    /// the first record, `fold` takes key, record value and the value so far.
    ///
    /// Creates `store` and its changelog `<application>-<store>-changelog`. The table's timestamp
    /// is the largest of the records folded; a late record is folded like any other. Updates of one
    /// key within one commit go on as one. A value of a type with a null is folded as any other:
    /// [`KStream::flatten_values`] drops nulls first.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const AMOUNTS: Topic<String, i64> = Topic::new("amounts");
    /// const TOTALS: Topic<String, i64> = Topic::new("totals");
    /// const TOTAL: Store<String, i64> = Store::new("total");
    /// let topology = Topology::define("totals", |t| {
    ///     t.stream(AMOUNTS).aggregate(TOTAL, || 0, |_, amount, total| total + amount).to(TOTALS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for amount in [5, 7] {
    ///     driver.input(AMOUNTS).pipe(&"ann".to_owned(), &amount, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(TOTALS).read_values()?, [5, 12]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate<T: Data>(
        self,
        store: Store<K, T>,
        initial: impl Fn() -> T + Send + Sync + 'static,
        fold: impl Fn(&K, &V, T) -> T + Send + Sync + 'static,
    ) -> KTable<'t, K, T>
    where
        P: Partitioned,
    {
        let (initial, fold) = (Arc::new(initial), Arc::new(fold));
        self.scope()
            .add_table("aggregate", self.node(), store, move || Aggregate {
                initial: initial.clone(),
                fold: fold.clone(),
            })
    }
}

struct Aggregate<I, F> {
    initial: Arc<I>,
    fold: Arc<F>,
}

impl<I, F, K, V, T> TableUpdate<K, V, T> for Aggregate<I, F>
where
    I: Fn() -> T,
    F: Fn(&K, &V, T) -> T,
    K: Data,
    T: Data,
{
    fn apply(
        &self,
        table: &mut KeyValueStore<K, T>,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult {
        let (so_far, timestamp) = match table.get_timestamped(cx, record.key)? {
            Some(stored) => (stored.value, stored.timestamp.max(record.timestamp)),
            None => ((self.initial)(), record.timestamp),
        };
        let next = (self.fold)(record.key, record.value, so_far);
        table.put_at(cx, record.key, &next, timestamp)
    }
}

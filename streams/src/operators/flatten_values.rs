//! `flatten_values`: leaves null values out.

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, Option<V>, P> {
    /// Passes the values on that are there, and drops the records with a null value. Keys,
    /// timestamps, headers and order stay.
    ///
    /// Where Kafka Streams ignores null values, in aggregations, this says so. Creates nothing
    /// durable.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const PRICES: Topic<String, Option<i64>> = Topic::new("prices");
    /// const CHANGES: Store<String, u64> = Store::new("price-changes");
    /// let topology = Topology::define("price-changes", |t| {
    ///     t.stream(PRICES).flatten_values().count(CHANGES);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for price in [Some(3), None, Some(4)] {
    ///     driver.input(PRICES).pipe(&"tea".to_owned(), &price, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.store(CHANGES)?.get(&"tea".to_owned())?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flatten_values(self) -> KStream<'t, K, V, P> {
        self.then("flatten-values", |out| FlattenValues { out })
    }
}

struct FlattenValues<K, V> {
    out: Downstream<K, V>,
}

impl<K, V> Operator<K, Option<V>> for FlattenValues<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, Option<V>>) -> ProcessResult {
        match record.value {
            Some(value) => self.out.forward(cx, record.with_value(value)),
            None => Ok(()),
        }
    }
}

//! `count`: counts the records of each key.

use crate::catalog::Store;
use crate::dsl::{KStream, KTable, Partitioned};
use crate::serde::Data;

impl<'t, K: Data, V: 'static, P> KStream<'t, K, V, P> {
    /// Counts the records of each key: [`KStream::aggregate`] from 0, plus 1 per record.
    ///
    /// Creates `store` and its changelog `<application>-<store>-changelog`. A value of a type with a
    /// null, such as `Option`, counts whatever it is, other than in Kafka Streams, which ignores
    /// nulls: [`KStream::flatten_values`] drops them first.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const CLICKS: Topic<String, String> = Topic::new("clicks");
    /// const CLICK_COUNT: Store<String, u64> = Store::new("click-count");
    /// let topology = Topology::define("clicks", |t| {
    ///     t.stream(CLICKS).count(CLICK_COUNT);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for page in ["/", "/cart"] {
    ///     driver.input(CLICKS).pipe(&"ann".to_owned(), &page.to_owned(), Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.store(CLICK_COUNT)?.get(&"ann".to_owned())?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(self, store: Store<K, u64>) -> KTable<'t, K, u64>
    where
        P: Partitioned,
    {
        self.aggregate(store, || 0, |_, _, count| count + 1)
    }
}

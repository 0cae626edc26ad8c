//! `to_stream`: follows a table's updates as a stream.

use crate::dsl::{KStream, KTable};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::{Change, Record};
use crate::task::TaskContext;
use crate::topology::NodeKind;

impl<'t, K: 'static, V: 'static> KTable<'t, K, V> {
    /// The table's updates as a stream: the new value of each, `None` when the key was deleted.
    ///
    /// Updates of one key within one commit come as one. Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const ALERTS: Topic<String, i64> = Topic::new("alerts");
    /// const PRICE: Store<String, i64> = Store::new("price");
    /// let topology = Topology::define("alerts", |t| {
    ///     let updates = t.table(PRICES, PRICE).to_stream();
    ///     updates.flat_map_values(|_, price| price.filter(|price| *price > 100)).to(ALERTS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for price in [99, 101] {
    ///     driver.input(PRICES).pipe(&"tea".to_owned(), &price, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(ALERTS).read_values()?, [101]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_stream(self) -> KStream<'t, K, Option<V>> {
        let parents = [self.node()];
        let node = self.scope().add(
            "to-stream",
            NodeKind::Processor,
            &parents,
            &[],
            |building| {
                let out = building.downstream();
                building.operator::<K, Change<V>, _>(ToStream { out });
                Ok(())
            },
        );
        self.scope().handle(node)
    }
}

struct ToStream<K, V> {
    out: Downstream<K, Option<V>>,
}

impl<K, V> Operator<K, Change<V>> for ToStream<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, Change<V>>) -> ProcessResult {
        self.out.forward(cx, record.with_value(&record.value.new))
    }
}

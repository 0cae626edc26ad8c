//! `repartition`: brings the records of a rekeyed stream to the tasks that own their keys.

use std::sync::Arc;

use crate::catalog::repartition_topic;
use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Operator, SinkWriter};
use crate::record::Record;
use crate::serde::Data;
use crate::task::TaskContext;
use crate::topology::NodeKind;

impl<'t, K: Data, V: Data, P: Keying> KStream<'t, K, V, P> {
    /// Writes every record to the topic `<application>-<name>-repartition` and reads it back where
    /// its key belongs. Ends a sub-topology and begins another.
    ///
    /// This is a hop over the log, with a commit of its own: that is why it is written down and
    /// named. The topic gets as many partitions as the widest topic upstream. Records with one key
    /// keep their order if one task wrote them.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const ORDERS: Topic<u64, String> = Topic::new("orders");
    /// const COUNTS: Topic<String, u64> = Topic::new("counts");
    /// const BY_CUSTOMER: Store<String, u64> = Store::new("orders-by-customer");
    /// let topology = Topology::define("counts", |t| {
    ///     t.stream(ORDERS)
    ///         .select_key(|_, customer| customer.clone())
    ///         .repartition("by-customer")
    ///         .count(BY_CUSTOMER)
    ///         .to(COUNTS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for order in 1..=2 {
    ///     driver.input(ORDERS).pipe(&order, &"ann".to_owned(), Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(COUNTS).read_values()?, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn repartition(self, name: &str) -> KStream<'t, K, V> {
        let scope = self.scope();
        scope.check_name("repartition", name);
        let name: Arc<str> = name.into();
        let short = name.clone();
        let kind = NodeKind::RepartitionSink { name: name.clone() };
        scope.add(
            "repartition-sink",
            kind,
            &[self.node()],
            &[],
            move |building| {
                let topic = repartition_topic(&building.places().application, &short).into();
                let writer = SinkWriter::<K, V>::new(building, &topic)?;
                building.operator::<K, V, _>(RepartitionSink { writer });
                Ok(())
            },
        );
        scope.add_source(NodeKind::RepartitionSource { name: name.clone() }, &name)
    }
}

struct RepartitionSink<K: Data, V: Data> {
    writer: SinkWriter<K, V>,
}

impl<K: Data, V: Data> Operator<K, V> for RepartitionSink<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        self.writer.write(cx, record)
    }
}

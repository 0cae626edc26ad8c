//! `merge`: one stream of the records of two.

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// One stream of the records of this one and of `other`. Records of one input keep their order;
    /// between the inputs a task takes the record with the smaller timestamp first.
    ///
    /// Both streams must be keyed alike: a repartitioned stream does not merge with a rekeyed one.
    /// Their topics must have equally many partitions if an operator with a store comes behind.
    /// Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const LEFT: Topic<String, i64> = Topic::new("left");
    /// const RIGHT: Topic<String, i64> = Topic::new("right");
    /// const BOTH: Topic<String, i64> = Topic::new("both");
    /// let topology = Topology::define("both", |t| {
    ///     t.stream(LEFT).merge(t.stream(RIGHT)).to(BOTH);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(LEFT).pipe(&"k".to_owned(), &1, Timestamp::from_millis(0))?;
    /// driver.input(RIGHT).pipe(&"k".to_owned(), &2, Timestamp::from_millis(1))?;
    /// assert_eq!(driver.output(BOTH).read_values()?, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(self, other: KStream<'t, K, V, P>) -> KStream<'t, K, V, P> {
        self.scope()
            .add_pass_through("merge", &[self.node(), other.node()])
    }
}

/// Forwards every record as it is.
pub(crate) struct PassThrough<K, V> {
    pub(crate) out: Downstream<K, V>,
}

impl<K, V> Operator<K, V> for PassThrough<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        self.out.forward(cx, record)
    }
}

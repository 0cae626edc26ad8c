//! `select_key`: gives each record another key.

use std::sync::Arc;

use crate::dsl::{KStream, Keying, RekeyedStream};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Gives each record the key that `select` computes. Values, timestamps, headers and order
    /// stay.
    ///
    /// The record now lies in a partition that its new key does not belong to, so the result is a
    /// [`RekeyedStream`]: it has no stateful operator until it is repartitioned. Creates nothing
    /// durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const ORDERS: Topic<u64, String> = Topic::new("orders");
    /// const BY_CUSTOMER: Topic<String, String> = Topic::new("by-customer");
    /// let topology = Topology::define("rekey", |t| {
    ///     t.stream(ORDERS).select_key(|_, customer| customer.clone()).to(BY_CUSTOMER);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(ORDERS).pipe(&1, &"ann".to_owned(), Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output(BY_CUSTOMER).read_keys()?, ["ann"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select_key<K2: 'static>(
        self,
        select: impl Fn(&K, &V) -> K2 + Send + Sync + 'static,
    ) -> RekeyedStream<'t, K2, V> {
        let select = Arc::new(select);
        self.then("select-key", move |out| SelectKey {
            select: select.clone(),
            out,
        })
    }
}

struct SelectKey<F, K2, V> {
    select: Arc<F>,
    out: Downstream<K2, V>,
}

impl<F: Fn(&K, &V) -> K2, K, K2, V> Operator<K, V> for SelectKey<F, K2, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let key = (self.select)(record.key, record.value);
        self.out.forward(cx, record.with_key(&key))
    }
}

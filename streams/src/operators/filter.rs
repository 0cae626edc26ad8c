//! `filter`: keeps the records that a predicate accepts.

use std::sync::Arc;

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Keeps the records for which `predicate` is true, in their order; the others are dropped.
    ///
    /// Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const NUMBERS: Topic<String, i64> = Topic::new("numbers");
    /// const EVEN: Topic<String, i64> = Topic::new("even");
    /// let topology = Topology::define("evens", |t| {
    ///     t.stream(NUMBERS).filter(|_, n| n % 2 == 0).to(EVEN);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for n in 1..=4 {
    ///     driver.input(NUMBERS).pipe(&"k".to_owned(), &n, Timestamp::from_millis(n))?;
    /// }
    /// assert_eq!(driver.output(EVEN).read_values()?, [2, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(
        self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<'t, K, V, P> {
        let predicate = Arc::new(predicate);
        self.then("filter", move |out| Filter {
            predicate: predicate.clone(),
            out,
        })
    }
}

struct Filter<F, K, V> {
    predicate: Arc<F>,
    out: Downstream<K, V>,
}

impl<F: Fn(&K, &V) -> bool, K, V> Operator<K, V> for Filter<F, K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        if (self.predicate)(record.key, record.value) {
            self.out.forward(cx, record)
        } else {
            Ok(())
        }
    }
}

//! `split`: named branches, each record to the first that accepts it.

use std::fmt;
use std::sync::Arc;

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// One branch of a [`KStream::split`].
pub struct Branch<K, V> {
    name: &'static str,
    predicate: Predicate<K, V>,
}

impl<K, V> Branch<K, V> {
    /// A branch for the records that `predicate` accepts and no branch before it has taken.
    pub fn when(
        name: &'static str,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            predicate: Arc::new(predicate),
        }
    }

    /// A branch for all records that no branch before it has taken.
    pub fn otherwise(name: &'static str) -> Self {
        Self::when(name, |_, _| true)
    }
}

impl<K, V> fmt::Debug for Branch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Branch({})", self.name)
    }
}

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Splits the stream into named branches. A record goes to the first branch whose predicate
    /// accepts it, and to none if there is no such branch. Order stays within a branch.
    ///
    /// A branch's name is the label of its node in [`crate::Topology::describe`]. Creates nothing
    /// durable.
    ///
    /// ```
    /// # use millrace_streams::{Branch, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const ORDERS: Topic<String, i64> = Topic::new("orders");
    /// const LARGE: Topic<String, i64> = Topic::new("large");
    /// const SMALL: Topic<String, i64> = Topic::new("small");
    /// let topology = Topology::define("sizes", |t| {
    ///     let [large, small] = t
    ///         .stream(ORDERS)
    ///         .split([Branch::when("large", |_, n| *n > 100), Branch::otherwise("small")]);
    ///     large.to(LARGE);
    ///     small.to(SMALL);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for n in [500, 5] {
    ///     driver.input(ORDERS).pipe(&"k".to_owned(), &n, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(LARGE).read_values()?, [500]);
    /// assert_eq!(driver.output(SMALL).read_values()?, [5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split<const N: usize>(self, branches: [Branch<K, V>; N]) -> [KStream<'t, K, V, P>; N] {
        let names = branches.each_ref().map(|branch| branch.name);
        let predicates: Arc<[Predicate<K, V>]> = branches
            .into_iter()
            .map(|branch| branch.predicate)
            .collect();
        let split: KStream<'t, K, V, P> = self.then("split", move |out| Split {
            predicates: predicates.clone(),
            out,
        });
        names.map(|name| split.scope().add_pass_through(name, &[split.node()]))
    }
}

/// Its children are the branches, in order, and nothing else: nobody else gets hold of the node.
struct Split<K, V> {
    predicates: Arc<[Predicate<K, V>]>,
    out: Downstream<K, V>,
}

impl<K, V> Operator<K, V> for Split<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let accepts = |predicate: &Predicate<K, V>| predicate(record.key, record.value);
        match self.predicates.iter().position(accepts) {
            Some(branch) => self.out.forward_to(branch, cx, record),
            None => Ok(()),
        }
    }
}

//! `join` and `left_join` of a stream with a table.

use std::sync::Arc;

use crate::dsl::{KStream, KTable, Partitioned};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::serde::Data;
use crate::store::KeyValueStore;
use crate::task::TaskContext;
use crate::topology::NodeKind;

impl<'t, K: Data, V: 'static, P> KStream<'t, K, V, P> {
    /// Joins each record with the table's value under the record's key; a record without such a
    /// value is dropped.
    ///
    /// Only records of the stream make output: an update of the table is seen by the records that
    /// come after it. Between stream and table a task takes the record with the smaller timestamp
    /// first. Stream and table must have equally many partitions. Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const NAMES: Topic<u64, String> = Topic::new("names");
    /// const NAME: Store<u64, String> = Store::new("name");
    /// const VISITS: Topic<u64, String> = Topic::new("visits");
    /// const GREETINGS: Topic<u64, String> = Topic::new("greetings");
    /// let topology = Topology::define("greetings", |t| {
    ///     let names = t.table(NAMES, NAME);
    ///     t.stream(VISITS).join(names, |_, name| format!("hello {name}")).to(GREETINGS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// let at = Timestamp::from_millis(0);
    /// driver.input(VISITS).pipe(&1, &"too early".to_owned(), at)?;
    /// driver.input(NAMES).pipe(&1, &"ann".to_owned(), at)?;
    /// driver.input(VISITS).pipe(&1, &"in time".to_owned(), at)?;
    /// assert_eq!(driver.output(GREETINGS).read_values()?, ["hello ann"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join<T: Data, R: 'static>(
        self,
        table: KTable<'t, K, T>,
        joiner: impl Fn(&V, &T) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R>
    where
        P: Partitioned,
    {
        self.join_with("join", table, move |value, found| {
            Some(joiner(value, found?))
        })
    }

    /// As [`KStream::join`], but a record without a value in the table goes on with `None`.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const NAMES: Topic<u64, String> = Topic::new("names");
    /// const NAME: Store<u64, String> = Store::new("name");
    /// const VISITS: Topic<u64, String> = Topic::new("visits");
    /// const GREETINGS: Topic<u64, String> = Topic::new("greetings");
    /// let topology = Topology::define("greetings", |t| {
    ///     let names = t.table(NAMES, NAME);
    ///     t.stream(VISITS)
    ///         .left_join(names, |_, name| format!("hello {}", name.map_or("you", |name| name)))
    ///         .to(GREETINGS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// let at = Timestamp::from_millis(0);
    /// driver.input(VISITS).pipe(&1, &"early".to_owned(), at)?;
    /// driver.input(NAMES).pipe(&1, &"ann".to_owned(), at)?;
    /// driver.input(VISITS).pipe(&1, &"late".to_owned(), at)?;
    /// assert_eq!(driver.output(GREETINGS).read_values()?, ["hello you", "hello ann"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn left_join<T: Data, R: 'static>(
        self,
        table: KTable<'t, K, T>,
        joiner: impl Fn(&V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R>
    where
        P: Partitioned,
    {
        self.join_with("left-join", table, move |value, found| {
            Some(joiner(value, found))
        })
    }

    fn join_with<T: Data, R: 'static>(
        self,
        label: &'static str,
        table: KTable<'t, K, T>,
        joiner: impl Fn(&V, Option<&T>) -> Option<R> + Send + Sync + 'static,
    ) -> KStream<'t, K, R> {
        let joiner = Arc::new(joiner);
        let scope = self.scope();
        let slot = scope.store_index(table.store.name());
        let parents = [self.node()];
        let node = scope.add(
            label,
            NodeKind::Processor,
            &parents,
            &[slot],
            move |building| {
                let table = KeyValueStore::new(building.locator(), table.store)?;
                let out = building.downstream();
                building.operator::<K, V, _>(JoinTable {
                    table,
                    joiner: joiner.clone(),
                    out,
                });
                Ok(())
            },
        );
        scope.handle(node)
    }
}

struct JoinTable<F, K: Data, T: Data, R> {
    table: KeyValueStore<K, T>,
    joiner: Arc<F>,
    out: Downstream<K, R>,
}

impl<F, K, V, T, R> Operator<K, V> for JoinTable<F, K, T, R>
where
    F: Fn(&V, Option<&T>) -> Option<R>,
    K: Data,
    T: Data,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let found = self.table.get(cx, record.key)?;
        match (self.joiner)(record.value, found.as_ref()) {
            Some(joined) => self.out.forward(cx, record.with_value(&joined)),
            None => Ok(()),
        }
    }
}

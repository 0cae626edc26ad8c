//! `join_global` and `left_join_global` of a stream with a global table.

use std::sync::Arc;

use crate::dsl::{GlobalKTable, KStream, Keying};
use crate::error::ProcessResult;
use crate::global::GlobalLookup;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::serde::Data;
use crate::task::TaskContext;
use crate::topology::NodeKind;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Joins each record with the global table's value under the key that `select` computes from
    /// the record; a record without such a value is dropped. `select` answers a key, or an `Option`
    /// of one where a record may have none.
    ///
    /// Any stream may be joined, however it is keyed or partitioned: every instance holds the whole
    /// table. The look-up sees the table as it is when the record is processed: timestamps do not
    /// matter, and a record that comes again may find another value. Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const RATES: Topic<String, i64> = Topic::new("rates").compacted();
    /// const RATE: Store<String, i64> = Store::new("rate");
    /// const SALES: Topic<u64, String> = Topic::new("sales-by-currency");
    /// const CENTS: Topic<u64, i64> = Topic::new("cents");
    /// let topology = Topology::define("cents", |t| {
    ///     let rates = t.global_table(RATES, RATE);
    ///     t.stream(SALES)
    ///         .join_global(rates, |_, currency| currency.clone(), |_, rate| *rate)
    ///         .to(CENTS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// let at = Timestamp::from_millis(0);
    /// driver.input(RATES).pipe(&"eur".to_owned(), &108, at)?;
    /// driver.input(SALES).pipe(&1, &"eur".to_owned(), at)?;
    /// driver.input(SALES).pipe(&2, &"xau".to_owned(), at)?;
    /// assert_eq!(driver.output(CENTS).read_key_values()?, [(1, 108)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_global<GK: Data, S: Into<Option<GK>>, T: Data, R: 'static>(
        self,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&V, &T) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let select = move |key: &K, value: &V| select(key, value).into();
        let joiner = move |value: &V, found: Option<&T>| Some(joiner(value, found?));
        self.join_global_with("join-global", table, select, joiner)
    }

    /// As [`KStream::join_global`], but a record without a value in the table, or without a key for
    /// it, goes on with `None`.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const NAMES: Topic<u64, String> = Topic::new("names").compacted();
    /// const NAME: Store<u64, String> = Store::new("name");
    /// const VISITS: Topic<String, u64> = Topic::new("visits");
    /// const GREETINGS: Topic<String, String> = Topic::new("greetings");
    /// let topology = Topology::define("greetings", |t| {
    ///     let names = t.global_table(NAMES, NAME);
    ///     t.stream(VISITS)
    ///         .left_join_global(
    ///             names,
    ///             |_, visitor| (*visitor != 0).then_some(*visitor),
    ///             |_, name| format!("hello {}", name.map_or("stranger", |name| name)),
    ///         )
    ///         .to(GREETINGS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// let at = Timestamp::from_millis(0);
    /// driver.input(NAMES).pipe(&1, &"ann".to_owned(), at)?;
    /// for visitor in [1, 0] {
    ///     driver.input(VISITS).pipe(&"/".to_owned(), &visitor, at)?;
    /// }
    /// assert_eq!(driver.output(GREETINGS).read_values()?, ["hello ann", "hello stranger"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn left_join_global<GK: Data, S: Into<Option<GK>>, T: Data, R: 'static>(
        self,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&T>) -> R + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let select = move |key: &K, value: &V| select(key, value).into();
        let joiner = move |value: &V, found: Option<&T>| Some(joiner(value, found));
        self.join_global_with("left-join-global", table, select, joiner)
    }

    fn join_global_with<GK: Data, T: Data, R: 'static>(
        self,
        label: &'static str,
        table: GlobalKTable<'t, GK, T>,
        select: impl Fn(&K, &V) -> Option<GK> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&T>) -> Option<R> + Send + Sync + 'static,
    ) -> KStream<'t, K, R, P> {
        let (select, joiner) = (Arc::new(select), Arc::new(joiner));
        let parents = [self.node()];
        let kind = NodeKind::GlobalLookup {
            store: table.store.name().into(),
        };
        let node = self
            .scope()
            .add(label, kind, &parents, &[], move |building| {
                let operator = JoinGlobal {
                    table: GlobalLookup::new(building.locator(), table.store)?,
                    select: select.clone(),
                    joiner: joiner.clone(),
                    out: building.downstream(),
                };
                building.operator::<K, V, _>(operator);
                Ok(())
            });
        self.scope().handle(node)
    }
}

struct JoinGlobal<S, F, GK: Data, T: Data, K, R> {
    table: GlobalLookup<GK, T>,
    select: Arc<S>,
    joiner: Arc<F>,
    out: Downstream<K, R>,
}

impl<S, F, GK, T, K, V, R> Operator<K, V> for JoinGlobal<S, F, GK, T, K, R>
where
    S: Fn(&K, &V) -> Option<GK>,
    F: Fn(&V, Option<&T>) -> Option<R>,
    GK: Data,
    T: Data,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let found = match (self.select)(record.key, record.value) {
            Some(key) => self.table.get(cx, &key)?,
            None => None,
        };
        match (self.joiner)(record.value, found.as_ref()) {
            Some(joined) => self.out.forward(cx, record.with_value(&joined)),
            None => Ok(()),
        }
    }
}

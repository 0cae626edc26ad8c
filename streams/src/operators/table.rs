//! `table` and `global_table`: read a topic as a table. And what every table does: hold its updates
//! back until the commit.

use crate::catalog::{Store, Topic};
use crate::dsl::{GlobalKTable, KTable, Scope};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::{Change, Record};
use crate::serde::Data;
use crate::store::{KeyValueStore, Timestamped};
use crate::task::{ChangeList, RawChange, TaskContext};
use crate::topology::{GlobalDefinition, Hooks, NodeId, NodeKind};

impl Scope {
    /// Reads a topic as a table: the newest value of each key, kept in `store`. A null value deletes
    /// the key.
    ///
    /// Creates the store and its changelog `<application>-<store>-changelog`. Updates of one key
    /// within one commit go on as one, with the value before the first and after the last of them,
    /// and with the timestamp and headers of the last.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const PRICES: Topic<String, i64> = Topic::new("prices");
    /// const PRICE: Store<String, i64> = Store::new("price");
    /// let topology = Topology::define("prices", |t| {
    ///     t.table(PRICES, PRICE);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(PRICES).pipe(&"tea".to_owned(), &3, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.store(PRICE)?.get(&"tea".to_owned())?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table<K: Data, V: Data>(
        &self,
        topic: Topic<K, V>,
        store: Store<K, V>,
    ) -> KTable<'_, K, V> {
        let kind = NodeKind::Source {
            topic: topic.name().into(),
        };
        self.add_topic(topic);
        let source = self.add_source::<K, Option<V>>(kind, topic.name());
        self.add_table("table", source.node(), store, || TopicUpdate)
    }

    /// Reads a topic as a table that every instance of the application holds whole, so that a
    /// record with any key may look up any of its keys. A null value deletes the key.
    ///
    /// Creates the global store; it has no changelog but the topic itself, which should be
    /// compacted. Every instance reads it to its end before the first task starts. A record that is
    /// no `(K, V)` goes to the deserialization handler; a table writes nothing, so what would be a
    /// dead letter is counted and left out.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const RATES: Topic<String, i64> = Topic::new("rates").compacted();
    /// const RATE: Store<String, i64> = Store::new("rate");
    /// let topology = Topology::define("rates", |t| {
    ///     t.global_table(RATES, RATE);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(RATES).pipe(&"eur".to_owned(), &108, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.store(RATE)?.get(&"eur".to_owned())?, Some(108));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn global_table<K: Data, V: Data>(
        &self,
        topic: Topic<K, V>,
        store: Store<K, V>,
    ) -> GlobalKTable<'_, K, V> {
        self.add_topic(topic);
        self.add_global(GlobalDefinition::of(topic, store));
        GlobalKTable { scope: self, store }
    }

    /// Adds an operator that turns records `(K, V)` into updates of a table in `store`.
    pub(crate) fn add_table<K, V, T, U>(
        &self,
        label: &'static str,
        parent: NodeId,
        store: Store<K, T>,
        update: impl Fn() -> U + Send + Sync + 'static,
    ) -> KTable<'_, K, T>
    where
        K: Data,
        V: 'static,
        T: Data,
        U: TableUpdate<K, V, T> + 'static,
    {
        let slot = self.add_store(store);
        let node = self.add(
            label,
            NodeKind::Processor,
            &[parent],
            &[slot],
            move |building| {
                let operator = TableOperator {
                    store: KeyValueStore::new(building.locator(), store)?,
                    update: update(),
                    changes: ChangeList::default(),
                    out: building.downstream(),
                };
                building.stateful::<K, V, _>(operator);
                Ok(())
            },
        );
        KTable {
            scope: self,
            node,
            store,
        }
    }
}

/// How one record changes a table.
pub(crate) trait TableUpdate<K: Data, V, T: Data> {
    fn apply(
        &self,
        table: &mut KeyValueStore<K, T>,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult;
}

/// The update of a table that is read from a topic.
struct TopicUpdate;

impl<K: Data, V: Data> TableUpdate<K, Option<V>, V> for TopicUpdate {
    fn apply(
        &self,
        table: &mut KeyValueStore<K, V>,
        cx: &mut TaskContext,
        record: Record<'_, K, Option<V>>,
    ) -> ProcessResult {
        match record.value {
            Some(value) => table.put_at(cx, record.key, value, record.timestamp),
            None => table.delete(cx, record.key),
        }
    }
}

/// Keeps a table: each record updates the store at once, and what has changed goes on at the
/// commit, once per key, with the timestamp of the value or of the record that has deleted it, and
/// with the headers of the key's last record.
struct TableOperator<U, K: Data, T: Data> {
    store: KeyValueStore<K, T>,
    update: U,
    changes: ChangeList,
    out: Downstream<K, Change<T>>,
}

impl<U, K, V, T> Operator<K, V> for TableOperator<U, K, T>
where
    U: TableUpdate<K, V, T>,
    K: Data,
    T: Data,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        self.update.apply(&mut self.store, cx, record)?;
        if !self.out.is_empty() {
            self.store.keep_headers(cx, record.headers);
        }
        Ok(())
    }
}

impl<U, K: Data, T: Data> Hooks for TableOperator<U, K, T> {
    fn flush(&mut self, cx: &mut TaskContext) -> ProcessResult {
        if self.out.is_empty() {
            return Ok(());
        }
        let slot = self.store.slot();
        self.changes.take_from(cx, slot)?;
        for change in self.changes.iter() {
            let forwarded = forward(&mut self.store, &self.out, cx, change);
            cx.settle_update(slot, change, forwarded)?;
        }
        Ok(())
    }
}

fn forward<K: Data, T: Data>(
    store: &mut KeyValueStore<K, T>,
    out: &Downstream<K, Change<T>>,
    cx: &mut TaskContext,
    change: RawChange<'_>,
) -> ProcessResult {
    let key = store.decode_key(change.key)?;
    let old = store.decode_value(change.old)?;
    let new = store.decode_value(change.new)?;
    let timestamp = match &new {
        Some(Timestamped { timestamp, .. }) => *timestamp,
        None => change.deleted_at.unwrap_or_else(|| cx.stream_time()),
    };
    let value = Change {
        old: old.map(|v| v.value),
        new: new.map(|v| v.value),
    };
    let record = Record {
        key: &key,
        value: &value,
        timestamp,
        headers: change.headers,
    };
    out.forward(cx, record)
}

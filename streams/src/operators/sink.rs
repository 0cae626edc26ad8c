//! `to`: writes a stream to a topic.

use std::sync::Arc;

use crate::catalog::Topic;
use crate::dsl::{KStream, KTable, Keying};
use crate::error::{ProcessError, ProcessResult};
use crate::headers::HeaderList;
use crate::log::{OutputRecord, TopicSlot};
use crate::operators::Operator;
use crate::partitioner::partition_of;
use crate::record::{Change, Record};
use crate::serde::{Data, Presence, Role, Serde};
use crate::task::TaskContext;
use crate::topology::{Building, NodeKind};

impl<K: Data, V: Data, P: Keying> KStream<'_, K, V, P> {
    /// Writes every record to `topic`, in order, with its timestamp and headers. The partition
    /// follows from the key as Java's default partitioner computes it. An output that has no bytes,
    /// or too many, goes to the production handler, alone.
    ///
    /// The topic must exist; it is not created.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const ORDERS: Topic<u64, String> = Topic::new("orders");
    /// const COPY: Topic<u64, String> = Topic::new("copy");
    /// let topology = Topology::define("copy", |t| t.stream(ORDERS).to(COPY))?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(ORDERS).pipe(&1, &"tea".to_owned(), Timestamp::from_millis(5))?;
    /// let copy = driver.output(COPY).read()?.expect("a record");
    /// assert_eq!((copy.value.as_str(), copy.timestamp.as_millis()), ("tea", 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to(self, topic: Topic<K, V>) {
        let name: Arc<str> = topic.name().into();
        let kind = NodeKind::Sink {
            topic: name.clone(),
        };
        self.scope().add_topic(topic);
        self.scope()
            .add("sink", kind, &[self.node()], &[], move |building| {
                let writer = SinkWriter::<K, V>::new(building, &name)?;
                building.operator::<K, V, _>(Sink { writer });
                Ok(())
            });
    }
}

impl<K: Data, V: Data> KTable<'_, K, V> {
    /// Writes every update of the table to `topic`: the new value, or a tombstone when the key was
    /// deleted. Updates of one key within one commit come as one.
    ///
    /// The topic must exist; it is not created. Whoever reads a tombstone needs an `Option` of the
    /// value, or reads the topic as a table.
    ///
    /// ```
    /// # use millrace_streams::{Store, Topic, Topology, TopologyTestDriver, Timestamp};
    /// const PRICES: Topic<String, Option<i64>> = Topic::new("prices");
    /// const PRICE: Store<String, i64> = Store::new("price");
    /// const COPY: Topic<String, i64> = Topic::new("price-copy");
    /// const NULLABLE_COPY: Topic<String, Option<i64>> = Topic::new("price-copy");
    /// let topology = Topology::define("price-copy", |t| {
    ///     t.table(PRICES.of_values(), PRICE).to(COPY);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// for price in [Some(3), None] {
    ///     driver.input(PRICES).pipe(&"tea".to_owned(), &price, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output(NULLABLE_COPY).read_values()?, [Some(3), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to(self, topic: Topic<K, V>) {
        let name: Arc<str> = topic.name().into();
        let kind = NodeKind::Sink {
            topic: name.clone(),
        };
        self.scope().add_topic(topic);
        self.scope()
            .add("sink", kind, &[self.node()], &[], move |building| {
                let writer = SinkWriter::<K, Option<V>>::new(building, &name)?;
                building.operator::<K, Change<V>, _>(TableSink { writer });
                Ok(())
            });
    }
}

struct Sink<K: Data, V: Data> {
    writer: SinkWriter<K, V>,
}

impl<K: Data, V: Data> Operator<K, V> for Sink<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        self.writer.write(cx, record)
    }
}

struct TableSink<K: Data, V: Data> {
    writer: SinkWriter<K, Option<V>>,
}

impl<K: Data, V: Data> Operator<K, Change<V>> for TableSink<K, V> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, Change<V>>) -> ProcessResult {
        self.writer.write(cx, record.with_value(&record.value.new))
    }
}

/// Serializes records for one topic and puts them into the task's output.
pub(crate) struct SinkWriter<K: Data, V: Data> {
    topic: Arc<str>,
    slot: TopicSlot,
    partitions: i32,
    keys: K::Serde,
    values: V::Serde,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: HeaderList,
    /// Where the next record without a key goes.
    next_partition: i32,
}

impl<K: Data, V: Data> SinkWriter<K, V> {
    pub(crate) fn new(building: &mut Building<'_>, topic: &Arc<str>) -> Result<Self, ProcessError> {
        let (slot, partitions) = building.sink(topic)?;
        Ok(Self {
            topic: topic.clone(),
            slot,
            partitions,
            keys: building.places().serde::<K>(topic, Role::Key)?,
            values: building.places().serde::<V>(topic, Role::Value)?,
            key: Vec::new(),
            value: Vec::new(),
            headers: HeaderList::new(),
            next_partition: 0,
        })
    }

    /// Writes a record. One that cannot be written is for the production handler: it alone is set
    /// aside, so that the operators beside and before this one go on.
    pub(crate) fn write(
        &mut self,
        cx: &mut TaskContext,
        record: Record<'_, K, V>,
    ) -> ProcessResult {
        let encoded = self.encode(&record);
        let checked = encoded.and_then(|presence| self.check_size(cx).map(|()| presence));
        let (key, value) = match checked {
            Ok(presence) => presence,
            Err(error) => return cx.refuse_output(&self.topic, &self.key, error),
        };
        let key = (key == Presence::Value).then_some(self.key.as_slice());
        let output = OutputRecord {
            topic: self.slot,
            partition: match key {
                Some(key) => partition_of(key, self.partitions),
                None => next_round_robin(&mut self.next_partition, self.partitions),
            },
            timestamp: record.timestamp,
            headers: self.headers.view(),
            key,
            value: (value == Presence::Value).then_some(self.value.as_slice()),
        };
        cx.outputs.push(output);
        Ok(())
    }

    /// Turns key and value into bytes.
    fn encode(&mut self, record: &Record<'_, K, V>) -> Result<(Presence, Presence), ProcessError> {
        self.key.clear();
        self.value.clear();
        self.headers.copy_from(record.headers);
        let (key, value) = (&mut self.key, &mut self.value);
        let key = self.keys.serialize(record.key, &mut self.headers, key)?;
        let value = self
            .values
            .serialize(record.value, &mut self.headers, value)?;
        Ok((key, value))
    }

    fn check_size(&self, cx: &TaskContext) -> ProcessResult {
        let bytes = self.key.len() + self.value.len() + self.headers.view().encoded().len();
        if bytes > cx.record_bytes_max {
            let (target, limit) = (self.topic.clone(), cx.record_bytes_max);
            return Err(ProcessError::TooLarge {
                target,
                bytes,
                limit,
            });
        }
        Ok(())
    }
}

fn next_round_robin(next: &mut i32, partitions: i32) -> i32 {
    let partition = *next;
    *next = (*next + 1) % partitions.max(1);
    partition
}

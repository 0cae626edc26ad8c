//! Sources: `stream`, and the reading end of a repartition topic.

use crate::catalog::Topic;
use crate::dsl::{KStream, Keyed, Scope};
use crate::error::{ProcessError, ProcessResult};
use crate::log::RawRecord;
use crate::operators::Downstream;
use crate::record::Record;
use crate::serde::{Data, Role, Serde};
use crate::task::TaskContext;
use crate::topology::{NodeKind, Source};

impl Scope {
    /// Reads a topic as a stream of records.
    ///
    /// Records of one partition come in their order. A task that reads several partitions takes the
    /// record with the smallest timestamp first. A record that is no `(K, V)` goes to the
    /// deserialization handler: a null key too, unless `K` is an `Option`. Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology};
    /// const ORDERS: Topic<u64, String> = Topic::new("orders");
    /// const COPY: Topic<u64, String> = Topic::new("copy");
    /// let topology = Topology::define("copy", |t| t.stream(ORDERS).to(COPY))?;
    /// assert_eq!(topology.source_topics(), ["orders"]);
    /// # Ok::<(), millrace_streams::TopologyError>(())
    /// ```
    pub fn stream<K: Data, V: Data>(&self, topic: Topic<K, V>) -> KStream<'_, K, V> {
        self.add_topic(topic);
        self.add_source(
            NodeKind::Source {
                topic: topic.name().into(),
            },
            topic.name(),
        )
    }

    /// Adds a source node; `name` is the topic's name, or a repartition topic's short name.
    pub(crate) fn add_source<K: Data, V: Data>(
        &self,
        kind: NodeKind,
        name: &str,
    ) -> KStream<'_, K, V, Keyed> {
        self.check_source(name);
        let node = self.add("source", kind, &[], &[], |building| {
            let topic = building.source_topic();
            let source = TypedSource::<K, V> {
                keys: building.places().serde::<K>(&topic, Role::Key)?,
                values: building.places().serde::<V>(&topic, Role::Value)?,
                out: building.downstream(),
            };
            building.source(topic, source);
            Ok(())
        });
        self.handle(node)
    }
}

struct TypedSource<K: Data, V: Data> {
    keys: K::Serde,
    values: V::Serde,
    out: Downstream<K, V>,
}

impl<K: Data, V: Data> Source for TypedSource<K, V> {
    fn process(&mut self, cx: &mut TaskContext, raw: RawRecord<'_>) -> ProcessResult {
        let key = self
            .keys
            .deserialize(raw.key, raw.headers)
            .map_err(ProcessError::Input)?;
        let value = self
            .values
            .deserialize(raw.value, raw.headers)
            .map_err(ProcessError::Input)?;
        let (timestamp, headers) = (raw.timestamp, raw.headers);
        // Only now: what cannot be read does not move stream time.
        cx.begin_record(timestamp);
        self.out.forward(
            cx,
            Record {
                key: &key,
                value: &value,
                timestamp,
                headers,
            },
        )
    }
}

//! `map_values`: turns each value into another; the key stays.

use std::sync::Arc;

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Turns each value into another. Keys, timestamps, headers and order stay.
    ///
    /// Creates nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const WORDS: Topic<String, String> = Topic::new("words");
    /// const LENGTHS: Topic<String, u64> = Topic::new("lengths");
    /// let topology = Topology::define("lengths", |t| {
    ///     t.stream(WORDS).map_values(|_, word| word.len() as u64).to(LENGTHS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(WORDS).pipe(&"k".to_owned(), &"mill".to_owned(), Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output(LENGTHS).read_values()?, [4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_values<V2: 'static>(
        self,
        map: impl Fn(&K, &V) -> V2 + Send + Sync + 'static,
    ) -> KStream<'t, K, V2, P> {
        let map = Arc::new(map);
        self.then("map-values", move |out| MapValues {
            map: map.clone(),
            out,
        })
    }
}

struct MapValues<F, K, V2> {
    map: Arc<F>,
    out: Downstream<K, V2>,
}

impl<F: Fn(&K, &V) -> V2, K, V, V2> Operator<K, V> for MapValues<F, K, V2> {
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        let value = (self.map)(record.key, record.value);
        self.out.forward(cx, record.with_value(&value))
    }
}

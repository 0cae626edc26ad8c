//! `flat_map_values`: turns each value into any number of values; the key stays.

use std::sync::Arc;

use crate::dsl::{KStream, Keying};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Turns each value into any number of values, forwarded in the iterator's order with the key,
    /// timestamp and headers of the record they come from.
    ///
    /// An `Option` is an iterator of none or one: so this also is the filter that maps. Creates
    /// nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const LINES: Topic<String, String> = Topic::new("lines");
    /// const NUMBERS: Topic<String, i64> = Topic::new("numbers");
    /// let topology = Topology::define("numbers", |t| {
    ///     t.stream(LINES)
    ///         .flat_map_values(|_, line| {
    ///             line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<i64>>()
    ///         })
    ///         .to(NUMBERS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(LINES).pipe(&"k".to_owned(), &"1 two 3".to_owned(), Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output(NUMBERS).read_values()?, [1, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flat_map_values<V2: 'static, I: IntoIterator<Item = V2> + 'static>(
        self,
        map: impl Fn(&K, &V) -> I + Send + Sync + 'static,
    ) -> KStream<'t, K, V2, P> {
        let map = Arc::new(map);
        self.then("flat-map-values", move |out| FlatMapValues {
            map: map.clone(),
            out,
        })
    }
}

struct FlatMapValues<F, K, V2> {
    map: Arc<F>,
    out: Downstream<K, V2>,
}

impl<F, I, K, V, V2> Operator<K, V> for FlatMapValues<F, K, V2>
where
    F: Fn(&K, &V) -> I,
    I: IntoIterator<Item = V2>,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        for value in (self.map)(record.key, record.value) {
            self.out.forward(cx, record.with_value(&value))?;
        }
        Ok(())
    }
}

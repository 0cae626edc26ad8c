//! `flat_map`: turns each record into any number of records with other keys and values.

use std::sync::Arc;

use crate::dsl::{KStream, Keying, RekeyedStream};
use crate::error::ProcessResult;
use crate::operators::{Downstream, Operator};
use crate::record::Record;
use crate::task::TaskContext;

impl<'t, K: 'static, V: 'static, P: Keying> KStream<'t, K, V, P> {
    /// Turns each record into any number of pairs of key and value, forwarded in the iterator's
    /// order with the timestamp and headers of the record they come from.
    ///
    /// The keys are new, so the result is a [`RekeyedStream`]: see [`KStream::select_key`]. Creates
    /// nothing durable.
    ///
    /// ```
    /// # use millrace_streams::{Topic, Topology, TopologyTestDriver, Timestamp};
    /// const LINES: Topic<u64, String> = Topic::new("lines");
    /// const LENGTHS: Topic<String, u64> = Topic::new("lengths");
    /// let topology = Topology::define("lengths", |t| {
    ///     t.stream(LINES)
    ///         .flat_map(|_, line| {
    ///             line.split(' ')
    ///                 .map(|word| (word.to_owned(), word.len() as u64))
    ///                 .collect::<Vec<_>>()
    ///         })
    ///         .to(LENGTHS);
    /// })?;
    /// let mut driver = TopologyTestDriver::new(&topology)?;
    /// driver.input(LINES).pipe(&1, &"to be".to_owned(), Timestamp::from_millis(0))?;
    /// assert_eq!(driver.output(LENGTHS).read_keys()?, ["to", "be"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flat_map<K2: 'static, V2: 'static, I: IntoIterator<Item = (K2, V2)> + 'static>(
        self,
        map: impl Fn(&K, &V) -> I + Send + Sync + 'static,
    ) -> RekeyedStream<'t, K2, V2> {
        let map = Arc::new(map);
        self.then("flat-map", move |out| FlatMap {
            map: map.clone(),
            out,
        })
    }
}

struct FlatMap<F, K2, V2> {
    map: Arc<F>,
    out: Downstream<K2, V2>,
}

impl<F, I, K, V, K2, V2> Operator<K, V> for FlatMap<F, K2, V2>
where
    F: Fn(&K, &V) -> I,
    I: IntoIterator<Item = (K2, V2)>,
{
    fn process(&mut self, cx: &mut TaskContext, record: Record<'_, K, V>) -> ProcessResult {
        for (key, value) in (self.map)(record.key, record.value) {
            self.out
                .forward(cx, record.with_key(&key).with_value(&value))?;
        }
        Ok(())
    }
}

//! The Processor API: an operator of one's own, with state, timers and full control of what goes on.

use std::fmt;
use std::time::Duration;

use crate::error::ProcessResult;
use crate::operators::Downstream;
use crate::record::{Record, RecordMetadata};
use crate::store::{StoreAccess, sealed};
use crate::task::{PunctuationId, PunctuationKind, TaskContext};
use crate::time::Timestamp;

/// An operator with state of its own: [`crate::KStream::process`] runs it.
///
/// Each task has its own processor, made by the supplier, which hands it its store handles and
/// whatever else it needs. Fields of the processor are forgotten at a rebalance, a crash or an
/// aborted transaction; what must survive belongs into a store. It reads no clock, no random source
/// and no socket: then a replay gives the same output.
///
/// ```
/// use std::time::Duration;
/// use millrace_streams::{
///     InitContext, KeyValueStore, Processor, ProcessorContext, ProcessResult, Punctuation,
///     PunctuationKind, Record, Store, Timestamp, Topic, Topology, TopologyTestDriver,
/// };
///
/// const SALES: Topic<String, i64> = Topic::new("sales");
/// const HOURLY: Topic<String, i64> = Topic::new("hourly");
/// const SUMS: Store<String, i64> = Store::new("hourly-sums");
///
/// /// Sums the sales of each shop, and tells once an hour which sums have come to `least`.
/// struct HourlySums {
///     sums: KeyValueStore<String, i64>,
///     least: i64,
/// }
///
/// impl Processor<String, i64, String, i64> for HourlySums {
///     fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
///         cx.schedule(PunctuationKind::StreamTime, Duration::from_secs(3600));
///         Ok(())
///     }
///
///     fn process(
///         &mut self,
///         cx: &mut ProcessorContext<'_, String, i64>,
///         record: Record<'_, String, i64>,
///     ) -> ProcessResult {
///         let sum = self.sums.get(cx, record.key)?.unwrap_or(0);
///         self.sums.put(cx, record.key, &(sum + record.value))
///     }
///
///     fn punctuate(
///         &mut self,
///         cx: &mut ProcessorContext<'_, String, i64>,
///         punctuation: Punctuation,
///     ) -> ProcessResult {
///         for (shop, sum) in self.sums.all(cx)? {
///             if sum >= self.least {
///                 cx.forward(Record::new(&shop, &sum, punctuation.at))?;
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let topology = Topology::define("hourly", |t| {
///     t.stream(SALES).process(SUMS, |sums| HourlySums { sums, least: 5 }).to(HOURLY);
/// })?;
/// let mut driver = TopologyTestDriver::new(&topology)?;
/// let hour = |n: i64| Timestamp::from_millis(n * 3_600_000);
/// driver.input(SALES).pipe(&"north".to_owned(), &3, hour(1))?;
/// driver.input(SALES).pipe(&"north".to_owned(), &4, hour(2))?;
/// assert_eq!(driver.output(HOURLY).read_values()?, [7]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Processor<K, V, K2, V2>: 'static {
    /// Called once, when the task's stores are restored and before its first record: the place to
    /// schedule punctuations, and to read what the stores hold.
    ///
    /// # Errors
    /// What keeps the processor from its work; the task then fails.
    fn init(&mut self, _cx: &mut InitContext<'_>) -> ProcessResult {
        Ok(())
    }

    /// Processes one record.
    ///
    /// # Errors
    /// What the processor cannot handle; nothing of the record stays then, and the process handler
    /// decides about it.
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, K2, V2>,
        record: Record<'_, K, V>,
    ) -> ProcessResult;

    /// A punctuation is due.
    ///
    /// # Errors
    /// What the processor cannot handle; nothing of the punctuation stays then, and the task is tried
    /// again, [`panic_retries`](crate::StreamsConfig::panic_retries) times.
    fn punctuate(
        &mut self,
        _cx: &mut ProcessorContext<'_, K2, V2>,
        _punctuation: Punctuation,
    ) -> ProcessResult {
        Ok(())
    }
}

/// A punctuation that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punctuation {
    /// Which one, as [`InitContext::schedule`] answered.
    pub id: PunctuationId,
    /// The stream time or wall-clock time at which it runs.
    pub at: Timestamp,
}

/// What a processor may do before its first record: schedule punctuations, and read and write its
/// stores.
pub struct InitContext<'a> {
    task: &'a mut TaskContext,
    scheduled: usize,
}

impl<'a> InitContext<'a> {
    pub(crate) fn new(task: &'a mut TaskContext) -> Self {
        Self { task, scheduled: 0 }
    }

    /// Schedules a punctuation every `interval`.
    ///
    /// By stream time it first runs at the first record, then whenever stream time has passed
    /// another interval; intervals without records are skipped. By wall clock it first runs one
    /// interval from now.
    pub fn schedule(&mut self, kind: PunctuationKind, interval: Duration) -> PunctuationId {
        let id = PunctuationId::new(self.scheduled);
        self.scheduled += 1;
        self.task.schedule(id, kind, interval);
        id
    }

    /// The largest timestamp that the task has seen before.
    pub fn stream_time(&self) -> Timestamp {
        self.task.stream_time()
    }

    /// The wall-clock time of the last tick.
    pub fn wall_clock(&self) -> Timestamp {
        self.task.wall_clock()
    }
}

impl fmt::Debug for InitContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitContext").finish_non_exhaustive()
    }
}

/// What a processor may do while it processes.
pub struct ProcessorContext<'a, K2, V2> {
    pub(crate) task: &'a mut TaskContext,
    pub(crate) out: &'a Downstream<K2, V2>,
}

impl<K2, V2> ProcessorContext<'_, K2, V2> {
    /// Hands a record to the operators behind this one; returns when they are done with it.
    ///
    /// # Errors
    /// What an operator downstream could not handle: pass it on.
    pub fn forward(&mut self, record: Record<'_, K2, V2>) -> ProcessResult {
        self.out.forward(self.task, record)
    }

    /// The largest timestamp that the task has seen.
    pub fn stream_time(&self) -> Timestamp {
        self.task.stream_time()
    }

    /// The wall-clock time of the last tick.
    pub fn wall_clock(&self) -> Timestamp {
        self.task.wall_clock()
    }

    /// The timestamp of the record or punctuation at hand.
    pub fn timestamp(&self) -> Timestamp {
        self.task.timestamp()
    }

    /// Where the record at hand was read. `None` in a punctuation, and for an update of a table,
    /// which stands for all records since the last commit.
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        self.task.record_metadata()
    }
}

impl<K2, V2> fmt::Debug for ProcessorContext<'_, K2, V2> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorContext").finish_non_exhaustive()
    }
}

impl sealed::Sealed for InitContext<'_> {}

impl StoreAccess for InitContext<'_> {
    fn task(&self) -> &TaskContext {
        self.task
    }

    fn task_mut(&mut self) -> &mut TaskContext {
        self.task
    }
}

impl<K2, V2> sealed::Sealed for ProcessorContext<'_, K2, V2> {}

impl<K2, V2> StoreAccess for ProcessorContext<'_, K2, V2> {
    fn task(&self) -> &TaskContext {
        self.task
    }

    fn task_mut(&mut self) -> &mut TaskContext {
        self.task
    }
}

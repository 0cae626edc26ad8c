//! The measured topologies, on the engine.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use millrace_streams::{
    KeyValueStore, ProcessResult, Processor, ProcessorContext, Record, Store, Topic, Topology,
};

use super::Workload;
use crate::clock;
use crate::sample::{Total, doubled, is_kept};

/// The totals by key.
const TOTALS: Store<String, Total> = Store::new("totals");

/// When the first record was processed, and how many were: what the measuring thread waits for.
static FIRST: OnceLock<Instant> = OnceLock::new();
static SEEN: AtomicU64 = AtomicU64::new(0);

/// When the first record was processed.
pub(super) fn first() -> Option<Instant> {
    FIRST.get().copied()
}

/// How many records were processed.
pub(super) fn seen() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

/// Notes that a record is processed.
pub(super) fn note(records: u64) {
    if FIRST.get().is_none() {
        FIRST.get_or_init(clock::now);
    }
    SEEN.fetch_add(records, Ordering::Relaxed);
}

/// The topology of `workload` between two topics.
pub(super) fn topology(
    workload: Workload,
    input: &'static str,
    output: &'static str,
) -> Result<Topology> {
    let topology = match workload {
        Workload::W1 => map_and_filter(Topic::new(input), Topic::new(output)),
        Workload::W2 => totals(Topic::new(input), Topic::new(output)),
        Workload::W2Each => each_total(Topic::new(input), Topic::new(output)),
        Workload::Pass => bail!("the port runs without a topology"),
    };
    Ok(topology?)
}

type Defined = Result<Topology, millrace_streams::TopologyError>;
type Samples = Topic<String, Vec<u8>>;

/// input -> map -> filter -> output
fn map_and_filter(input: Samples, output: Samples) -> Defined {
    Topology::define("w1", |t| {
        t.stream(input)
            .map_values(|_, value: &Vec<u8>| {
                note(1);
                doubled(value)
            })
            .filter(|_, value| is_kept(value))
            .to(output);
    })
}

/// input -> aggregate `[totals]` -> output
fn totals(input: Samples, output: Topic<String, Total>) -> Defined {
    Topology::define("w2", |t| {
        t.stream(input)
            .aggregate(TOTALS, Total::default, |_, value, total| {
                note(1);
                total.with(value)
            })
            .to(output);
    })
}

/// input -> each total `[totals]` -> output
fn each_total(input: Samples, output: Topic<String, Total>) -> Defined {
    Topology::define("w2-each", |t| {
        t.stream(input)
            .process(TOTALS, |totals| EachTotal { totals })
            .to(output);
    })
}

/// Forwards the total after every record.
struct EachTotal {
    totals: KeyValueStore<String, Total>,
}

impl Processor<String, Vec<u8>, String, Total> for EachTotal {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, Total>,
        record: Record<'_, String, Vec<u8>>,
    ) -> ProcessResult {
        note(1);
        let total = self.totals.get(cx, record.key)?.unwrap_or_default();
        let total = total.with(record.value);
        self.totals.put(cx, record.key, &total)?;
        cx.forward(record.with_value(&total))
    }
}

//! Writes the input, and computes what must come out.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use futures::executor::block_on;
use futures::future::try_join_all;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::kafka::KafkaLog;
use millrace_streams::log::{Log, NewRecord};

use super::outputs::Outputs;
use super::{INPUT, Options, Workload};
use crate::sample::{self, Sample, Total, doubled, is_kept};

/// How many records are under way at a time.
const UNDER_WAY: usize = 50_000;

/// What each workload must write.
#[derive(Debug)]
pub(super) struct Expected {
    pass: Outputs,
    w1: Outputs,
    w2: Outputs,
}

impl Expected {
    /// Fails unless `outputs` is what it should be.
    pub(super) fn check(&self, workload: Workload, outputs: &Outputs) -> Result<()> {
        let expected = match workload {
            Workload::Pass => &self.pass,
            Workload::W1 => &self.w1,
            Workload::W2 | Workload::W2Each => &self.w2,
        };
        if expected.agrees_with(outputs) {
            return Ok(());
        }
        bail!("the output is wrong: {outputs} instead of {expected}")
    }

    fn of(options: &Options) -> Self {
        let (mut pass, mut w1) = (Outputs::all(), Outputs::all());
        let mut totals: HashMap<String, Total> = HashMap::new();
        for sample in sample::samples(options.records, options.keys) {
            let Sample { key, value, .. } = sample;
            pass.add(key.as_bytes(), &value);
            let changed = doubled(&value);
            if is_kept(&changed) {
                w1.add(key.as_bytes(), &changed);
            }
            let total = totals.entry(key).or_default();
            *total = total.with(&value);
        }
        let mut w2 = Outputs::last_by_key();
        for (key, total) in &totals {
            w2.add(key.as_bytes(), &total.to_bytes());
        }
        Self { pass, w1, w2 }
    }
}

/// Writes the records of `options`.
pub(super) fn write(log: &KafkaLog, options: &Options) -> Result<Expected> {
    let writer = log.writer("input")?;
    let topic: Arc<str> = INPUT.into();
    let mut under_way = Vec::with_capacity(UNDER_WAY);
    for sample in sample::samples(options.records, options.keys) {
        under_way.push(writer.append(NewRecord {
            topic: Arc::clone(&topic),
            key: Some(sample.key.into_bytes()),
            value: Some(sample.value),
            headers: HeaderList::new(),
            timestamp: sample.timestamp,
        }));
        if under_way.len() == UNDER_WAY {
            block_on(try_join_all(under_way.drain(..)))?;
        }
    }
    block_on(try_join_all(under_way))?;
    println!(
        "{} records over {} keys written",
        options.records, options.keys
    );
    Ok(Expected::of(options))
}

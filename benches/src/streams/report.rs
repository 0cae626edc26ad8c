//! The table of all runs side by side, and a line of JSON for each.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Measured, Peer, Workload};

/// A run that wrote what it should.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) round: usize,
    pub(super) workload: Workload,
    pub(super) peer: Peer,
    pub(super) threads: usize,
    pub(super) records: u64,
    pub(super) output_records: u64,
    #[serde(flatten)]
    pub(super) measured: Measured,
}

impl Outcome {
    fn figures(&self) -> Figures {
        let (records, measured) = (self.records as f64, &self.measured);
        Figures {
            rate: records / measured.seconds,
            cpu: measured.cpu_seconds / (records / 1e6),
            memory: measured.memory_peak_bytes as f64 / f64::from(1 << 20),
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// Records per second.
    rate: f64,
    /// CPU seconds per million records.
    cpu: f64,
    /// MiB.
    memory: f64,
}

/// All runs so far.
pub(super) struct Report {
    outcomes: Vec<Outcome>,
    json: File,
}

impl Report {
    /// An empty report that appends to the file `json`.
    pub(super) fn new(json: &Path) -> Result<Self> {
        if let Some(folder) = json.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(json);
        Ok(Self {
            outcomes: Vec::new(),
            json: file.with_context(|| format!("cannot write {}", json.display()))?,
        })
    }

    /// Prints a run, and notes it.
    pub(super) fn add(&mut self, outcome: Outcome) -> Result<()> {
        writeln!(self.json, "{}", serde_json::to_string(&outcome)?)?;
        let Figures { rate, cpu, memory } = outcome.figures();
        println!(
            "round {} {:8} {:14} {} threads: {rate:9.0} records/s, {cpu:5.2} CPU s/million, \
             {memory:4.0} MiB, {} out, start {:.2} s",
            outcome.round,
            outcome.workload.name(),
            format!("{:?}", outcome.peer),
            outcome.threads,
            outcome.output_records,
            outcome.measured.start_seconds,
        );
        self.outcomes.push(outcome);
        Ok(())
    }

    /// The medians of each number of threads; the one with the highest rate.
    fn best(&self, workload: Workload, peer: Peer) -> Option<(usize, Figures)> {
        let same = |o: &&Outcome| o.workload == workload && o.peer == peer;
        let of_pair: Vec<_> = self.outcomes.iter().filter(same).collect();
        let mut threads: Vec<_> = of_pair.iter().map(|outcome| outcome.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        let medians = threads.into_iter().map(|threads| {
            let runs = of_pair.iter().filter(|outcome| outcome.threads == threads);
            let runs: Vec<_> = runs.map(|outcome| outcome.figures()).collect();
            let figures = Figures {
                rate: median(runs.iter().map(|figures| figures.rate)),
                cpu: median(runs.iter().map(|figures| figures.cpu)),
                memory: median(runs.iter().map(|figures| figures.memory)),
            };
            (threads, figures)
        });
        medians.max_by(|a, b| a.1.rate.total_cmp(&b.1.rate))
    }
}

/// Who stands in each line, and whom it is compared with.
const LINES: [(Workload, Peer, Option<Workload>); 7] = [
    (Workload::W1, Peer::KafkaStreams, None),
    (Workload::W1, Peer::Millrace, Some(Workload::W1)),
    (Workload::W2, Peer::KafkaStreams, None),
    (Workload::W2, Peer::Millrace, Some(Workload::W2)),
    (Workload::W2Each, Peer::Millrace, Some(Workload::W2)),
    (Workload::Pass, Peer::Port, None),
    (Workload::Pass, Peer::Raw, None),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "medians; in parentheses the ratio to Kafka Streams\n")?;
        writeln!(
            f,
            "| workload | peer | threads | records/s | CPU s per million | peak MiB |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- |")?;
        for (workload, peer, against) in LINES {
            let Some((threads, own)) = self.best(workload, peer) else {
                continue;
            };
            let twin = against.and_then(|workload| self.best(workload, Peer::KafkaStreams));
            let twin = twin.map(|(_, figures)| figures);
            writeln!(
                f,
                "| {} | {peer:?} | {threads} | {:.0}{} | {:.2}{} | {:.0}{} |",
                workload.name(),
                own.rate,
                Ratio(own.rate, twin.map(|figures| figures.rate)),
                own.cpu,
                Ratio(own.cpu, twin.map(|figures| figures.cpu)),
                own.memory,
                Ratio(own.memory, twin.map(|figures| figures.memory)),
            )?;
        }
        Ok(())
    }
}

/// A figure in relation to another, if there is one.
struct Ratio(f64, Option<f64>);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(other) => write!(f, " ({:.2}x)", self.0 / other),
            None => Ok(()),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}

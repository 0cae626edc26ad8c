//! One measurement of the engine, or of what is below it, in a process of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;
use millrace_state::{StateDir, StateOptions};
use millrace_streams::log::kafka::KafkaLog;
use millrace_streams::log::{Log, Offset, TopicPartition};
use millrace_streams::{ApplicationState, Streams, StreamsConfig};

use super::{Measured, PARTITIONS, Peer, Workload, connect, port, raw, topologies};
use crate::{clock, usage};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What to run, and where.
#[derive(Args, Clone, Debug)]
pub struct Job {
    /// Who runs.
    #[arg(long, value_enum)]
    pub peer: Peer,
    /// What it runs.
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// The number of stream threads.
    #[arg(long)]
    pub threads: usize,
    /// The number of records of the input.
    #[arg(long)]
    pub records: u64,
    /// The brokers.
    #[arg(long)]
    pub bootstrap: String,
    /// The input topic.
    #[arg(long)]
    pub input: String,
    /// The output topic.
    #[arg(long)]
    pub output: String,
    /// The state directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// The application's id.
    #[arg(long)]
    pub application: String,
}

impl Job {
    /// What a peer has to know, by name.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let settings = [
            ("workload", self.workload.name().to_owned()),
            ("threads", self.threads.to_string()),
            ("records", self.records.to_string()),
            ("bootstrap", self.bootstrap.clone()),
            ("input", self.input.clone()),
            ("output", self.output.clone()),
            ("dir", self.dir.display().to_string()),
            ("application", self.application.clone()),
        ];
        settings.into_iter()
    }

    /// The command line that gives this job.
    pub(super) fn arguments(&self) -> Vec<String> {
        let peer = match self.peer {
            Peer::Millrace => "millrace",
            Peer::KafkaStreams => "kafka-streams",
            Peer::Port => "port",
            Peer::Raw => "raw",
        };
        let settings = self.settings().chain([("peer", peer.to_owned())]);
        settings
            .flat_map(|(name, value)| [format!("--{name}"), value])
            .collect()
    }
}

/// Runs `job`, and prints what was measured as a line of JSON.
///
/// # Errors
/// When the run fails or takes too long.
pub fn run(job: &Job) -> Result<()> {
    let measured = match job.peer {
        Peer::Millrace => engine(job)?,
        Peer::Port => port::run(job)?,
        Peer::Raw => raw::run(job)?,
        Peer::KafkaStreams => bail!("Kafka Streams runs on a virtual machine of its own"),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn engine(job: &Job) -> Result<Measured> {
    // Names of topics are constants everywhere else; here the process knows only one of each.
    let input: &'static str = job.input.clone().leak();
    let output: &'static str = job.output.clone().leak();
    let topology = topologies::topology(job.workload, input, output)?;
    let log = Arc::new(connect(&job.bootstrap)?);
    let ends = ends(&log, input)?;
    let state = StateDir::open(&job.dir, StateOptions::default())?;
    let mut config = StreamsConfig::default();
    config.stream_threads = job.threads;
    let began = clock::now();
    let streams = Streams::builder(&topology)
        .application(&job.application)
        .config(config)
        .start(log.clone(), state)?;
    let watch = Watch::start(began, || check(&streams))?;
    watch.wait(job.records, || check(&streams))?;
    while !is_committed(&log, &job.application, &ends)? {
        check(&streams)?;
        clock::pause(Duration::from_millis(5));
    }
    let measured = watch.stop()?;
    streams.close();
    Ok(measured)
}

fn check(streams: &Streams) -> Result<()> {
    match streams.state() {
        ApplicationState::Failed(error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The input's partitions and their ends.
pub(super) fn ends(log: &KafkaLog, topic: &str) -> Result<Vec<(TopicPartition, Offset)>> {
    let partitions: Vec<_> = (0..PARTITIONS)
        .map(|n| TopicPartition::new(topic, n))
        .collect();
    let mut reader = log.reader(millrace_streams::log::Isolation::ReadCommitted)?;
    let bounds = reader.bounds(&partitions)?;
    let ends = bounds.into_iter().map(|bounds| bounds.end);
    Ok(partitions.into_iter().zip(ends).collect())
}

fn is_committed(
    log: &KafkaLog,
    application: &str,
    ends: &[(TopicPartition, Offset)],
) -> Result<bool> {
    let partitions: Vec<_> = ends
        .iter()
        .map(|(partition, _)| partition.clone())
        .collect();
    let committed = log.committed(application, &partitions)?;
    let mut pairs = committed.iter().zip(ends);
    Ok(pairs.all(|(at, (_, end))| at.as_ref().is_some_and(|at| at.offset >= *end)))
}

/// Passes records on without an engine.
pub(super) trait Pass {
    /// Passes on what has come, and commits when it is time.
    fn step(&mut self) -> Result<()>;

    /// Commits what was passed on.
    fn commit(&mut self) -> Result<()>;

    /// True if everything in front of `ends` was passed on.
    fn has_reached(&self, ends: &[(TopicPartition, Offset)]) -> bool;
}

/// Passes everything in front of `ends` on.
pub(super) fn pass(
    passing: &mut impl Pass,
    ends: &[(TopicPartition, Offset)],
    began: Instant,
) -> Result<Measured> {
    while topologies::first().is_none() {
        passing.step()?;
    }
    let watch = Watch::start(began, || Ok(()))?;
    while !passing.has_reached(ends) {
        passing.step()?;
    }
    passing.commit()?;
    watch.stop()
}

/// Watches a run from its first record on.
struct Watch {
    began: Instant,
    first: Instant,
    cpu: f64,
}

impl Watch {
    /// Waits for the first record.
    fn start(began: Instant, check: impl Fn() -> Result<()>) -> Result<Self> {
        loop {
            if let Some(first) = topologies::first() {
                let cpu = usage::cpu_seconds()?;
                return Ok(Self { began, first, cpu });
            }
            check()?;
            ensure!(began.elapsed() < LIMIT, "no record came");
            clock::pause(Duration::from_millis(1));
        }
    }

    /// Waits until all records are processed.
    fn wait(&self, records: u64, check: impl Fn() -> Result<()>) -> Result<()> {
        while topologies::seen() < records {
            check()?;
            let seen = topologies::seen();
            ensure!(self.began.elapsed() < LIMIT, "only {seen} records came");
            clock::pause(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Everything is committed.
    fn stop(&self) -> Result<Measured> {
        let total = usage::cpu_seconds()?;
        Ok(Measured {
            seconds: self.first.elapsed().as_secs_f64(),
            start_seconds: (self.first - self.began).as_secs_f64(),
            cpu_seconds: total - self.cpu,
            cpu_seconds_total: total,
            memory_peak_bytes: usage::memory_peak_bytes()?,
        })
    }
}

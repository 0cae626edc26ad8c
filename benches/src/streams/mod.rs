//! Whole applications beside their JVM twin: one broker, one input, each run in a process of its own.
//!
//! | module | does |
//! | --- | --- |
//! | [`client`] | one measurement of the engine, in its own process |
//! | `twin` | the same on Kafka Streams |
//! | `topologies` | the measured topologies |
//! | `port` | what the log port does without an engine |
//! | `raw` | what the client does without the port |
//! | `input` | writes the input |
//! | `outputs` | reads what a run has written, and compares it with what it should be |
//! | `report` | the table, and the lines of JSON |
//!
//! Time counts from the first record that is processed to the moment at which the last input offset
//! is committed, so warm-up counts, for everyone alike. The machine's speed does not matter where
//! only the ratios within a run are compared: the peers take turns.

pub mod client;
mod input;
mod outputs;
mod port;
mod raw;
mod report;
mod topologies;
mod twin;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use millrace_deploy::{Kafka, KafkaOptions};
use millrace_streams::log::kafka::{KafkaLog, KafkaOptions as LogOptions};
use millrace_streams::log::{Cleanup, Log, TopicSpec};
use serde::{Deserialize, Serialize};

use self::client::Job;
use self::input::Expected;
use self::report::{Outcome, Report};
use self::twin::Twin;

/// The partitions of every topic.
const PARTITIONS: i32 = 4;
/// The input topic.
const INPUT: &str = "samples";

/// What to measure.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Records of the input, about 162 bytes each.
    #[arg(long, default_value_t = 2_000_000)]
    pub records: u64,
    /// Different keys of the input.
    #[arg(long, default_value_t = 100_000)]
    pub keys: u64,
    /// How often each peer has its turn.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Peers to measure; all of them unless some are named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// Workloads to measure; all of them unless some are named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    /// Stream threads to try, instead of each workload's own choice.
    #[arg(long, value_delimiter = ',')]
    pub threads: Vec<usize>,
    /// The largest heap of Kafka Streams, such as `256m`; the virtual machine's own choice, a
    /// quarter of the machine's memory, unless given.
    #[arg(long)]
    pub heap: Option<String>,
    /// A file to append every run to, as a line of JSON.
    #[arg(long, default_value = "target/benches-streams.jsonl")]
    pub json: PathBuf,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// The engine.
    Millrace,
    /// Kafka Streams, tuned.
    KafkaStreams,
    /// The log port alone: fetch, send, commit.
    Port,
    /// The client alone: poll, send, commit.
    Raw,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Map and filter.
    W1,
    /// Count and sum per key, in a table with its changelog. The engine forwards the last update of
    /// a key per commit, as a record cache does; the twin is faster without its cache, and forwards
    /// every update.
    W2,
    /// The same with a processor that forwards every update.
    W2Each,
    /// Records as they come.
    Pass,
}

impl Workload {
    /// The workload's name on a command line.
    fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W2Each => "w2-each",
            Self::Pass => "pass",
        }
    }

    /// The numbers of stream threads among which the best counts.
    fn threads(self) -> &'static [usize] {
        match self {
            Self::W1 | Self::W2 | Self::W2Each => &[1, 2],
            Self::Pass => &[1],
        }
    }
}

/// Every measurement of a round. What only the engine offers is compared with the twin's run of
/// the workload before it.
const ROUND: [(Workload, Peer); 7] = [
    (Workload::Pass, Peer::Raw),
    (Workload::Pass, Peer::Port),
    (Workload::W1, Peer::KafkaStreams),
    (Workload::W1, Peer::Millrace),
    (Workload::W2, Peer::KafkaStreams),
    (Workload::W2, Peer::Millrace),
    (Workload::W2Each, Peer::Millrace),
];

/// What a process prints at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// From the first record processed to the last offset committed.
    pub seconds: f64,
    /// From the start of the application to the first record processed.
    pub start_seconds: f64,
    /// The processor time of the process during `seconds`.
    pub cpu_seconds: f64,
    /// The processor time of the process since it began.
    pub cpu_seconds_total: f64,
    /// The most memory that was resident.
    pub memory_peak_bytes: u64,
}

/// Measures, prints a table, and fails when an output is not what it should be.
///
/// # Errors
/// When Kafka or Java is not installed, a run fails, or its output is wrong.
pub fn run(options: &Options) -> Result<()> {
    // A broker at full speed: the default options are made for a quick start.
    let mut broker = KafkaOptions {
        heap: "1g".to_owned(),
        jvm: Vec::new(),
        ..KafkaOptions::default()
    };
    broker = broker
        .with("num.network.threads", "3")
        .with("num.io.threads", "8");
    let kafka = Kafka::start(broker).context("cannot start a broker")?;
    let log = connect(&kafka.bootstrap())?;
    log.create_topics(&[topic(INPUT)])?;
    let expected = input::write(&log, options)?;
    let scratch = tempfile::tempdir()?;
    let twin = Twin::build(&scratch.path().join("twin"), options.heap.clone())?;
    let bench = Bench {
        options,
        bootstrap: kafka.bootstrap(),
        log,
        twin,
        expected,
        scratch: scratch.path().to_owned(),
    };
    let mut report = Report::new(&options.json)?;
    // A broker that has just begun is slow, at the cost of whoever comes first.
    bench.measure(0, Workload::Pass, Peer::Port, 1)?;
    for round in 1..=options.rounds {
        bench.round(round, &mut report)?;
    }
    println!("\n{report}");
    Ok(())
}

/// What all runs share.
struct Bench<'a> {
    options: &'a Options,
    bootstrap: String,
    log: KafkaLog,
    twin: Twin,
    expected: Expected,
    scratch: PathBuf,
}

impl Bench<'_> {
    fn round(&self, round: usize, report: &mut Report) -> Result<()> {
        for (workload, peer) in ROUND {
            if !self.is_wanted(workload, peer) {
                continue;
            }
            for threads in self.threads(workload) {
                let outcome = self
                    .measure(round, workload, peer, threads)
                    .with_context(|| format!("{peer:?} on {workload:?}, {threads} threads"))?;
                report.add(outcome)?;
            }
        }
        Ok(())
    }

    fn is_wanted(&self, workload: Workload, peer: Peer) -> bool {
        let options = self.options;
        (options.peers.is_empty() || options.peers.contains(&peer))
            && (options.workloads.is_empty() || options.workloads.contains(&workload))
    }

    fn threads(&self, workload: Workload) -> Vec<usize> {
        match workload {
            Workload::Pass => vec![1],
            _ if self.options.threads.is_empty() => workload.threads().to_vec(),
            _ => self.options.threads.clone(),
        }
    }

    fn measure(
        &self,
        round: usize,
        workload: Workload,
        peer: Peer,
        threads: usize,
    ) -> Result<Outcome> {
        let application = format!("{peer:?}-{}-{threads}-{round}", workload.name()).to_lowercase();
        let output = format!("{application}-output");
        self.log.create_topics(&[topic(&output)])?;
        let job = Job {
            peer,
            workload,
            threads,
            records: self.options.records,
            bootstrap: self.bootstrap.clone(),
            input: INPUT.to_owned(),
            output: output.clone(),
            dir: self.scratch.join(&application),
            application,
        };
        let measured = self.run_process(&job)?;
        let outputs = outputs::read(&self.log, &output, workload)?;
        self.expected.check(workload, &outputs)?;
        self.clean_up(&job)?;
        Ok(Outcome {
            round,
            workload,
            peer,
            threads,
            records: self.options.records,
            output_records: outputs.records(),
            measured,
        })
    }

    fn run_process(&self, job: &Job) -> Result<Measured> {
        let mut command = match job.peer {
            Peer::KafkaStreams => self.twin.command(job),
            Peer::Millrace | Peer::Port | Peer::Raw => own_process(job)?,
        };
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let text = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            bail!("the run failed ({}): {text}", output.status);
        }
        let line = text.lines().last().context("the run printed nothing")?;
        serde_json::from_str(line).with_context(|| format!("not a measurement: {line}"))
    }

    /// Removes what a run leaves behind, so that the disk does not fill.
    fn clean_up(&self, job: &Job) -> Result<()> {
        let topics = self.log.topics()?;
        let prefix = format!("{}-", job.application);
        let its_own = topics.iter().map(|topic| &*topic.name);
        let its_own: Vec<_> = its_own.filter(|name| name.starts_with(&prefix)).collect();
        self.log.delete_topics(&its_own)?;
        if job.dir.exists() {
            std::fs::remove_dir_all(&job.dir)?;
        }
        Ok(())
    }
}

fn own_process(job: &Job) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("client").args(job.arguments());
    Ok(command)
}

fn connect(bootstrap: &str) -> Result<KafkaLog> {
    Ok(KafkaLog::connect(LogOptions::new(bootstrap))?)
}

fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: Arc::from(name),
        partitions: PARTITIONS,
        cleanup: Cleanup::Delete { retention: None },
    }
}

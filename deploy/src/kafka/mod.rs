//! A real Apache Kafka cluster on loopback ports: brokers, faults, and Kafka's own tools.

mod broker;
mod probe;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

pub use broker::Broker;

use crate::Server;
use crate::artifacts;
use crate::process::run;

/// How long one of Kafka's tools may run.
const TOOL_LIMIT: Duration = Duration::from_secs(90);

/// What a cluster consists of.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Number of brokers, each also a controller. Three survive the loss of one.
    pub brokers: usize,
    /// Broker settings beside, and instead of, those of `deploy/local/server.properties`.
    pub settings: BTreeMap<String, String>,
    /// Heap of each broker, as Java writes it (`700m`).
    pub heap: String,
    /// Further Java options. The default trades peak speed for a quick start: measurements want
    /// an empty list, or their own.
    pub jvm: Vec<String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        let jvm = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
            .map(str::to_owned)
            .to_vec();
        Self {
            brokers: 1,
            settings: BTreeMap::new(),
            heap: "700m".to_owned(),
            jvm,
        }
    }
}

impl KafkaOptions {
    /// Sets a broker setting by its Kafka name.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.insert(setting.to_owned(), value.to_owned());
        self
    }

    /// Sets the number of brokers.
    #[must_use]
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers;
        self
    }
}

/// A running cluster; dropping it kills the brokers and removes their data.
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<Broker>,
    _scratch: TempDir,
}

impl Kafka {
    /// Starts a cluster and waits until every broker answers and knows all the others.
    pub fn start(options: KafkaOptions) -> Result<Self> {
        let options = Arc::new(options);
        let scratch = tempfile::Builder::new()
            .prefix("millrace-kafka-")
            .tempdir()?;
        let reserve = |id| Broker::reserve(id, scratch.path(), &options);
        let brokers = (1..=options.brokers)
            .map(reserve)
            .collect::<Result<Vec<_>>>()?;
        let mut kafka = Self {
            brokers,
            _scratch: scratch,
        };
        let voters: Vec<_> = kafka.brokers.iter().map(Broker::voter).collect();
        for broker in &kafka.brokers {
            broker.prepare(&voters.join(","))?;
        }
        kafka.restart()?;
        Ok(kafka)
    }

    /// The brokers' addresses, as a client's `bootstrap.servers` takes them.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.brokers.iter().map(Broker::address).collect();
        addresses.join(",")
    }

    /// One broker, counted from 0, to do something to it alone.
    pub fn broker(&mut self, index: usize) -> Result<&mut Broker> {
        self.brokers
            .get_mut(index)
            .with_context(|| format!("there is no broker {index}"))
    }

    /// Stops every broker in its tracks: connections stay open, nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.brokers.iter_mut().try_for_each(Broker::pause)
    }

    /// Lets paused brokers go on.
    pub fn resume(&mut self) -> Result<()> {
        self.brokers.iter_mut().try_for_each(Broker::resume)
    }

    /// Kills every broker at once. The data stay, for [`Kafka::restart`].
    pub fn kill(&mut self) {
        self.brokers.iter_mut().for_each(Broker::kill);
    }

    /// Starts every broker again on the same ports and data, and waits until all of them answer.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.brokers.iter_mut().try_for_each(Broker::launch)?;
        let all = self.brokers.len();
        self.brokers
            .iter_mut()
            .try_for_each(|broker| broker.await_service(all))
    }

    /// Runs one of Kafka's command-line tools on this cluster: its class, then its arguments.
    ///
    /// `--bootstrap-server` is added. `org.apache.kafka.tools.TopicCommand` is kafka-topics,
    /// `kafka.admin.ConfigCommand` kafka-configs,
    /// `org.apache.kafka.tools.streams.StreamsGroupCommand` kafka-streams-groups, and
    /// `org.apache.kafka.tools.consumer.ConsoleConsumer` kafka-console-consumer. A tool that fails
    /// is not an error: its exit code is in the output.
    pub fn tool(&self, class_and_arguments: &[&str]) -> Result<Output> {
        let mut tool = jvm("256m")?;
        tool.args(class_and_arguments)
            .args(["--bootstrap-server", &self.bootstrap()]);
        run(tool, TOOL_LIMIT)
    }

    /// What the brokers have logged so far, one after the other.
    pub fn logs(&self) -> String {
        self.brokers.iter().map(Broker::logs).collect()
    }
}

impl Server for Kafka {
    type Options = KafkaOptions;

    const NAME: &'static str = "Kafka";

    fn available() -> bool {
        artifacts::KAFKA.available()
    }

    fn start_with(options: KafkaOptions) -> Result<Self> {
        Self::start(options)
    }
}

/// A Java virtual machine with Kafka's jars and the given heap; the main class is still to come.
fn jvm(heap: &str) -> Result<Command> {
    let mut class_path = OsString::from(artifacts::KAFKA.dir());
    class_path.push("/*");
    let mut java = Command::new(artifacts::java().context("no Java; set JAVA_HOME or PATH")?);
    let log4j = artifacts::local().join("log4j2.yaml");
    java.arg(format!("-Dlog4j2.configurationFile={}", log4j.display()));
    java.arg(format!("-Xmx{heap}")).arg("-cp").arg(class_path);
    Ok(java)
}

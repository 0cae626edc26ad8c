//! One broker of a local cluster: its settings, its process, and what can be done to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{KafkaOptions, jvm, probe};
use crate::artifacts;
use crate::port::Port;
use crate::process::{self, Process};
use crate::wait;

/// How long a broker may take from its start to its first answer, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The same for every local cluster: clients never see two of them.
const CLUSTER_ID: &str = "bWlsbHJhY2UtbG9jYWwxMg";

/// A broker that is also a controller.
#[derive(Debug)]
pub struct Broker {
    id: usize,
    port: Port,
    controller: Port,
    /// Settings, log and data; survives the process.
    dir: PathBuf,
    /// Removed with everything in it when nobody is left to restart the broker.
    scratch: PathBuf,
    options: Arc<KafkaOptions>,
    process: Option<Process>,
}

impl Broker {
    /// Reserves the ports of the broker with this id (from 1) and makes its folder.
    pub(super) fn reserve(id: usize, scratch: &Path, options: &Arc<KafkaOptions>) -> Result<Self> {
        let dir = scratch.join(format!("broker-{id}"));
        fs::create_dir(&dir)?;
        Ok(Self {
            id,
            port: Port::reserve()?,
            controller: Port::reserve()?,
            dir,
            scratch: scratch.to_owned(),
            options: Arc::clone(options),
            process: None,
        })
    }

    /// The broker's entry in the list of controllers, `ID@HOST:PORT`.
    pub(super) fn voter(&self) -> String {
        format!("{}@{}", self.id, self.controller.address())
    }

    /// Writes the settings and formats the data folder.
    pub(super) fn prepare(&self, voters: &str) -> Result<()> {
        let config = self.config();
        fs::write(&config, self.settings(voters)?)?;
        let mut format = jvm("128m")?;
        format.args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            CLUSTER_ID,
            "--config",
        ]);
        process::run_ok(add(format, &config), START_LIMIT).context("cannot format the broker")?;
        Ok(())
    }

    /// The address that clients connect to, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// What the broker has logged so far: warnings, and when it started and stopped.
    pub fn logs(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Stops the process in its tracks (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets a paused broker go on.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Kills the process at once (SIGKILL). The data stay, for [`Broker::restart`].
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Shuts the broker down in order. The data stay, for [`Broker::restart`].
    pub fn stop(&mut self) -> Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |process| process.stop(Signal::TERM).map(drop))
    }

    /// Starts the broker again on the same port and data, killing it first if it runs.
    ///
    /// Returns when it answers, and counts itself among the brokers in service.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch()?;
        self.await_service(1)
    }

    /// Starts the process without waiting for it.
    pub(super) fn launch(&mut self) -> Result<()> {
        let mut server = jvm(&self.options.heap)?;
        server.args(&self.options.jvm).arg("kafka.Kafka");
        let server = add(server, &self.config());
        let process = Process::spawn(server, &self.log(), &self.scratch, Signal::KILL);
        self.process = Some(process?);
        Ok(())
    }

    /// Waits until the broker says that at least so many brokers are in service.
    pub(super) fn await_service(&mut self, brokers: usize) -> Result<()> {
        let port = self.port.number();
        let process = self.running()?;
        wait::until(START_LIMIT, "the broker's first answer", || {
            process.ensure_running()?;
            Ok(probe::brokers_in_service(port).filter(|seen| *seen >= brokers))
        })?;
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .context("the broker does not run; call `restart` first")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The common settings, then this broker's, then the caller's: the last of a name counts.
    fn settings(&self, voters: &str) -> Result<String> {
        let file = artifacts::local().join("server.properties");
        let common = fs::read_to_string(&file).with_context(|| format!("cannot read {file:?}"))?;
        let (port, controller) = (self.port.address(), self.controller.address());
        let own = [
            ("node.id", self.id.to_string()),
            ("controller.quorum.voters", voters.to_owned()),
            (
                "listeners",
                format!("PLAINTEXT://{port},CONTROLLER://{controller}"),
            ),
            ("advertised.listeners", format!("PLAINTEXT://{port}")),
            ("log.dirs", self.dir.join("data").display().to_string()),
        ];
        let own = own.iter().map(|(name, value)| format!("{name}={value}\n"));
        let chosen = self
            .options
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        let replication = replication(self.options.brokers);
        Ok([common, replication]
            .into_iter()
            .chain(own)
            .chain(chosen)
            .collect())
    }
}

/// Three copies where there are three brokers, and a majority of them for every write.
fn replication(brokers: usize) -> String {
    let copies = brokers.min(3);
    let in_sync = copies / 2 + 1;
    let factor = [
        "offsets.topic",
        "transaction.state.log",
        "share.coordinator.state.topic",
    ]
    .map(|topic| format!("{topic}.replication.factor={copies}\n"));
    let min_isr = ["transaction.state.log", "share.coordinator.state.topic"]
        .map(|topic| format!("{topic}.min.isr={in_sync}\n"));
    let default = format!("default.replication.factor={copies}\nmin.insync.replicas={in_sync}\n");
    [factor.concat(), min_isr.concat(), default].concat()
}

fn add(mut command: Command, argument: &Path) -> Command {
    command.arg(argument);
    command
}

//! A real schema registry with Confluent's API: Apicurio Registry, in memory.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Server;
use crate::artifacts;
use crate::http;
use crate::port::Port;
use crate::process::Process;
use crate::wait;

/// How long the registry may take to its first answer, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Where Apicurio serves Confluent's API.
const API: &str = "/apis/ccompat/v7";

/// A running registry; dropping it kills it, and its schemas are gone.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    port: Port,
    _scratch: TempDir,
}

impl Registry {
    /// Starts an empty registry and waits until it lists its subjects.
    pub fn start() -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("millrace-registry-")
            .tempdir()?;
        let port = Port::reserve()?;
        let jar = artifacts::REGISTRY
            .main_jar()
            .context("the registry is not installed")?;
        let (log, dir) = (scratch.path().join("log"), scratch.path());
        let process = Process::spawn(command(jar, &port)?, &log, dir, Signal::KILL)?;
        let mut registry = Self {
            process,
            port,
            _scratch: scratch,
        };
        registry.await_answer()?;
        Ok(registry)
    }

    /// The base URL of Confluent's API, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{API}", self.port.address())
    }

    /// Stops the process in its tracks (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets a paused registry go on.
    pub fn resume(&mut self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    fn await_answer(&mut self) -> Result<()> {
        let subjects = format!("{API}/subjects");
        wait::until(START_LIMIT, "the registry's first answer", || {
            self.process.ensure_running()?;
            Ok(http::answers(&self.port.address(), &subjects).then_some(()))
        })
    }
}

impl Server for Registry {
    type Options = ();

    const NAME: &'static str = "the schema registry";

    fn available() -> bool {
        artifacts::REGISTRY.available()
    }

    fn start_with((): ()) -> Result<Self> {
        Self::start()
    }
}

fn command(jar: PathBuf, port: &Port) -> Result<Command> {
    let mut java = Command::new(artifacts::java().context("no Java; set JAVA_HOME or PATH")?);
    java.args([
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-jar",
    ])
    .arg(jar);
    java.env("QUARKUS_HTTP_HOST", "127.0.0.1");
    java.env("QUARKUS_HTTP_PORT", port.number().to_string());
    Ok(java)
}

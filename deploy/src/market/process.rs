//! The process of a market.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use super::Shop;
use crate::http;
use crate::port::Port;
use crate::process::{Process, run};
use crate::wait;

/// The administrator's mail address.
pub const ADMIN: &str = "admin@example.com";

/// The password of every account.
pub const PASSWORD: &str = "correct horse battery";

/// How long a market may take until it is ready, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How long a market that is not to start may take to say so.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// What the log says when a store is given up and restored from its changelog.
const GAVE_UP: [&str; 2] = ["rebuilt", "the state is damaged"];

/// What a market is started with.
#[derive(Clone, Debug)]
pub struct MarketOptions {
    /// The program, `env!("CARGO_BIN_EXE_millrace")` for a test of the package that builds it.
    pub program: PathBuf,
    /// The folder of its data, kept when the market is dropped; without one it gets its own.
    pub data: Option<PathBuf>,
    /// Flags after `serve`.
    pub flags: Vec<String>,
    /// Environment variables; `MILLRACE_RATE_LIMITS=off` and the administrator are given.
    pub environment: Vec<(String, String)>,
}

impl MarketOptions {
    /// A market of `program` with everything embedded.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            data: None,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With a flag and its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// With a flag that has no value.
    #[must_use]
    pub fn switch(mut self, name: &str) -> Self {
        self.flags.push(name.to_owned());
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On the data in `folder`.
    #[must_use]
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }
}

/// A market in a process of its own; dropping it kills it, and removes its data unless its options
/// name their folder.
#[derive(Debug)]
pub struct Market {
    process: Option<Process>,
    options: MarketOptions,
    port: Port,
    scratch: TempDir,
}

impl Market {
    /// Starts a market and waits until it is ready.
    pub fn start(options: MarketOptions) -> Result<Self> {
        let mut market = Self::stopped(options)?;
        market.restart()?;
        Ok(market)
    }

    /// A market that does not run yet.
    pub fn stopped(options: MarketOptions) -> Result<Self> {
        Ok(Self {
            process: None,
            options,
            port: Port::reserve()?,
            scratch: tempfile::Builder::new()
                .prefix("millrace-market-")
                .tempdir()?,
        })
    }

    /// Where it is served, `http://127.0.0.1:PORT`: the same after a restart.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// A client of it.
    pub fn shop(&self) -> Shop {
        Shop::new(&self.url())
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        let own = || self.scratch.path().join("data");
        self.options.data.clone().unwrap_or_else(own)
    }

    /// All that it has printed, over every restart.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The line of its log that says that a store was given up and restored, which no crash may
    /// bring about; `None` if there is none.
    pub fn gave_up_state(&self) -> Option<String> {
        let gave_up = |line: &&str| GAVE_UP.iter().any(|sign| line.contains(sign));
        self.log().lines().find(gave_up).map(str::to_owned)
    }

    /// Kills it if it runs (SIGKILL), starts it on the same data, and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_ready()
    }

    /// As [`restart`](Self::restart), without the wait.
    pub fn launch(&mut self) -> Result<()> {
        self.kill();
        let (log, scratch) = (self.log_file(), self.scratch.path());
        let process = Process::spawn(self.command(), &log, scratch, Signal::KILL)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until `/readyz` answers 200.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let address = self.port.address();
        let process = self.process.as_mut().context("the market does not run")?;
        wait::until(START_LIMIT, "a market that is ready", || {
            process.ensure_running()?;
            Ok(http::answers(&address, "/readyz").then_some(()))
        })
    }

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets a paused market go on.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Sends SIGTERM without waiting for the end.
    pub fn terminate(&mut self) -> Result<()> {
        self.running()?.signal(Signal::TERM)
    }

    /// Waits until it has ended by itself.
    pub fn wait_until_ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the market does not run")?;
        process.wait(limit)
    }

    /// Runs the program with the same options to its end, for a start that is refused.
    pub fn refused(&self) -> Result<Output> {
        run(self.command(), REFUSAL_LIMIT)
    }

    fn running(&mut self) -> Result<&mut Process> {
        let process = self.process.as_mut();
        process.context("the market does not run; call `restart` first")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.options.program);
        command.arg("serve").arg("--data").arg(self.data());
        command.args(["--listen", &self.port.address()]);
        command.args(&self.options.flags);
        let given = [
            ("MILLRACE_RATE_LIMITS", "off"),
            ("MILLRACE_ADMIN_EMAIL", ADMIN),
            ("MILLRACE_ADMIN_PASSWORD", PASSWORD),
        ];
        command.envs(given).envs(self.options.environment.clone());
        command.current_dir(self.scratch.path());
        command
    }

    /// The folder that is removed with the market, for what a test puts beside it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

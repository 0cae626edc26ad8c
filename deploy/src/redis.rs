//! A real Redis, without persistence unless its settings ask for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Server;
use crate::port::Port;
use crate::process::{Process, find_program};
use crate::wait;

/// How long Redis may take to its first answer, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a ready Redis may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long Redis may take to answer a test's command.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Directives of `redis.conf`, each with its value, beside and instead of the defaults.
pub type RedisOptions = Vec<(String, String)>;

/// A running server; dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    port: Port,
    settings: RedisOptions,
    scratch: TempDir,
}

impl Redis {
    /// Starts an empty server that keeps nothing on disk, and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(RedisOptions::new())
    }

    /// The server's URL, `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.port.address())
    }

    /// Sends a command, as `["SET", "name", "value"]`: the first line of the answer, without its end.
    pub fn send(&self, command: &[&str]) -> Result<String> {
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        let mut stream = TcpStream::connect(self.port.address())?;
        stream.set_read_timeout(Some(SEND_TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Stops the process in its tracks (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Kills the server at once (SIGKILL).
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Starts the server again on the same port, with what it had put on disk.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let dir = self.scratch.path();
        let process = Process::spawn(self.command()?, &dir.join("log"), dir, Signal::KILL)?;
        let process = self.process.insert(process);
        let address = self.port.address();
        wait::until(START_LIMIT, "the first answer of Redis", || {
            process.ensure_running()?;
            Ok(ping(&address).filter(|answer| answer == b"+PONG"))
        })?;
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .context("Redis does not run; call `restart` first")
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(program().context("redis-server is not installed")?);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &self.port.number().to_string()]);
        command.arg("--dir").arg(self.scratch.path());
        for (name, value) in &self.settings {
            command.args([&format!("--{name}"), value]);
        }
        Ok(command)
    }
}

impl Server for Redis {
    type Options = RedisOptions;

    const NAME: &'static str = "Redis";

    fn available() -> bool {
        program().is_some()
    }

    fn start_with(settings: RedisOptions) -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("millrace-redis-")
            .tempdir()?;
        let mut redis = Self {
            process: None,
            port: Port::reserve()?,
            settings,
            scratch,
        };
        redis.restart()?;
        Ok(redis)
    }
}

fn program() -> Option<PathBuf> {
    find_program("redis-server")
}

/// The answer to a PING: `+PONG`, or an error while the server still loads its data.
fn ping(address: &str) -> Option<[u8; 5]> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PING_TIMEOUT)).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

//! A server process: logged to a file, in a group of its own, and gone when its owner is gone.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// How long a server may take to shut down in order before it is killed.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// How much of a log an error quotes.
const LOG_TAIL_LINES: usize = 30;

/// A running server process; dropping it kills the process and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Kills the server when this process dies without dropping it.
    guardian: Guardian,
    log: PathBuf,
    /// Ends the server when its data no longer matter.
    last_signal: Signal,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// If this process dies first, the server gets `last_signal`, a few seconds later SIGKILL, and
    /// `scratch` is removed.
    pub(crate) fn spawn(
        mut command: Command,
        log: &Path,
        scratch: &Path,
        last_signal: Signal,
    ) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let program = command.get_program().to_owned();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {program:?}"))?;
        let guardian = Guardian::watch(child.id(), last_signal, scratch);
        let log = log.to_owned();
        Ok(Self {
            child,
            guardian: guardian?,
            log,
            last_signal,
        })
    }

    /// Fails, quoting the end of the log, when the process has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server has ended ({status}):\n{}", tail(&self.log));
        }
        Ok(())
    }

    /// Sends a signal to a process that has not been waited for.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.ensure_running()?;
        kill_process(self.pid()?, signal).context("cannot signal the server")
    }

    /// Asks the process to shut down with `signal` and waits for its end, by force if need be.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        self.wait(SHUTDOWN_LIMIT)
    }

    /// Waits at most for `limit` until the process has ended by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = wait::until(limit, "the end", || Ok(self.child.try_wait()?));
        ended.with_context(|| tail(&self.log))
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.child.id())?).context("a process id is never zero")
    }

    /// Ends the process with the least ceremony that leaves nothing behind.
    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill_process(self.pid()?, self.last_signal)?;
            // a stopped process acts on nothing but SIGKILL until it continues
            kill_process(self.pid()?, Signal::CONT)?;
            let ended = || Ok(self.child.try_wait()?);
            if wait::until(Duration::from_secs(5), "the end", ended).is_err() {
                self.child.kill()?;
            }
        }
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // a destructor has nobody to report to, and the guardian still stands behind it
        if self.end().is_ok() {
            self.guardian.dismiss();
        }
    }
}

/// A shell that reads from a pipe whose other end only this process holds.
///
/// The kernel closes that end however this process dies; the shell then ends the server. The
/// parent-death signal of Linux would not do: it fires when the *thread* that started the server
/// ends, and test threads end before the servers that they share.
#[derive(Debug)]
struct Guardian(Child);

impl Guardian {
    const SCRIPT: &str = r#"
        read -r dismissed && exit 0
        kill -"$2" "-$1"
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "-$1" || break
            sleep 0.2
        done
        kill -KILL "-$1"
        rm -rf -- "$3"
    "#;

    /// Watches over the process group `group`.
    fn watch(group: u32, last_signal: Signal, scratch: &Path) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", Self::SCRIPT, "guardian"]);
        shell
            .args([group.to_string(), last_signal.as_raw().to_string()])
            .arg(scratch);
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Ctrl-C in a terminal reaches the whole foreground group: the guardian must outlive it
        let child = shell
            .process_group(0)
            .spawn()
            .context("cannot start the guardian shell")?;
        Ok(Self(child))
    }

    /// Tells the shell that there is nothing left to guard.
    fn dismiss(&mut self) {
        let told = self
            .0
            .stdin
            .take()
            .map(|mut pipe| pipe.write_all(b"dismissed\n"));
        if matches!(told, Some(Ok(()))) {
            drop(self.0.wait());
        }
    }
}

/// Runs a short-lived program to its end, at most for `limit`.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<Output> {
    let name = format!("{:?}", command.get_program());
    let dir = tempfile::tempdir()?;
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let ended = wait::until(limit, &format!("the end of {name}"), || {
        Ok(child.try_wait()?)
    });
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    let (stdout, stderr) = (fs::read(out)?, fs::read(err)?);
    let status = ended.with_context(|| String::from_utf8_lossy(&stderr).into_owned())?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

/// Runs a short-lived program and fails, quoting its output, unless it succeeds.
pub(crate) fn run_ok(command: Command, limit: Duration) -> Result<Output> {
    let name = format!("{:?}", command.get_program());
    let output = run(command, limit)?;
    if !output.status.success() {
        let (out, err) = (&output.stdout, &output.stderr);
        let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
        bail!("{name} failed ({}):\n{text}", output.status);
    }
    Ok(output)
}

/// The end of a log file.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// Finds a program in the directories of `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("1000");
        command
    }

    fn is_running(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_dropped_process_and_its_guardian_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let process = Process::spawn(sleeper(), &log, dir.path(), Signal::TERM).unwrap();
        let (server, guardian) = (process.child.id(), process.guardian.0.id());
        assert!(is_running(server) && is_running(guardian));
        drop(process);
        assert!(!is_running(server) && !is_running(guardian));
    }

    #[test]
    fn a_stopped_process_ends_too() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut process = Process::spawn(sleeper(), &log, dir.path(), Signal::TERM).unwrap();
        let server = process.child.id();
        process.signal(Signal::STOP).unwrap();
        drop(process);
        assert!(!is_running(server));
    }

    #[test]
    fn an_ended_process_is_reported_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such disk >&2; exit 3"]);
        let mut process = Process::spawn(command, &log, dir.path(), Signal::TERM).unwrap();
        let ended = || Ok(process.ensure_running().err());
        let error = wait::until(Duration::from_secs(5), "the end", ended).unwrap();
        assert!(error.to_string().contains("no such disk"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let error = run(sleeper(), Duration::from_millis(100)).unwrap_err();
        assert!(format!("{error:#}").contains("did not happen"), "{error:#}");
    }
}

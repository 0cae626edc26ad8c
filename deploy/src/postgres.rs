//! A real PostgreSQL with an empty cluster of its own.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::Server;
use crate::port::Port;
use crate::process::{Process, find_program, run, run_ok};
use crate::wait;

/// How long PostgreSQL may take to its first answer, crash recovery included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long one statement or one helper program may take.
const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// The superuser and the first database.
const NAME: &str = "millrace";

/// Small, and without syncs: the page cache survives a killed process, and tests that cut the
/// power bring their own settings. Shared memory lies in files, so that a killed server leaves
/// none of it behind.
const DEFAULTS: [(&str, &str); 7] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "32MB"),
    ("max_connections", "200"),
    ("dynamic_shared_memory_type", "mmap"),
];

/// Server settings, each with its value, beside and instead of the defaults.
pub type PostgresOptions = Vec<(String, String)>;

/// A running server; dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    port: Port,
    settings: PostgresOptions,
    programs: PathBuf,
    /// The user that runs the server, where this process may not: PostgreSQL refuses root.
    user: Option<User>,
    scratch: TempDir,
}

impl Postgres {
    /// Starts a server with one empty database, `millrace`, and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(PostgresOptions::new())
    }

    /// The URL of the database `millrace`.
    pub fn url(&self) -> String {
        self.database_url(NAME)
    }

    /// Creates a database and returns its URL.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.sql(&format!(r#"CREATE DATABASE "{name}""#))?;
        Ok(self.database_url(name))
    }

    /// Runs statements in the database `millrace`; rows come back as text, columns split by `|`.
    pub fn sql(&self, statements: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
        psql.args([
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            NAME,
            "--command",
            statements,
        ]);
        let output = run_ok(psql, TOOL_LIMIT)?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    /// Stops the main process in its tracks (SIGSTOP): no new connection is answered.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// Lets a paused server go on.
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    /// Ends the server at once, as `pg_ctl stop -m immediate` does: the next start recovers.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Starts the server again on the same port and data, ending it first if it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let dir = self.scratch.path();
        let (log, server) = (dir.join("log"), self.server());
        self.process = Some(Process::spawn(server, &log, dir, Signal::QUIT)?);
        wait::until(START_LIMIT, "the first answer of PostgreSQL", || {
            self.running()?.ensure_running()?;
            let mut ready = self.client("pg_isready");
            ready.args(["--quiet", "--dbname", NAME]);
            Ok(run(ready, TOOL_LIMIT)?.status.success().then_some(()))
        })
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process
            .as_mut()
            .context("PostgreSQL does not run; call `restart` first")
    }

    fn database_url(&self, database: &str) -> String {
        format!("postgres://{NAME}@{}/{database}", self.port.address())
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Gives the folder to the server's user and makes the database cluster in it.
    fn initialize(&self) -> Result<()> {
        if let Some(user) = self.user {
            chown(self.scratch.path(), Some(user.id), Some(user.group))?;
        }
        let mut initdb = self.program("initdb");
        initdb.args(["--username", NAME, "--auth", "trust", "--encoding", "UTF8"]);
        initdb
            .args(["--locale", "C", "--no-sync", "--pgdata"])
            .arg(self.data());
        run_ok(initdb, TOOL_LIMIT).map(drop)
    }

    fn server(&self) -> Command {
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.data());
        server.args(["-p", &self.port.number().to_string()]);
        let chosen = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in DEFAULTS.into_iter().chain(chosen) {
            server.args(["-c", &format!("{name}={value}")]);
        }
        server
    }

    /// A program of PostgreSQL that connects to this server.
    fn client(&self, name: &str) -> Command {
        let mut client = self.program(name);
        client.args([
            "--host",
            "127.0.0.1",
            "--port",
            &self.port.number().to_string(),
        ]);
        client.args(["--username", NAME]);
        client
    }

    /// A program of PostgreSQL, run by the server's user in a folder that this user may enter.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.scratch.path());
        if let Some(user) = self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }
}

impl Server for Postgres {
    type Options = PostgresOptions;

    const NAME: &'static str = "PostgreSQL";

    fn available() -> bool {
        programs().is_some()
    }

    fn start_with(settings: PostgresOptions) -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("millrace-postgres-")
            .tempdir()?;
        let programs = programs().context("PostgreSQL is not installed")?;
        let user = if geteuid().is_root() {
            Some(User::for_server()?)
        } else {
            None
        };
        let port = Port::reserve()?;
        let mut postgres = Self {
            process: None,
            port,
            settings,
            programs,
            user,
            scratch,
        };
        postgres.initialize()?;
        postgres.restart()?;
        postgres.create_first_database()?;
        Ok(postgres)
    }
}

impl Postgres {
    fn create_first_database(&self) -> Result<()> {
        let mut createdb = self.client("createdb");
        createdb.arg(NAME);
        run_ok(createdb, TOOL_LIMIT).map(drop)
    }
}

/// The folder of the newest installed version; Debian keeps the server's programs off `PATH`.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let debian = folders
        .filter(|bin| bin.join("initdb").is_file())
        .max_by_key(|bin| version(bin));
    debian.or_else(|| find_program("initdb")?.parent().map(Path::to_owned))
}

/// The version in `/usr/lib/postgresql/VERSION/bin`.
fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// A user of the operating system.
#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl User {
    /// `postgres`, which the package makes, else `nobody`.
    fn for_server() -> Result<Self> {
        let users = fs::read_to_string("/etc/passwd")?;
        let named = |name: &str| users.lines().find_map(|line| Self::parse(line, name));
        named("postgres")
            .or_else(|| named("nobody"))
            .context("no user 'postgres' or 'nobody'")
    }

    /// Reads `NAME:PASSWORD:ID:GROUP:...`.
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let (found, _password) = (fields.next()?, fields.next()?);
        let (id, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (found == name).then_some(Self { id, group })
    }
}

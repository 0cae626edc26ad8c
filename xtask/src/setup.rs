//! Installs what the tests need and this machine lacks: packages with apt, jars with Maven.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};
use millrace_deploy::{Kafka, Postgres, Redis, Registry, Server};

use crate::step::step;

/// A download may fail once or twice for reasons that pass.
const FETCH_ATTEMPTS: usize = 3;

/// Installs everything that is missing, and fails unless every server can be started afterwards.
pub(crate) fn run() -> Result<()> {
    let packages = missing_packages();
    if !packages.is_empty() {
        install(&packages)?;
    }
    fetch()?;
    for (server, available) in servers() {
        println!("{server}: {}", if available { "ready" } else { "missing" });
    }
    if servers().iter().any(|(_, available)| !available) {
        bail!("a server is still missing; see above");
    }
    Ok(())
}

/// Each server that tests start, and whether this machine has it.
pub(crate) fn servers() -> [(&'static str, bool); 4] {
    [
        (Kafka::NAME, Kafka::available()),
        (Registry::NAME, Registry::available()),
        (Postgres::NAME, Postgres::available()),
        (Redis::NAME, Redis::available()),
    ]
}

/// The Debian packages of what is not there.
fn missing_packages() -> Vec<&'static str> {
    let wanted = [
        ("curl", on_path("curl")),
        ("postgresql", Postgres::available()),
        ("redis-server", Redis::available()),
        (
            "default-jre-headless",
            on_path("java") || env::var_os("JAVA_HOME").is_some(),
        ),
        ("maven", on_path("mvn")),
    ];
    wanted
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(package, _)| package)
        .collect()
}

fn install(packages: &[&str]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing packages; run as root: apt-get install {}",
            packages.join(" ")
        );
    }
    step(
        "apt-get update",
        Command::new("apt-get").args(["update", "--quiet"]),
    )?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(packages);
    step(
        "apt-get install",
        install.env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn fetch() -> Result<()> {
    let attempt = |number| {
        millrace_deploy::fetch().inspect_err(|error| eprintln!("attempt {number}: {error:#}"))
    };
    let fetched = (1..=FETCH_ATTEMPTS).any(|number| attempt(number).is_ok());
    fetched
        .then_some(())
        .context("cannot fetch the jars of Kafka and of the registry")
}

/// Whether the directories of `PATH` have this program.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

//! What CI runs, in the order in which a mistake is cheapest to find.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::repository::{self, Repository};
use crate::setup::{on_path, servers};
use crate::step::step;
use crate::tidy;

/// Runs every check, whatever the others found, and the tests last; fails if any of them failed.
pub(crate) fn run() -> Result<()> {
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    let results = [
        format(),
        tidy::run(),
        check_dependencies(),
        cargo(&clippy),
        documentation(),
        test(),
    ];
    let steps = results.len();
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    for failure in &failures {
        eprintln!("failed: {failure:#}");
    }
    if !failures.is_empty() {
        bail!("{} of {steps} steps failed", failures.len());
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let name = format!("cargo {}", arguments.join(" "));
    step(&name, repository::cargo().args(arguments))
}

/// Builds the documentation: a link that leads nowhere fails.
fn documentation() -> Result<()> {
    let mut cargo = repository::cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--locked"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    step("cargo doc", &mut cargo)
}

/// Checks the format of everything, and by name that of the files that a macro takes in:
/// `cargo fmt` does not look there.
fn format() -> Result<()> {
    let repository = Repository::load()?;
    let topologies = repository.files("topologies/src/", ".rs");
    let named = topologies.map(|file| file.path.as_str());
    let arguments: Vec<_> = ["fmt", "--all", "--", "--check"]
        .into_iter()
        .chain(named)
        .collect();
    step("cargo fmt", repository::cargo().args(arguments))
}

/// cargo-deny reads the same `deny.toml` as the rules, which already ran: it adds the other
/// platforms, the list of duplicates, and known faults of what is depended on. `setup` does not
/// install it, for it compiles longer than everything else that CI does; whoever has it, uses it.
fn check_dependencies() -> Result<()> {
    if !on_path("cargo-deny") {
        println!("== cargo-deny is not installed: the rules have checked licences and sources");
        return Ok(());
    }
    cargo(&["deny", "check", "advisories", "licenses", "bans", "sources"])
}

/// Runs the tests, and says afterwards which of them were skipped for want of a server.
fn test() -> Result<()> {
    for (server, available) in servers() {
        println!(
            "{server}: {}",
            if available {
                "ready"
            } else {
                "missing, its tests skip"
            }
        );
    }
    let report = skip_report()?;
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
    let tested = step(
        &format!("cargo {}", arguments.join(" ")),
        repository::cargo()
            .args(arguments)
            .env("MILLRACE_SKIPPED", &report),
    );
    let skipped = fs::read_to_string(&report).unwrap_or_default();
    fs::remove_file(&report)?;
    if !skipped.is_empty() {
        println!(
            "== {} tests were skipped:\n{}",
            skipped.lines().count(),
            distinct(&skipped)
        );
    }
    tested
}

/// An empty place for the tests' reports.
fn skip_report() -> Result<PathBuf> {
    let file = env::temp_dir().join(format!("millrace-skipped-{}", std::process::id()));
    fs::write(&file, "")?;
    Ok(file)
}

fn distinct(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n")
}

//! One step of a task: a program that is seen to run.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::repository;

/// Runs a program with its output passed through; `name` is for the eyes.
#[expect(clippy::disallowed_methods, reason = "says how long each step took")]
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .current_dir(repository::root())
        .status();
    let status = status.with_context(|| format!("cannot start '{name}'"))?;
    if !status.success() {
        bail!("'{name}' failed ({status})");
    }
    eprintln!("== {name}: {} s", start.elapsed().as_secs());
    Ok(())
}

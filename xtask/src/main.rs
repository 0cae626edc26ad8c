//! The front door: what a developer and CI run, one word each.

mod ci;
mod repository;
mod setup;
mod source;
mod step;
mod tidy;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the servers that the tests start.
    Setup,
    /// Run what CI runs: format, lints, rules, dependencies, tests.
    Ci,
    /// Check the rules of the project.
    Tidy,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
    }
}

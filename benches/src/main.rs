//! `millrace-benches`: measures the engine, and prints the result beside its peers'.

use anyhow::Result;
use clap::{Parser, Subcommand};
use millrace_benches::orders;
use millrace_benches::streams::{self, client};

#[derive(Debug, Parser)]
#[command(name = "millrace-benches")]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Measure topologies against Kafka Streams on one broker that this starts.
    Streams(streams::Options),
    /// Measure how long orders of a market that runs take until they are confirmed.
    Orders(orders::Options),
    /// Run one measurement in this process, and print it as a line of JSON.
    #[command(hide = true)]
    Client(client::Job),
}

fn main() -> Result<()> {
    // Warnings only: a measurement that logs measures its log.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    match Arguments::parse().command {
        Action::Streams(options) => streams::run(&options),
        Action::Orders(options) => orders::run(&options),
        Action::Client(job) => client::run(&job),
    }
}

//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use super::{ConfigError, Options, Settings};

/// Millrace: stream processing with the semantics of Kafka Streams, and a market built on it.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, about, max_term_width = 100)]
pub struct Cli {
    /// The options; each is a flag of every command.
    #[command(flatten)]
    pub options: Options,
    /// What to do; without a word the market is served.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the topologies and serve the API.
    Serve,
    /// Print the catalogue of topics as a table.
    Topics,
    /// Look at topologies.
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Look at the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Look at stores.
    #[command(subcommand)]
    State(StateCommand),
    /// Forget all state and all offsets of the topologies, so that they begin anew.
    Reset,
    /// Run the topologies over the whole log again.
    Replay,
}

/// What to see of topologies.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TopologyCommand {
    /// Print the names.
    List,
    /// Print one topology.
    Describe {
        /// Its name.
        name: String,
        /// How.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// What to see of the log.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum LogCommand {
    /// Print the records of a topic as JSON lines.
    Dump {
        /// The topic.
        topic: String,
        /// Print what is not committed, or was aborted, as well.
        #[arg(long)]
        uncommitted: bool,
    },
}

/// What to see of stores.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum StateCommand {
    /// Print the entries of a store as JSON lines.
    Dump {
        /// The store.
        store: String,
    },
}

/// How a topology is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As Kafka Streams describes it.
    Text,
    /// As a diagram for Mermaid.
    Mermaid,
    /// As JSON.
    Json,
}

impl Cli {
    /// What to do, and the settings that hold.
    ///
    /// # Errors
    /// One line that names the option.
    pub fn settle(self) -> Result<(Command, Settings), ConfigError> {
        let settings = Settings::resolve(self.options)?;
        Ok((self.command.unwrap_or(Command::Serve), settings))
    }
}

/// What is wrong with a command line, as one line.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage"));
    let first = lines.next().unwrap_or_default().to_owned();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more"))
        .fold(first, |mut all, line| {
            all.push(' ');
            all.push_str(line);
            all
        })
}

//! The command line.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

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
    /// Look into the log.
    #[command(subcommand)]
    Log(LogCommand),
    /// Look into stores.
    #[command(subcommand)]
    State(StateCommand),
    /// Put dead letters back to the topics that they came from, each exactly once.
    ///
    /// A group of its own remembers what was put back, in the same transactions: an interrupted run
    /// is repeated, and a second run puts back only what came since. The headers `__replay.topic`,
    /// `__replay.partition` and `__replay.offset` say where a record lay; those about its fault go.
    Replay {
        /// The topic of the dead letters, such as `orders-dead-letter`; another one is refused.
        topic: String,
        /// Only say what would be put back.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let topologies begin anew: all of them, or those of `--only`.
    ///
    /// Their input is read again from the first record; their changelogs, repartition topics and
    /// local stores are deleted. Other topics, dead letters, schemas and accounts stay. What is
    /// deleted is said first, and asked for.
    ///
    /// Commands are kept for 7 days, events for 7 or 30: on an older market stock, catalogue and
    /// orders cannot be made again from what is left. So a topology whose input has lost its first
    /// records is refused, unless `--lose-history` is given.
    Reset {
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
        /// Delete the embedded database of accounts as well.
        #[arg(long)]
        accounts: bool,
        /// Let topologies begin anew without what the deleted records of their input said.
        #[arg(long)]
        lose_history: bool,
    },
}

/// What to see of the log.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum LogCommand {
    /// Print the records of a topic as lines of JSON: partition, offset, timestamp, headers, key,
    /// value.
    Dump {
        /// Its name.
        topic: String,
        /// Print records of transactions that are open or were aborted as well.
        #[arg(long)]
        uncommitted: bool,
    },
}

/// What to see of stores.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum StateCommand {
    /// Print what a store holds, as lines of JSON: for each key the record of its changelog that
    /// holds.
    Dump {
        /// Its name.
        store: String,
    },
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
    /// What `arguments` say, the program's name first.
    ///
    /// # Errors
    /// What is wrong with them, or the help that they ask for.
    pub fn read<A: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&command().try_get_matches_from(arguments)?)
    }

    /// What to do, and the settings that hold.
    ///
    /// # Errors
    /// One line that names the option.
    pub fn settle(self) -> Result<(Command, Settings), ConfigError> {
        let settings = Settings::resolve(self.options)?;
        Ok((self.command.unwrap_or(Command::Serve), settings))
    }
}

/// The command line, each command with help on the options that it uses. It takes the others all
/// the same: they may come from the environment that it shares with `serve`.
fn command() -> clap::Command {
    let command = Cli::command();
    let options: Vec<_> = command.get_arguments().cloned().collect();
    command.mut_subcommands(|one| {
        let Some(used) = used_by(one.get_name()) else {
            return one;
        };
        let others = options
            .iter()
            .filter(|it| !used.contains(&it.get_id().as_str()));
        one.args(others.cloned().map(|it| it.hide(true)))
    })
}

/// The options that a command uses; `None` for all.
fn used_by(command: &str) -> Option<&'static [&'static str]> {
    match command {
        "topics" | "topology" => Some(&[]),
        "log" | "state" | "replay" => Some(&["config", "data", "kafka", "registry"]),
        "reset" => Some(&["config", "data", "kafka", "registry", "only"]),
        _ => None,
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

//! The program `millrace`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser as _;
use clap::error::ErrorKind;
use millrace_api::config::{Cli, Command, Format, Settings, TopologyCommand, one_line};
use millrace_api::gateway::BuiltInGateway;
use millrace_api::outside::MailFolder;
use millrace_api::serve::{Ground, Instance, Outside, rules};
use millrace_avro::catalog;
use millrace_topologies::registry::{ENTRIES, select};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise: the libraries' own steps are of no interest.
const LOGGED: &str = "info,lsm_tree=warn,fjall=warn,sqlx=warn";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&one_line(&error)),
    };
    let settled = cli.settle().map_err(anyhow::Error::from);
    match settled.and_then(|(command, settings)| run(command, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("error: {error:#}")),
    }
}

fn failed(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::from(2)
}

fn run(command: Command, settings: Settings) -> Result<()> {
    match command {
        Command::Serve => serve(settings),
        Command::Topics => {
            print!("{}", topics());
            Ok(())
        }
        Command::Topology(command) => {
            print!("{}", topology(command, &settings)?);
            Ok(())
        }
    }
}

fn serve(settings: Settings) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    tokio::runtime::Runtime::new()?.block_on(async {
        let mailer = Arc::new(MailFolder::new(settings.data.join("mail")));
        // First, for it keeps other processes out of the folder that the rest opens files in.
        let ground = Ground::open(&settings)?;
        let gateway = BuiltInGateway::open(&settings, &signing_secret()).await?;
        let outside = Outside {
            gateway: Some(gateway),
            mailer,
        };
        let instance = Instance::start(settings, ground, outside).await?;
        println!("serving http://{}", instance.address());
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        instance.stop().await.context("shutdown")
    })
}

/// What the simulator signs its webhooks with: they stay within the process, so a new secret at each
/// start is enough.
fn signing_secret() -> String {
    millrace_api::clock::random_token()
}

/// The catalogue as a table.
fn topics() -> String {
    let head = format!(
        "{:<24} {:<14} {:>10}  {:<18} types\n",
        "topic", "key", "partitions", "kept"
    );
    catalog::topics().iter().fold(head, |table, topic| {
        let (name, partitions) = (&topic.spec.name, topic.spec.partitions);
        let (key, kept, types) = (topic.key, topic.kept(), topic.types.join(" "));
        format!("{table}{name:<24} {key:<14} {partitions:>10}  {kept:<18} {types}\n")
    })
}

fn topology(command: TopologyCommand, settings: &Settings) -> Result<String> {
    let (name, format) = match command {
        TopologyCommand::List => {
            let line = |list: String, entry: &millrace_topologies::registry::Entry| {
                format!("{list}{:<16} {}\n", entry.name, entry.purpose)
            };
            return Ok(ENTRIES.iter().fold(String::new(), line));
        }
        TopologyCommand::Describe { name, format } => (name, format),
    };
    let found = select(Some(&name)).map_err(|error| anyhow!(error))?;
    let entry = found
        .first()
        .with_context(|| format!("no topology is named `{name}`"))?;
    let topology = (entry.define)(&rules(settings))?;
    Ok(match format {
        Format::Text => topology.describe(),
        Format::Mermaid => topology.mermaid(),
        Format::Json => {
            let durable = topology.durable_names(topology.name());
            let json = serde_json::json!({
                "name": topology.name(),
                "purpose": entry.purpose,
                "sources": topology.source_topics(),
                "sinks": topology.sink_topics(),
                "durable_names": durable,
            });
            format!("{json:#}\n")
        }
    })
}

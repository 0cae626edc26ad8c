//! The program `millrace`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use clap::error::ErrorKind;
use millrace_api::commands;
use millrace_api::config::{Cli, Command, Settings, one_line};
use millrace_api::gateway::{BuiltInGateway, signing_secret};
use millrace_api::outside::MailFolder;
use millrace_api::serve::{Ground, Instance, Outside, entries};
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
            // To nobody, if whoever asked has gone.
            error.print().ok();
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&one_line(&error)),
    };
    let settled = cli.settle().map_err(anyhow::Error::from);
    match settled.and_then(|(command, settings)| run(command, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("error: {error:#}")),
    }
}

/// Whether a reader such as `head` has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn failed(line: &str) -> ExitCode {
    eprintln!("{line}");
    ExitCode::from(2)
}

fn run(command: Command, settings: Settings) -> Result<()> {
    match command {
        Command::Serve => serve(settings),
        command => {
            log_to_stderr("warn");
            commands::run(command, &settings, &mut std::io::stdout().lock())
        }
    }
}

/// Says what happens, unless the environment's `RUST_LOG` says otherwise from `level` on.
fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

fn serve(settings: Settings) -> Result<()> {
    log_to_stderr(LOGGED);
    settings.check_serving()?;
    // A name that nobody knows is refused before anything is made.
    entries(&settings)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let mailer = Arc::new(MailFolder::new(settings.data.join("mail")));
        // First, for it keeps other processes out of the folder that the rest opens files in.
        let ground = Ground::open(&settings)?;
        let gateway = BuiltInGateway::open(&settings, &signing_secret(&settings)?).await?;
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
        let failure = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            failure = instance.failed() => Some(failure),
        };
        let stopped = instance.stop().await.context("shutdown");
        failure.map_or(stopped, Err)
    })
}

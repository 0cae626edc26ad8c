//! The program `millrace`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::error::ErrorKind;
use millrace_api::commands;
use millrace_api::config::{Cli, Command, Settings, one_line};
use millrace_api::gateway::{BuiltInGateway, signing_secret};
use millrace_api::ground::Ground;
use millrace_api::outside::MailFolder;
use millrace_api::serve::{Instance, Outside, bind, say};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise: the libraries' own steps are of no interest.
const LOGGED: &str = "info,lsm_tree=warn,fjall=warn,sqlx=warn";

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
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
        Err(error) if is_half_a_command(error.kind()) => return help_on_it(),
        Err(error) => return failed(&one_line(&error)),
    };
    let settled = cli.settle().map_err(anyhow::Error::from);
    match settled.and_then(|(command, settings)| run(command, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("error: {error:#}")),
    }
}

/// Whether a word such as `log` needs another one, which is not there.
fn is_half_a_command(kind: ErrorKind) -> bool {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    matches!(
        kind,
        DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand
    )
}

/// Shows which words there are.
fn help_on_it() -> ExitCode {
    let arguments = std::env::args_os().chain(["--help".into()]);
    match Cli::read(arguments) {
        Err(help) => failed(help.to_string().trim_end()),
        Ok(_) => ExitCode::from(2),
    }
}

/// Whether a reader such as `head` has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn failed(line: &str) -> ExitCode {
    // To nobody, if nobody reads.
    writeln!(std::io::stderr(), "{line}").ok();
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
        // It would tell of a log that nobody reads in that same log, and panic.
        .log_internal_errors(false)
        .init();
}

fn serve(settings: Settings) -> Result<()> {
    log_to_stderr(LOGGED);
    settings.check_serving()?;
    // A name that nobody knows is refused before anything is made.
    settings.entries()?;
    // Each segment of the log is an open file, and each connection.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the number of open files stays limited as it was");
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        // Before anything is made: an address that is taken stays taken.
        let socket = bind(settings.listen)?;
        let mails = settings.data.join("mail");
        let mailer = Arc::new(MailFolder::new(mails.clone()));
        // Then this, for it keeps other processes out of the folder that the rest opens files in.
        let ground = Ground::open(&settings)?;
        let gateway = BuiltInGateway::open(&settings, &signing_secret(&settings)?).await?;
        let outside = Outside {
            gateway: Some(gateway),
            mailer,
        };
        let instance = Instance::start_at(socket, settings, ground, outside).await?;
        tracing::info!(mails = %mails.display(), "mails are written to files; payments are simulated");
        say(&format!("serving http://{}", instance.address()));
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
        if failure.is_none() && stopped.is_ok() {
            say("stopped");
        }
        failure.map_or(stopped, Err)
    })
}

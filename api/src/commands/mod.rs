//! What the program does besides serving: one file, one command.
//!
//! | command | does |
//! | --- | --- |
//! | `topics` | prints the catalogue |
//! | `topology` | lists and draws topologies |
//! | `log dump` | prints the records of a topic |
//! | `state dump` | prints what a store holds |
//! | `replay` | puts dead letters back to where they came from |
//! | `reset` | lets topologies begin anew |
//!
//! In the embedded mode, those that open the log need the folder for themselves.

mod alone;
mod line;
mod log;
mod replay;
mod reset;
mod scan;
mod state;
mod topics;
mod topology;

use std::io::{self, Write};

pub use log::dump;

use anyhow::{Result, bail};

use crate::config::{Command, LogCommand, Settings, StateCommand};
use crate::ground::{Ground, name_registry};

/// Does what `command` asks, and writes to `out` what it asks for.
///
/// Serving is not among the commands: it answers nothing for [`Command::Serve`].
///
/// # Errors
/// One that says what to do.
pub fn run(command: Command, settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let done = match command {
        Command::Serve => Ok(()),
        Command::Topics => topics::print(out),
        Command::Topology(command) => topology::print(command, settings, out),
        Command::Log(LogCommand::Dump { topic, uncommitted }) => {
            dump(&ground(settings)?, &topic, uncommitted, out)
        }
        Command::State(StateCommand::Dump { store }) => {
            state::dump(&ground(settings)?, settings, &store, out)
        }
        Command::Replay { topic, dry_run } => {
            replay::replay(&ground(settings)?, &topic, dry_run, out)
        }
        Command::Reset {
            yes,
            accounts,
            lose_history,
        } => {
            let asked = reset::Asked {
                yes,
                accounts,
                lose_history,
            };
            reset::reset(settings, asked, &mut io::stdin().lock(), out)
        }
    };
    done.or_else(unless_nobody_reads)
        .map_err(|error| name_registry(error, settings))
}

/// `millrace log dump orders | head` is no error.
fn unless_nobody_reads(error: anyhow::Error) -> Result<()> {
    let is_broken_pipe = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_broken_pipe { Ok(()) } else { Err(error) }
}

/// The log and the registry, which must have been served before.
fn ground(settings: &Settings) -> Result<Ground> {
    settings.check_log()?;
    if settings.kafka.is_none() && !settings.data.join("log").is_dir() {
        let folder = settings.data.display();
        bail!("folder `{folder}` holds no log; name the one that was served with `--data`");
    }
    Ground::open(settings)
}

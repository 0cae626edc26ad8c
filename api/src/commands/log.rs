//! `log dump`: the records of a topic as lines of JSON.

use std::io::Write;

use anyhow::Result;
use millrace_streams::log::Isolation;

use super::line::Lines;
use super::scan::scan;
use crate::ground::Ground;

/// Writes every record that `topic` has now as a line of JSON, by its partitions: those that are
/// committed, or all.
///
/// # Errors
/// When there is no such topic, or the log, the schema registry or `out` fails.
pub fn dump(ground: &Ground, topic: &str, uncommitted: bool, out: &mut dyn Write) -> Result<()> {
    let lines = Lines::new(&ground.resources)?;
    let isolation = match uncommitted {
        true => Isolation::ReadUncommitted,
        false => Isolation::ReadCommitted,
    };
    scan(&*ground.log, topic, isolation, |partition, record| {
        Ok(writeln!(out, "{}", lines.of(partition, record)?)?)
    })
}

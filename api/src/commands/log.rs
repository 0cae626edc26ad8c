//! `log dump`: the records of a topic as lines of JSON.

use std::io::Write;

use anyhow::Result;
use millrace_streams::log::Isolation;

use super::line::Lines;
use super::scan::scan;
use crate::serve::Ground;

pub(super) fn dump(
    ground: &Ground,
    topic: &str,
    uncommitted: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let lines = Lines::new(&ground.resources)?;
    let isolation = match uncommitted {
        true => Isolation::ReadUncommitted,
        false => Isolation::ReadCommitted,
    };
    scan(&*ground.log, topic, isolation, |partition, record| {
        Ok(writeln!(out, "{}", lines.of(partition, record)?)?)
    })
}

//! Topologies that a reset was about to let begin anew when it was cut off: a file of the data folder
//! names them. Their input is to be read again from its begin, onto a state that may still be there:
//! what they count would count twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::file;

const FILE: &str = "reset-unfinished";

/// The names in the data folder; none where no reset was cut off.
pub(crate) fn read(data: &Path) -> Result<BTreeSet<String>> {
    let file = data.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error).with_context(|| format!("`{}`", file.display())),
    }
}

/// Writes the names down, so that they outlive a power cut; without any the file goes.
pub(crate) fn write(data: &Path, names: &BTreeSet<String>) -> Result<()> {
    let path = data.join(FILE);
    let written = if names.is_empty() {
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    } else {
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        file::replace(data, FILE, lines.as_bytes())
    };
    written.with_context(|| format!("`{}`", path.display()))
}

/// Refuses to run them before their reset is done.
///
/// # Errors
/// Says what to do.
pub(crate) fn refuse(data: &Path) -> Result<()> {
    let names: Vec<String> = read(data)?.into_iter().collect();
    ensure!(
        names.is_empty(),
        "a reset was cut off; repeat it: `millrace reset --only {}`, with `--accounts` if it had that",
        names.join(",")
    );
    Ok(())
}

//! The rules of the project as tests: what the compiler cannot see, and reviewers should not have to.

mod arrows;
mod dependencies;
mod homes;
mod modules;
mod shape;
mod stand_alone;

use std::fmt;

use anyhow::{Result, bail};

use crate::repository::{File, Repository};

/// A rule, and why it exists.
#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    why: &'static str,
    check: fn(&Repository) -> Vec<Finding>,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }

    /// The same finding for several lines of a file.
    fn at_lines(file: &File, lines: Vec<usize>, what: &str) -> Vec<Self> {
        lines
            .into_iter()
            .map(|line| Self::new(&file.path, line, what))
            .collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Rule {
    /// Fails with every place that breaks the rule.
    fn run(&self, repository: &Repository) -> Result<()> {
        let findings: Vec<_> = (self.check)(repository)
            .iter()
            .map(|finding| format!("  {finding}\n"))
            .collect();
        if findings.is_empty() {
            return Ok(());
        }
        bail!("rule '{}': {}\n{}", self.name, self.why, findings.concat());
    }
}

/// Checks every rule and reports all that are broken.
pub(crate) fn run() -> Result<()> {
    let repository = Repository::load()?;
    let rules = rules();
    let broken: Vec<_> = rules
        .iter()
        .filter_map(|rule| rule.run(&repository).err())
        .collect();
    for error in &broken {
        eprintln!("{error}");
    }
    match broken.len() {
        0 => println!(
            "{} rules hold in {} files",
            rules.len(),
            repository.files.len()
        ),
        count => bail!("{count} of {} rules are broken", rules.len()),
    }
    Ok(())
}

fn rules() -> Vec<Rule> {
    [
        arrows::RULES,
        modules::RULES,
        homes::RULES,
        shape::RULES,
        dependencies::RULES,
        stand_alone::RULES,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_rules() {
        if let Err(error) = run() {
            panic!("{error}; see above");
        }
    }
}

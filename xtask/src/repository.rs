//! The repository as the rules see it: its files, and what cargo knows about its packages.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::source::{code_only, is_word};

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Everything the rules look at.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The text files, in the order of their paths.
    pub(crate) files: Vec<File>,
    /// Every package that the workspace builds from, itself included.
    pub(crate) packages: Vec<Package>,
}

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Rust source without comments and literals; empty for other files.
    pub(crate) code: String,
}

/// A package as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// Where it comes from; none for a member of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether only tests, benches and examples see it.
    pub(crate) for_tests: bool,
}

impl Repository {
    /// Reads the files and asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let root = root();
        let mut files = Vec::new();
        read_folder(&root, &root, &ignored(&root)?, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            files,
            packages: packages()?,
        })
    }

    /// The files whose path starts and ends so.
    pub(crate) fn files(&self, start: &str, end: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |f| f.path.starts_with(start) && f.path.ends_with(end))
    }

    /// Every Rust source file.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &File> {
        self.files("", ".rs")
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.source.is_none())
    }
}

impl File {
    /// A file from its path and text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            code_only(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    /// The numbers, from 1, of the lines whose code has `pattern` with no word character beside it.
    pub(crate) fn code_lines(&self, pattern: &str) -> Vec<usize> {
        lines_with(&self.code, |line| has_word(line, pattern))
    }

    /// The numbers of the lines whose text, comments included, has `pattern`.
    pub(crate) fn text_lines(&self, pattern: &str) -> Vec<usize> {
        lines_with(&self.text, |line| line.contains(pattern))
    }
}

/// The numbers, from 1, of the lines that pass.
pub(crate) fn lines_with(text: &str, pass: impl Fn(&str) -> bool) -> Vec<usize> {
    let passing = text.lines().enumerate().filter(|(_, line)| pass(line));
    passing.map(|(index, _)| index + 1).collect()
}

/// Whether `pattern` stands in `line` with no word character directly before or after it.
pub(crate) fn has_word(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + pattern.len()..]);
        let opens = pattern.starts_with(is_word) && before.ends_with(is_word);
        let goes_on = pattern.ends_with(is_word) && after.starts_with(is_word);
        !opens && !goes_on
    })
}

/// The paths that `.gitignore` names from the root, and what no rule is about.
///
/// Reading the tree instead of asking git keeps the rules working in an unpacked archive.
fn ignored(root: &Path) -> Result<Vec<PathBuf>> {
    let lines = fs::read_to_string(root.join(".gitignore")).context("no .gitignore")?;
    let named = lines.lines().filter_map(|line| line.strip_prefix('/'));
    let always = [".git", "Cargo.lock", "LICENSE"];
    Ok(named.chain(always).map(|path| root.join(path)).collect())
}

fn read_folder(root: &Path, dir: &Path, skip: &[PathBuf], files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if skip.contains(&path) || path.file_name() == Some(OsStr::new("node_modules")) {
            continue;
        }
        if path.is_dir() {
            read_folder(root, &path, skip, files)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root)?.to_string_lossy();
            files.push(File::new(&relative, &text));
        }
    }
    Ok(())
}

fn packages() -> Result<Vec<Package>> {
    let mut metadata = cargo();
    // one platform: the crates of the others need not be downloaded
    metadata.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        &host()?,
    ]);
    let output = metadata.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    Ok(packages.iter().map(Package::from_json).collect())
}

impl Package {
    fn from_json(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let dependencies = json["dependencies"].as_array().into_iter().flatten();
        Self {
            name: text("name").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            license: text("license"),
            source: text("source"),
            dependencies: dependencies.map(Dependency::from_json).collect(),
        }
    }
}

impl Dependency {
    fn from_json(json: &Value) -> Self {
        let name = json["name"].as_str().unwrap_or_default().to_owned();
        Self {
            name,
            for_tests: json["kind"] == "dev",
        }
    }
}

/// The platform of this machine, as rustc names it.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_only_where_it_stands_alone() {
        assert!(has_word("use redis::Client;", "redis"));
        assert!(!has_word("redis_url", "redis"));
        assert!(has_word("x.unwrap(todo!())", "todo!"));
    }
}

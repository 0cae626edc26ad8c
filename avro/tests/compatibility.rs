//! No contract changes in a way that breaks what is in the log.
//!
//! `schemas/**/*.avsc` are the contracts, `schemas/history/<full name>/v<n>.avsc` their versions,
//! the newest equal to the contract. Versions never change: `schemas/history/sums` proves it.
//! `UPDATE_SCHEMAS=1` accepts a contract that is new, or that reads all its versions, as the next
//! version.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use millrace_avro::registry::Level;
use uuid::Uuid;

/// The contracts of one folder, and what is wrong with them.
struct Contracts {
    folder: PathBuf,
    /// By the record's full name: the text.
    current: BTreeMap<String, String>,
    problems: Vec<String>,
    update: bool,
}

impl Contracts {
    /// What is wrong with the contracts in `folder`; accepts what can be accepted if `update`.
    fn problems(folder: &Path, update: bool) -> Vec<String> {
        let mut contracts = Self {
            folder: folder.to_owned(),
            current: BTreeMap::new(),
            problems: Vec::new(),
            update,
        };
        contracts.check_sums();
        contracts.read_current(folder);
        for (name, text) in contracts.current.clone() {
            contracts.check(&name, &text);
        }
        contracts.check_gone();
        if update && contracts.problems.is_empty() {
            fs::write(contracts.sums_file(), contracts.sums()).unwrap();
        }
        contracts.problems
    }

    fn history(&self) -> PathBuf {
        self.folder.join("history")
    }

    fn sums_file(&self) -> PathBuf {
        self.history().join("sums")
    }

    fn read_current(&mut self, folder: &Path) {
        for path in entries(folder) {
            if path.is_dir() && path != self.history() {
                self.read_current(&path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "avsc")
            {
                let text = fs::read_to_string(&path).unwrap();
                let name = parsed(&path, &text).name().unwrap().fullname(None);
                if self.current.insert(name.clone(), text).is_some() {
                    self.problem(&name, "has two contracts");
                }
            }
        }
    }

    fn check(&mut self, name: &str, text: &str) {
        let versions = self.versions(name);
        let last = versions.last().map(|(_, text)| text.as_str());
        if last.is_some_and(|last| json(last) == json(text)) {
            return;
        }
        let path = self.history().join(name);
        let old: Vec<_> = versions
            .iter()
            .map(|(n, text)| (*n, parsed(&path, text)))
            .collect();
        let old: Vec<_> = old.iter().map(|(n, schema)| (*n, schema)).collect();
        let breaks = Level::BackwardTransitive.check(&parsed(&path, text), &old);
        let number = versions.len() + 1;
        if !breaks.is_empty() {
            self.problem(name, &format!("breaks: {}", breaks.join("; ")));
        } else if self.update {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(format!("v{number}.avsc")), text).unwrap();
        } else {
            self.problem(
                name,
                &format!("is not version {number} yet: run with UPDATE_SCHEMAS=1"),
            );
        }
    }

    /// The versions of a contract, which must be numbered from 1 without gaps.
    fn versions(&mut self, name: &str) -> Vec<(u32, String)> {
        let folder = self.history().join(name);
        let count = entries(&folder).len();
        let mut versions = Vec::new();
        for number in 1..=u32::try_from(count).unwrap() {
            match fs::read_to_string(folder.join(format!("v{number}.avsc"))) {
                Ok(text) => versions.push((number, text)),
                Err(_) => self.problem(name, &format!("has no version {number}, but a later one")),
            }
        }
        versions
    }

    fn check_gone(&mut self) {
        for path in entries(&self.history())
            .into_iter()
            .filter(|path| path.is_dir())
        {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !self.current.contains_key(&name) {
                self.problem(
                    &name,
                    "has versions but no contract; the log may hold its records",
                );
            }
        }
    }

    fn check_sums(&mut self) {
        let recorded = fs::read_to_string(self.sums_file()).unwrap_or_default();
        let actual = self.sums();
        for line in recorded.lines().filter(|line| !actual.contains(line)) {
            let name = line.split_whitespace().last().unwrap_or(line);
            self.problem(name, "was changed or removed: versions never change");
        }
        let unrecorded = actual.lines().find(|line| !recorded.contains(line));
        if let (Some(line), false) = (unrecorded, self.update) {
            self.problem(line, "is not in `history/sums`: run with UPDATE_SCHEMAS=1");
        }
    }

    /// One line per version: the SHA-1 of its text, as a UUID, and its path.
    fn sums(&self) -> String {
        let folders = entries(&self.history())
            .into_iter()
            .filter(|path| path.is_dir());
        let files = folders.flat_map(|folder| entries(&folder));
        let line = |path: PathBuf| {
            let sum = Uuid::new_v5(&Uuid::NAMESPACE_URL, &fs::read(&path).unwrap());
            let relative = path
                .strip_prefix(self.history())
                .unwrap()
                .display()
                .to_string();
            format!("{sum} {relative}\n")
        };
        files.map(line).collect()
    }

    fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name} {what}"));
    }
}

/// The entries of a folder in order; none if there is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn parsed(path: &Path, text: &str) -> Schema {
    Schema::parse_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_contract_reads_all_its_versions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let update = std::env::var("UPDATE_SCHEMAS").is_ok_and(|value| value == "1");
    let problems = Contracts::problems(&folder, update);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A folder with the contract `test.R`, of these fields.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new(fields: &str) -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fs::create_dir(fixture.0.path().join("orders")).unwrap();
        fixture.write(fields);
        assert_eq!(fixture.problems(true), [""; 0]);
        fixture
    }

    fn write(&self, fields: &str) {
        let text = format!(
            r#"{{"type": "record", "namespace": "test", "name": "R", "fields": [{fields}]}}"#
        );
        fs::write(self.0.path().join("orders/R.avsc"), text).unwrap();
    }

    fn version(&self, number: u32) -> PathBuf {
        let name = format!("history/test.R/v{number}.avsc");
        self.0.path().join(name)
    }

    fn problems(&self, update: bool) -> Vec<String> {
        Contracts::problems(self.0.path(), update)
    }
}

const A: &str = r#"{"name": "a", "type": "int"}"#;
const B: &str = r#"{"name": "b", "type": "int", "default": 0}"#;

#[test]
fn a_compatible_change_is_accepted_only_when_asked() {
    let fixture = Fixture::new(A);
    assert_eq!(fixture.problems(false), [""; 0]);
    fixture.write(&format!("{A}, {B}"));
    assert_eq!(
        fixture.problems(false),
        ["test.R is not version 2 yet: run with UPDATE_SCHEMAS=1"]
    );
    assert!(!fixture.version(2).exists());
    assert_eq!(fixture.problems(true), [""; 0]);
    assert!(fixture.version(2).exists());
    assert_eq!(fixture.problems(false), [""; 0]);
}

#[test]
fn a_change_that_breaks_an_older_version_is_never_accepted() {
    let fixture = Fixture::new(r#"{"name": "a", "type": "string"}"#);
    fixture.write("");
    assert_eq!(fixture.problems(true), [""; 0]);
    fixture.write(r#"{"name": "a", "type": "int", "default": 0}"#);
    for update in [false, true] {
        assert_eq!(
            fixture.problems(update),
            ["test.R breaks: reading version 1: /a: string cannot be read as int"]
        );
    }
}

#[test]
fn a_version_that_was_edited_is_noticed() {
    let fixture = Fixture::new(A);
    let edited = fs::read_to_string(fixture.version(1))
        .unwrap()
        .replace("int", "long");
    fs::write(fixture.version(1), edited).unwrap();
    for update in [false, true] {
        let problems = fixture.problems(update);
        let expected = "test.R/v1.avsc was changed or removed: versions never change";
        assert!(problems.contains(&expected.to_owned()), "{problems:?}");
    }
}

#[test]
fn a_contract_that_is_gone_is_noticed() {
    let fixture = Fixture::new(A);
    fs::remove_file(fixture.0.path().join("orders/R.avsc")).unwrap();
    assert_eq!(
        fixture.problems(true),
        ["test.R has versions but no contract; the log may hold its records"]
    );
}

//! What the workspace may depend on: licences, sources and versions.

use std::collections::BTreeMap;

use toml::Table;

use super::{Finding, Rule};
use crate::repository::{File, Package, Repository};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "licences",
        why: "who builds on this project must not inherit a duty from a crate nobody looked at; \
              `deny.toml` lists what is accepted",
        check: licences,
    },
    Rule {
        name: "sources",
        why: "a build must not depend on a git branch or on a registry of one's own",
        check: sources,
    },
    Rule {
        name: "copies",
        why: "each further version of a crate is built, linked and audited again",
        check: copies,
    },
    Rule {
        name: "versions in one place",
        why: "two packages that choose a version each will choose two",
        check: versions_in_one_place,
    },
    Rule {
        name: "used dependencies",
        why: "whoever reads a manifest believes it, and everybody builds what it names",
        check: unused,
    },
];

/// Crates in transition between two major versions come twice or three times; more is neglect.
const COPIES_MAX: usize = 3;

const LOCK: &str = "Cargo.lock";

fn licences(repository: &Repository) -> Vec<Finding> {
    let accepted = Accepted::read(repository);
    let foreign = repository
        .packages
        .iter()
        .filter(|package| package.source.is_some());
    let refused = foreign.filter(|package| !accepted.allows(package));
    let findings = refused.map(|package| {
        let license = package.license.as_deref().unwrap_or("no licence");
        let what = format!(
            "'{} {}' comes under {license}",
            package.name, package.version
        );
        Finding::new("deny.toml", 1, what)
    });
    findings.collect()
}

/// What `deny.toml` accepts, for all crates and for single ones.
#[derive(Debug, Default)]
struct Accepted {
    everywhere: Vec<String>,
    exceptions: BTreeMap<String, Vec<String>>,
}

impl Accepted {
    /// Accepts nothing when the file is missing or damaged: then every licence is reported.
    fn read(repository: &Repository) -> Self {
        let file = repository
            .files
            .iter()
            .find(|file| file.path == "deny.toml");
        let table = file.and_then(|file| file.text.parse::<Table>().ok());
        table.map_or_else(Self::default, |table| Self::from_table(&table))
    }

    fn from_table(deny: &Table) -> Self {
        let licenses = deny.get("licenses");
        let list = |value: Option<&toml::Value>| -> Vec<String> {
            let items = value.and_then(toml::Value::as_array).into_iter().flatten();
            items
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        let exceptions = licenses.and_then(|table| table.get("exceptions"));
        let exceptions = exceptions
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten();
        let exceptions = exceptions.filter_map(|exception| {
            Some((
                exception.get("crate")?.as_str()?.to_owned(),
                list(exception.get("allow")),
            ))
        });
        let everywhere = list(licenses.and_then(|table| table.get("allow")));
        Self {
            everywhere,
            exceptions: exceptions.collect(),
        }
    }

    fn allows(&self, package: &Package) -> bool {
        let own = self.exceptions.get(&package.name).into_iter().flatten();
        let licenses: Vec<_> = self
            .everywhere
            .iter()
            .chain(own)
            .map(String::as_str)
            .collect();
        package
            .license
            .as_deref()
            .is_some_and(|expression| is_satisfied(expression, &licenses))
    }
}

/// Whether an SPDX expression can be satisfied with the licences given.
///
/// `OR`, and the slash of old manifests, offer a choice; `AND` demands both and binds tighter.
fn is_satisfied(expression: &str, licenses: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut parser = Expression {
        words: &words,
        licenses,
    };
    parser.any() && parser.words.is_empty()
}

struct Expression<'a> {
    words: &'a [&'a str],
    licenses: &'a [&'a str],
}

impl Expression<'_> {
    fn any(&mut self) -> bool {
        let mut holds = self.all();
        while self.take("OR") {
            holds |= self.all();
        }
        holds
    }

    fn all(&mut self) -> bool {
        let mut holds = self.one();
        while self.take("AND") {
            holds &= self.one();
        }
        holds
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let holds = self.any();
            return self.take(")") && holds;
        }
        let Some((license, rest)) = self.words.split_first() else {
            return false;
        };
        self.words = rest;
        let mut name = (*license).to_owned();
        if self.take("WITH")
            && let Some((exception, rest)) = self.words.split_first()
        {
            self.words = rest;
            name = format!("{name} WITH {exception}");
        }
        self.licenses.contains(&name.as_str())
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        self.words = &self.words[usize::from(found)..];
        found
    }
}

fn sources(repository: &Repository) -> Vec<Finding> {
    let foreign = repository
        .packages
        .iter()
        .filter_map(|p| Some((p, p.source.as_deref()?)));
    let public = "registry+https://github.com/rust-lang/";
    let odd = foreign.filter(|(_, source)| !source.starts_with(public));
    let findings =
        odd.map(|(package, source)| Finding::new(LOCK, 1, format!("'{}': {source}", package.name)));
    findings.collect()
}

fn copies(repository: &Repository) -> Vec<Finding> {
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in &repository.packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    let many = versions
        .iter()
        .filter(|(_, versions)| versions.len() > COPIES_MAX);
    let findings = many.map(|(name, versions)| {
        Finding::new(
            LOCK,
            1,
            format!("'{name}' comes in versions {}", versions.join(", ")),
        )
    });
    findings.collect()
}

fn versions_in_one_place(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files("", "/Cargo.toml") {
        let table = file.text.parse::<Table>().unwrap_or_default();
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        let sections = sections
            .iter()
            .filter_map(|name| table.get(*name)?.as_table());
        for (name, value) in sections.flatten() {
            if value.get("workspace").is_none() {
                let line = file
                    .text_lines(&format!("{name} ="))
                    .first()
                    .copied()
                    .unwrap_or(1);
                let what = format!("'{name}' does not take its version from the workspace");
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
    findings
}

/// Dependencies of a member that none of its files names. Tests and examples may name theirs in
/// comments, because examples in the documentation are compiled with them.
fn unused(repository: &Repository) -> Vec<Finding> {
    let manifests = repository.files("", "/Cargo.toml");
    manifests
        .flat_map(|manifest| unused_of(repository, manifest))
        .collect()
}

fn unused_of(repository: &Repository, manifest: &File) -> Vec<Finding> {
    let folder = manifest.path.trim_end_matches("Cargo.toml");
    let table = manifest.text.parse::<Table>().unwrap_or_default();
    let named = |section: &str| -> Vec<String> {
        let section = table.get(section).and_then(toml::Value::as_table);
        section.into_iter().flat_map(Table::keys).cloned().collect()
    };
    let sources = || repository.files(folder, ".rs");
    let in_code = |name: &str| sources().any(|file| !file.code_lines(name).is_empty());
    let in_text = |name: &str| sources().any(|file| !file.text_lines(name).is_empty());
    let idle = |name: &String, is_used: &dyn Fn(&str) -> bool| !is_used(&name.replace('-', "_"));
    let own = named("dependencies").into_iter();
    let for_tests = named("dev-dependencies").into_iter();
    let unused = own
        .filter(|name| idle(name, &in_code))
        .chain(for_tests.filter(|name| idle(name, &in_text)));
    let findings = unused.map(|name| {
        let mut lines = manifest.text.lines();
        let line = lines.position(|line| line.starts_with(&format!("{name}.")));
        let line = line.map_or(1, |index| index + 1);
        Finding::new(&manifest.path, line, format!("'{name}' is used nowhere"))
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let manifest = "[dependencies]\na-b.workspace = true\nc.workspace = true\n\
                        [dev-dependencies]\nd.workspace = true\n";
        let source = "//! Reads `c`, as d::e shows.\nuse a_b::f;\n";
        let repository = Repository {
            files: vec![
                File::new("x/Cargo.toml", manifest),
                File::new("x/src/lib.rs", source),
            ],
            packages: Vec::new(),
        };
        let found = unused(&repository);
        assert_eq!(
            found,
            [Finding::new("x/Cargo.toml", 3, "'c' is used nowhere")]
        );
    }

    #[test]
    fn a_choice_needs_one_licence_and_a_conjunction_all() {
        let known = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        assert!(is_satisfied("GPL-3.0 OR MIT", &known));
        assert!(is_satisfied("GPL-3.0/MIT", &known));
        assert!(is_satisfied("Apache-2.0 WITH LLVM-exception", &known));
        assert!(is_satisfied("(GPL-3.0 OR MIT) AND ISC", &known));
        assert!(!is_satisfied("(GPL-3.0 OR MIT) AND Apache-2.0", &known));
        assert!(!is_satisfied("MIT AND GPL-3.0", &known));
        assert!(!is_satisfied("", &known));
    }

    #[test]
    fn an_exception_holds_for_its_crate_alone() {
        let deny = r#"
            [licenses]
            allow = ["MIT"]
            exceptions = [{ crate = "odd", allow = ["EUPL-1.2"] }]
        "#;
        let accepted = Accepted::from_table(&deny.parse().unwrap());
        assert!(accepted.allows(&package("odd", "EUPL-1.2")));
        assert!(!accepted.allows(&package("even", "EUPL-1.2")));
        assert!(accepted.allows(&package("even", "MIT")));
    }

    fn package(name: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: Some(license.to_owned()),
            source: None,
            dependencies: Vec::new(),
        }
    }
}

//! Dependencies point one way: state <- streams <- avro <- processors <- topologies <- api.

use super::{Finding, Rule};
use crate::repository::{Package, Repository};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "arrows between packages",
        why: "dependencies point one way, so that each folder can be read, tested and replaced \
              without those above it",
        check: package_arrows,
    },
    Rule {
        name: "arrows in sources",
        why: "code that names a folder above its own is a cycle in the making",
        check: source_arrows,
    },
];

/// The test servers: they depend on nobody, and only tests and tools depend on them.
const SERVERS: &str = "millrace-deploy";

/// Each package and its height. A package may depend on lower ones only; equals stand side by side.
const HEIGHTS: [(&str, u32); 10] = [
    (SERVERS, 0),
    ("millrace-state", 0),
    ("millrace-streams", 1),
    ("millrace-avro", 2),
    ("millrace-processors", 3),
    ("millrace-topologies", 4),
    ("millrace-effects", 4),
    ("millrace-api", 5),
    ("millrace-benches", 6),
    ("xtask", 6),
];

fn height(package: &str) -> Option<u32> {
    HEIGHTS
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, height)| *height)
}

/// Whether `package` may depend on the workspace's `other`.
fn may_use(package: &str, other: &str, for_tests: bool) -> bool {
    let is_tool = height(package) == height("xtask");
    if other == SERVERS {
        return for_tests || is_tool;
    }
    height(package) > height(other)
}

fn package_arrows(repository: &Repository) -> Vec<Finding> {
    repository
        .members()
        .flat_map(|package| wrong_dependencies(repository, package))
        .collect()
}

fn wrong_dependencies(repository: &Repository, package: &Package) -> Vec<Finding> {
    let manifest = format!("{}/Cargo.toml", folder(&package.name));
    if height(&package.name).is_none() {
        let what = format!("'{}' has no place in the order of packages", package.name);
        return vec![Finding::new(&manifest, 1, what)];
    }
    let inside = package
        .dependencies
        .iter()
        .filter(|other| height(&other.name).is_some());
    let wrong = inside.filter(|other| !may_use(&package.name, &other.name, other.for_tests));
    wrong
        .map(|other| {
            let line = line_of(repository, &manifest, &other.name);
            Finding::new(
                &manifest,
                line,
                format!("must not depend on '{}'", other.name),
            )
        })
        .collect()
}

fn source_arrows(repository: &Repository) -> Vec<Finding> {
    HEIGHTS
        .iter()
        .flat_map(|(package, _)| upward_names(repository, package))
        .collect()
}

fn upward_names(repository: &Repository, package: &str) -> Vec<Finding> {
    let start = format!("{}/", folder(package));
    let mut findings = Vec::new();
    for (other, _) in HEIGHTS.iter().filter(|(other, _)| *other != package) {
        for file in repository.files(&start, ".rs") {
            let for_tests = !file.path.starts_with(&format!("{start}src/")) || is_test(&file.code);
            if !may_use(package, other, for_tests) {
                let lines = file.code_lines(&other.replace('-', "_"));
                findings.extend(Finding::at_lines(file, lines, &format!("names '{other}'")));
            }
        }
    }
    findings
}

/// Unit tests may start servers: whether the dependency is for tests only, the manifest says.
fn is_test(code: &str) -> bool {
    code.contains("cfg(test)") || code.contains("#[test]")
}

/// The folder of a package of this workspace.
fn folder(package: &str) -> &str {
    package.strip_prefix("millrace-").unwrap_or(package)
}

fn line_of(repository: &Repository, path: &str, word: &str) -> usize {
    let file = repository.files.iter().find(|file| file.path == path);
    file.and_then(|file| file.text_lines(word).first().copied())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::File;

    #[test]
    fn effects_and_topologies_stand_side_by_side() {
        assert!(!may_use("millrace-effects", "millrace-topologies", false));
        assert!(!may_use("millrace-topologies", "millrace-effects", false));
        assert!(may_use("millrace-api", "millrace-effects", false));
    }

    #[test]
    fn only_tests_and_tools_start_servers() {
        assert!(!may_use("millrace-api", SERVERS, false));
        assert!(may_use("millrace-api", SERVERS, true));
        assert!(may_use("millrace-benches", SERVERS, false));
    }

    #[test]
    fn a_name_that_points_upward_is_found_with_its_line() {
        let file = File::new("state/src/lib.rs", "// x\nuse millrace_streams::Task;\n");
        let repository = Repository {
            files: vec![file],
            packages: Vec::new(),
        };
        let findings = source_arrows(&repository);
        let expected = Finding::new("state/src/lib.rs", 2, "names 'millrace-streams'");
        assert_eq!(findings, [expected]);
    }
}

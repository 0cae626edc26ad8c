//! Inside a package, too, arrows point one way: its modules form no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Rule};
use crate::repository::Repository;
use crate::source::is_word;

pub(super) const RULES: &[Rule] = &[Rule {
    name: "arrows between modules",
    why: "modules that need each other can only be read, tested and changed together",
    check: circles,
}];

/// The folders whose modules stand in layers. In the others some are two halves of one thing, as the
/// DSL and its operators are.
const LAYERED: [&str; 6] = ["api", "benches", "deploy", "effects", "processors", "xtask"];

/// What each module of a package names, and where it does so first.
type Arrows = BTreeMap<String, BTreeMap<String, (String, usize)>>;

fn circles(repository: &Repository) -> Vec<Finding> {
    LAYERED
        .iter()
        .flat_map(|folder| in_circles(arrows(repository, folder)))
        .collect()
}

fn arrows(repository: &Repository, folder: &str) -> Arrows {
    let start = format!("{folder}/src/");
    let mut arrows = Arrows::new();
    for file in repository.files(&start, ".rs") {
        let module = module(file.path.strip_prefix(&start).unwrap_or_default());
        let named = arrows.entry(module.to_owned()).or_default();
        for (number, line) in (1..).zip(without_tests(&file.code).lines()) {
            for other in names(line).filter(|other| *other != module) {
                let place = || (file.path.clone(), number);
                named.entry(other.to_owned()).or_insert_with(place);
            }
        }
    }
    arrows
}

/// The module at the top of a package that a file belongs to.
fn module(path: &str) -> &str {
    path.split('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs")
}

/// Tests may look at everything.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(code)
}

/// What a line takes from the top of its package.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let starts = line.split("crate::").skip(1);
    starts.map(|rest| rest.split(|c: char| !is_word(c)).next().unwrap_or(rest))
}

/// Every arrow between modules of which each leads back to itself.
fn in_circles(mut arrows: Arrows) -> Vec<Finding> {
    loop {
        let before = arrows.len();
        let modules: BTreeSet<_> = arrows.keys().cloned().collect();
        for named in arrows.values_mut() {
            named.retain(|other, _| modules.contains(other));
        }
        let named: BTreeSet<_> = arrows.values().flat_map(BTreeMap::keys).cloned().collect();
        arrows.retain(|module, others| !others.is_empty() && named.contains(module));
        if arrows.len() == before {
            break;
        }
    }
    let finding = |module: &str, other: &str, (path, line): &(String, usize)| {
        Finding::new(
            path,
            *line,
            format!("'{module}' and '{other}' are of a circle"),
        )
    };
    let mut findings = Vec::new();
    for (module, others) in &arrows {
        findings.extend(others.iter().map(|(other, at)| finding(module, other, at)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::File;

    #[test]
    fn a_circle_is_found_with_its_arrows_and_what_leads_there_is_none() {
        let files = [
            ("api/src/lib.rs", "use crate::a::A;\n"),
            ("api/src/a.rs", "\nuse crate::b::B;\n"),
            ("api/src/b/mod.rs", "fn f() { crate::c::g() }\n"),
            (
                "api/src/b/deep.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
            ),
            ("api/src/c.rs", "use crate::b::B;\nuse crate::d::D;\n"),
            ("api/src/d.rs", "use super::c;\n"),
        ];
        let repository = Repository {
            files: files
                .map(|(path, text)| File::new(path, text))
                .into_iter()
                .collect(),
            packages: Vec::new(),
        };
        let expected = [
            Finding::new("api/src/b/mod.rs", 1, "'b' and 'c' are of a circle"),
            Finding::new("api/src/c.rs", 1, "'c' and 'b' are of a circle"),
        ];
        assert_eq!(circles(&repository), expected);
    }
}

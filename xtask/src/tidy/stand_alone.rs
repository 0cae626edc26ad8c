//! The repository stands alone: it builds and reads the same on a machine that has nothing else.

use super::{Finding, Rule};
use crate::repository::{File, Repository, lines_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no registry hosts",
        why: "which mirror serves the packages is the machine's business",
        check: registry_hosts,
    },
    Rule {
        name: "no outside paths",
        why: "a path that leaves the repository points to nothing on the next machine",
        check: outside_paths,
    },
];

/// Spelled in pieces, so that this file keeps the rule.
const HOSTS: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("repo.maven", ".apache.org"),
    concat!("maven", ".org"),
    concat!("sonatype", ".org"),
    concat!("pypi", ".org"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("deb.debian", ".org"),
    concat!("archive.ubuntu", ".com"),
];

/// First folders of paths that exist on one machine only.
const PRIVATE: [&str; 6] = ["root", "home", "Users", "work", "mnt", "media"];

fn registry_hosts(repository: &Repository) -> Vec<Finding> {
    let findings = repository.files.iter().flat_map(|file| {
        HOSTS.into_iter().flat_map(|host| {
            Finding::at_lines(file, file.text_lines(host), &format!("names '{host}'"))
        })
    });
    findings.collect()
}

fn outside_paths(repository: &Repository) -> Vec<Finding> {
    let findings = repository.files.iter().flat_map(|file| {
        let private = lines_with(&file.text, names_a_private_path);
        let leaving = lines_with(&file.text, |line| climbs(line) > depth(file));
        let private = Finding::at_lines(file, private, "names a path of one machine");
        let leaving = Finding::at_lines(file, leaving, "names a path above the repository");
        private.into_iter().chain(leaving)
    });
    findings.collect()
}

/// Whether an absolute path in this line begins with a private folder.
fn names_a_private_path(line: &str) -> bool {
    PRIVATE
        .iter()
        .map(|folder| format!("/{folder}/"))
        .any(|start| {
            line.match_indices(&start)
                .any(|(at, _)| !line[..at].ends_with(continues_a_path))
        })
}

fn continues_a_path(c: char) -> bool {
    c.is_alphanumeric() || "_./-}*)".contains(c)
}

/// How many folders up the line's steepest relative path goes.
fn climbs(line: &str) -> usize {
    let up = "../";
    let runs = line.match_indices(up).map(|(at, _)| {
        let rest = &line[at..];
        (rest.len() - rest.trim_start_matches(up).len()) / up.len()
    });
    runs.max().unwrap_or_default()
}

/// How many folders lie between the root and the file.
fn depth(file: &File) -> usize {
    file.path.matches('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(path: &str, text: &str) -> usize {
        let files = vec![File::new(path, text)];
        outside_paths(&Repository {
            files,
            packages: Vec::new(),
        })
        .len()
    }

    #[test]
    fn a_relative_path_may_climb_to_the_root_and_no_further() {
        assert_eq!(
            finds("avro/src/lib.rs", &format!("{}x", "../".repeat(2))),
            0
        );
        assert_eq!(
            finds("avro/src/lib.rs", &format!("{}x", "../".repeat(3))),
            1
        );
    }

    #[test]
    fn a_home_is_a_path_of_one_machine_and_a_route_is_not() {
        assert_eq!(finds("a.md", &["see ", "home", "me/notes"].join("/")), 1);
        assert_eq!(
            finds("a.md", &["GET https:", "", "shop", "home", "x"].join("/")),
            0
        );
        assert_eq!(finds("a.md", "POST /orders/work"), 0);
    }
}

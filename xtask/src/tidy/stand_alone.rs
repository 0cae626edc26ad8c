//! The repository stands alone: it builds and reads the same on a machine that has nothing else.

use std::net::Ipv4Addr;

use super::{Finding, Rule};
use crate::repository::{File, Repository, lines_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no outside paths",
        why: "a path that leaves the repository points to nothing on the next machine",
        check: outside_paths,
    },
    Rule {
        name: "no local hosts",
        why: "a name or an address of one network means nothing, or something else, on the next",
        check: local_hosts,
    },
];

/// First folders of paths that exist on one machine only.
const PRIVATE: [&str; 4] = ["root", "home", "Users", "tmp"];

/// How names of hosts end that one network only knows.
const LOCAL: [&str; 5] = [".local", ".localdomain", ".lan", ".internal", ".corp"];

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

fn local_hosts(repository: &Repository) -> Vec<Finding> {
    let findings = repository.files.iter().flat_map(|file| {
        let lines = lines_with(&file.text, |line| hosts(line).any(is_local));
        Finding::at_lines(file, lines, "names a host of one network")
    });
    findings.collect()
}

/// The hosts of the URLs in a line, without user and port.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).map(|rest| {
        let is_end = |c: char| !(c.is_alphanumeric() || ".-_@".contains(c));
        let host = rest.split(is_end).next().unwrap_or_default();
        host.rsplit('@').next().unwrap_or_default()
    })
}

/// Whether only one network knows the host. The machine itself is the same name everywhere.
fn is_local(host: &str) -> bool {
    let address = host.parse::<Ipv4Addr>();
    LOCAL.iter().any(|end| host.ends_with(end)) || address.is_ok_and(|it| it.is_private())
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
        assert_eq!(finds("a.md", "POST /orders/home"), 0);
    }

    #[test]
    fn a_host_of_one_network_is_found_and_the_machine_itself_is_not() {
        let url = |host: &str| ["see http:", "", host, "x"].join("/");
        let is_found = |host: &str| hosts(&url(host)).any(is_local);
        for host in [
            "me@10.1.2.3:80",
            "192.168.0.1",
            "build.corp:8080",
            "a.local",
        ] {
            assert!(is_found(host), "{host}");
        }
        for host in ["127.0.0.1:80", "localhost", "maven.apache.org", "8.8.8.8"] {
            assert!(!is_found(host), "{host}");
        }
    }
}

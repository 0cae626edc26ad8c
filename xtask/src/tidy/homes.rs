//! Where the outside may be named: each foreign library has one home, and pure code has none.

use super::{Finding, Rule};
use crate::repository::{File, Repository, has_word, lines_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "home of rdkafka",
        why: "the engine knows the log port only; a second door would escape the simulation",
        check: |repository| strangers(repository, &["rdkafka", "rdkafka_sys"], is_kafka_log),
    },
    Rule {
        name: "home of fjall",
        why: "a store backend is one file behind a trait, so that it can be measured and replaced",
        check: |repository| {
            strangers(repository, &["fjall"], |path| {
                path == "state/src/backend/fjall.rs"
            })
        },
    },
    Rule {
        name: "home of redis",
        why: "one file decides what happens when the cache is away; a second would forget to",
        check: |repository| one_module(repository, "redis", &|line| names_crate(line, "redis")),
    },
    Rule {
        name: "home of the SQL drivers",
        why: "SQLite and PostgreSQL are the same to the services; one module knows the difference",
        check: |repository| one_module(repository, "sqlx", &names_driver),
    },
    Rule {
        name: "state knows no log",
        why: "bytes in, bytes out: the stores must stay usable and testable without a broker",
        check: state_knows_no_log,
    },
    Rule {
        name: "pure processors",
        why: "a business rule is a function of (state, event, time): whatever else it reads makes \
              replay differ from the first run",
        check: pure_processors,
    },
    Rule {
        name: "home of unsafe",
        why: "unsafe code is audited in one small module",
        check: home_of_unsafe,
    },
];

/// The log, and the bench that measures the client without it.
fn is_kafka_log(path: &str) -> bool {
    path.starts_with("streams/src/log/kafka/") || path == "benches/src/streams/raw.rs"
}

/// The files outside the home that name one of the crates.
fn strangers(repository: &Repository, crates: &[&str], is_home: fn(&str) -> bool) -> Vec<Finding> {
    let outside = repository.sources().filter(|file| !is_home(&file.path));
    outside
        .flat_map(|file| crates.iter().flat_map(|name| namings(file, name)))
        .collect()
}

fn namings(file: &File, name: &str) -> Vec<Finding> {
    // a module of that name hides the crate
    if !file.code_lines(&format!("mod {name};")).is_empty() {
        return Vec::new();
    }
    let lines = lines_with(&file.code, |line| names_crate(line, name));
    Finding::at_lines(file, lines, &format!("names '{name}'"))
}

/// Whether a path in this line begins with the crate.
fn names_crate(line: &str, name: &str) -> bool {
    let paths = line.match_indices(name).filter(|(at, _)| {
        let (before, after) = (&line[..*at], &line[at + name.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "_:.".contains(c));
        let imported = before.trim_end().ends_with("use") && after.starts_with([';', ' ']);
        begins && (after.starts_with("::") || imported)
    });
    paths.count() > 0 && has_word(line, name)
}

/// The types by which one database is told from the other.
fn names_driver(line: &str) -> bool {
    let drivers = [
        "sqlx::postgres",
        "sqlx::sqlite",
        "sqlx::any",
        "sqlx::Postgres",
        "sqlx::Sqlite",
        "sqlx::PgPool",
        "sqlx::SqlitePool",
        "PgPool",
        "SqlitePool",
        "PgConnection",
        "SqliteConnection",
    ];
    drivers.iter().any(|driver| has_word(line, driver))
}

/// The places that name a crate in more than one module, counting users of the crate only.
fn one_module(repository: &Repository, name: &str, names: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let users = repository.members().filter(|package| {
        package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == name)
    });
    let mut places = Vec::new();
    for user in users {
        let folder = user.name.strip_prefix("millrace-").unwrap_or(&user.name);
        for file in repository.files(&format!("{folder}/src/"), ".rs") {
            let hidden = !file.code_lines(&format!("mod {name};")).is_empty();
            let lines = if hidden {
                Vec::new()
            } else {
                lines_with(&file.code, names)
            };
            places.extend(lines.first().map(|line| (file.path.clone(), *line)));
        }
    }
    if share_a_module(&places) {
        return Vec::new();
    }
    let what = format!("names '{name}', as do the other files listed: give it one home");
    places
        .iter()
        .map(|(path, line)| Finding::new(path, *line, what.as_str()))
        .collect()
}

/// Whether one module, a file or a folder with its file, holds all the places.
fn share_a_module(places: &[(String, usize)]) -> bool {
    let Some((first, _)) = places.first() else {
        return true;
    };
    let stem = module(first);
    let parent = stem.rsplit_once('/').map_or("", |(parent, _)| parent);
    let holds = |home: &str| {
        let inside = format!("{home}/");
        places
            .iter()
            .all(|(path, _)| module(path) == home || path.starts_with(&inside))
    };
    // a whole `src` is no module
    holds(stem) || (!parent.ends_with("/src") && holds(parent))
}

/// The path of a module without what a file adds to it.
fn module(path: &str) -> &str {
    path.strip_suffix("/mod.rs")
        .or_else(|| path.strip_suffix(".rs"))
        .unwrap_or(path)
}

fn state_knows_no_log(repository: &Repository) -> Vec<Finding> {
    let files = repository.files("state/", "");
    let findings = files.flat_map(|file| {
        let lines = lines_with(&file.text, |line| line.to_lowercase().contains("kafka"));
        Finding::at_lines(file, lines, "mentions Kafka")
    });
    findings.collect()
}

/// What reads a clock, chance or the outside, or waits for it.
const IMPURE: [&str; 20] = [
    "tokio",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "now_utc",
    "now_v7",
    "new_v4",
    "rand::",
    "reqwest",
    "redis::",
    "sqlx",
    "rdkafka",
    "async",
    "println!",
    "thread_local!",
];

fn pure_processors(repository: &Repository) -> Vec<Finding> {
    let files = repository.files("processors/src/", ".rs");
    let findings = files.flat_map(|file| {
        IMPURE.iter().flat_map(|word| {
            Finding::at_lines(
                file,
                file.code_lines(word),
                &format!("'{word}' is not pure"),
            )
        })
    });
    findings.collect()
}

fn home_of_unsafe(repository: &Repository) -> Vec<Finding> {
    let outside = repository
        .sources()
        .filter(|f| !f.path.starts_with("streams/src/log/kafka/ffi"));
    let findings =
        outside.flat_map(|file| Finding::at_lines(file, file.code_lines("unsafe"), "is unsafe"));
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_files(files: &[(&str, &str)]) -> Repository {
        let files = files
            .iter()
            .map(|(path, text)| File::new(path, text))
            .collect();
        Repository {
            files,
            packages: Vec::new(),
        }
    }

    #[test]
    fn a_crate_is_named_by_the_head_of_a_path() {
        assert!(names_crate("use fjall::Keyspace;", "fjall"));
        assert!(names_crate("fn open() -> fjall::Result<()> {", "fjall"));
        assert!(names_crate("use fjall;", "fjall"));
        assert!(!names_crate("use crate::fjall::Backend;", "fjall"));
        assert!(!names_crate("let fjall = 1;", "fjall"));
    }

    #[test]
    fn rdkafka_outside_its_home_is_found_and_in_a_comment_is_not() {
        let repository = of_files(&[
            ("streams/src/log/kafka/consumer.rs", "use rdkafka::Message;"),
            (
                "streams/src/task.rs",
                "// like rdkafka::Message\nuse rdkafka::Message;",
            ),
        ]);
        let findings = strangers(&repository, &["rdkafka"], is_kafka_log);
        assert_eq!(
            findings,
            [Finding::new("streams/src/task.rs", 2, "names 'rdkafka'")]
        );
    }

    #[test]
    fn files_of_one_folder_share_a_module_and_others_do_not() {
        let at = |paths: &[&str]| -> Vec<_> {
            paths.iter().map(|path| ((*path).to_owned(), 1)).collect()
        };
        assert!(share_a_module(&at(&[
            "api/src/sql.rs",
            "api/src/sql/lite.rs"
        ])));
        assert!(share_a_module(&at(&[
            "api/src/sql/lite.rs",
            "api/src/sql/mod.rs"
        ])));
        assert!(share_a_module(&at(&[
            "api/src/sql/lite.rs",
            "api/src/sql/postgres.rs"
        ])));
        assert!(!share_a_module(&at(&[
            "api/src/sql.rs",
            "api/src/carts.rs"
        ])));
        assert!(!share_a_module(&at(&[
            "api/src/cache.rs",
            "effects/src/cache.rs"
        ])));
    }

    #[test]
    fn a_clock_in_a_processor_is_found() {
        let text = "use std::time::{Duration, Instant};\nfn later(instant: u8) {}";
        let findings = pure_processors(&of_files(&[("processors/src/saga.rs", text)]));
        assert_eq!(
            findings,
            [Finding::new(
                "processors/src/saga.rs",
                1,
                "'Instant' is not pure"
            )]
        );
    }
}

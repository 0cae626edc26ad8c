//! The shape of the sources: how a file opens, how long it is, and what is never left in it.

use super::{Finding, Rule};
use crate::repository::{Repository, has_word, lines_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "opening sentence",
        why: "a reader decides by the first line whether this is the file",
        check: opening_sentence,
    },
    Rule {
        name: "length of files",
        why: "a file that no longer fits a head has two subjects",
        check: length,
    },
    Rule {
        name: "nothing unfinished",
        why: "what is merged works; plans are kept where work is planned",
        check: unfinished,
    },
    Rule {
        name: "no pauses in tests",
        why: "a test that sleeps is slow on a fast machine and fails on a slow one: wait for a \
              condition",
        check: pauses,
    },
    Rule {
        name: "lints of the workspace",
        why: "one set of lints holds for every package",
        check: lints,
    },
];

/// Lines.
const LONGEST: usize = 600;

/// A sentence has at least so many words.
const SENTENCE_WORDS: usize = 3;

fn opening_sentence(repository: &Repository) -> Vec<Finding> {
    let mute = repository
        .sources()
        .filter(|file| !opens_with_a_sentence(&file.text));
    let what = "does not open with a sentence that says what it is (`//! ...`)";
    mute.map(|file| Finding::new(&file.path, 1, what)).collect()
}

fn opens_with_a_sentence(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let comment = first
        .strip_prefix("//!")
        .or_else(|| first.strip_prefix("// "));
    comment.is_some_and(|words| words.split_whitespace().count() >= SENTENCE_WORDS)
}

fn length(repository: &Repository) -> Vec<Finding> {
    let long = repository.sources().filter_map(|file| {
        let lines = file.text.lines().count();
        let what = format!("has {lines} lines, more than {LONGEST}");
        (lines > LONGEST).then(|| Finding::new(&file.path, LONGEST + 1, what))
    });
    long.collect()
}

/// Spelled in pieces, so that this file keeps the rule.
const MARKS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

fn unfinished(repository: &Repository) -> Vec<Finding> {
    let stubs = repository.sources().flat_map(|file| {
        ["todo!", "unimplemented!", "#[ignore"]
            .into_iter()
            .flat_map(|stub| {
                Finding::at_lines(
                    file,
                    file.code_lines(stub),
                    &format!("leaves '{stub}' behind"),
                )
            })
    });
    let marks = repository.files.iter().flat_map(|file| {
        MARKS.into_iter().flat_map(|mark| {
            let lines = lines_with(&file.text, |line| has_word(line, mark));
            Finding::at_lines(file, lines, &format!("leaves '{mark}' behind"))
        })
    });
    stubs.chain(marks).collect()
}

fn pauses(repository: &Repository) -> Vec<Finding> {
    let tests = repository
        .sources()
        .filter(|file| file.path.contains("/tests/"));
    let findings = tests.flat_map(|file| {
        let lines = file.code_lines("sleep(").into_iter();
        let lines = lines.filter(|line| !is_injected(&file.text, *line));
        Finding::at_lines(file, lines.collect(), "sleeps")
    });
    findings.collect()
}

/// True if the line above says that the pause is the fault that a test injects, or polls.
fn is_injected(text: &str, line: usize) -> bool {
    let above = line
        .checked_sub(2)
        .and_then(|index| text.lines().nth(index));
    above.is_some_and(|above| {
        above.contains("The pause is the fault") || above.contains("between two looks")
    })
}

fn lints(repository: &Repository) -> Vec<Finding> {
    let manifests = repository.files("", "/Cargo.toml");
    let own = manifests.filter(|file| !file.text.contains("[lints]\nworkspace = true"));
    own.map(|file| Finding::new(&file.path, 1, "lacks `[lints] workspace = true`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::File;

    fn of_file(path: &str, text: &str) -> Repository {
        Repository {
            files: vec![File::new(path, text)],
            packages: Vec::new(),
        }
    }

    #[test]
    fn a_file_opens_with_a_sentence() {
        assert!(opens_with_a_sentence("//! Buffers writes until commit.\n"));
        assert!(!opens_with_a_sentence("//! Buffers.\n"));
        assert!(!opens_with_a_sentence("use std::fs;\n"));
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert!(length(&of_file("a/src/lib.rs", &"\n".repeat(LONGEST))).is_empty());
        assert_eq!(
            length(&of_file("a/src/lib.rs", &"\n".repeat(LONGEST + 1))).len(),
            1
        );
    }

    #[test]
    fn a_pause_in_a_test_is_found_unless_it_says_why() {
        let text = "use tokio::time::sleep;\nsleep(LONG).await;\n\
                    // The pause is the fault.\nthread::sleep(LONG);\n";
        let found = pauses(&of_file("a/tests/b.rs", text));
        assert_eq!(found, [Finding::new("a/tests/b.rs", 2, "sleeps")]);
    }

    #[test]
    fn marks_are_found_in_comments_and_stubs_in_code_only() {
        let text = format!("// {}\nlet x = \"todo!\";\ntodo!()", concat!("FIX", "ME"));
        let lines: Vec<_> = unfinished(&of_file("a/src/lib.rs", &text))
            .iter()
            .map(|found| found.line)
            .collect();
        assert_eq!(lines, [3, 1]);
    }
}

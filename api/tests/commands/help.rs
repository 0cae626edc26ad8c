//! What the program says of itself.

use std::path::Path;

use crate::support::{millrace, printed};

fn help(arguments: &[&str]) -> String {
    let all: Vec<_> = arguments.iter().copied().chain(["--help"]).collect();
    printed(Path::new("/nonexistent/millrace"), &all)
}

#[test]
fn a_word_that_needs_another_one_shows_which() {
    for (word, shown) in [("log", "dump"), ("state", "dump"), ("topology", "describe")] {
        let output = millrace(&[word]).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("Usage") && told.contains(shown), "{told}");
    }
}

#[test]
fn a_command_shows_the_options_that_it_uses() {
    let serve = help(&["serve"]);
    for shown in [
        "--listen",
        "[default: 15m]",
        "millrace-data",
        "Times of serving",
    ] {
        assert!(serve.contains(shown), "{shown}: {serve}");
    }
    assert!(!serve.contains("It holds"), "{serve}");
    let dump = help(&["log", "dump"]);
    assert!(
        dump.contains("--kafka") && dump.contains("--uncommitted"),
        "{dump}"
    );
    let reset = help(&["reset"]);
    assert!(
        reset.contains("--only") && reset.contains("--lose-history"),
        "{reset}"
    );
    for told in [&dump, &reset, &help(&["topics"])] {
        assert!(
            !told.contains("--listen") && !told.contains("--cart-ttl"),
            "{told}"
        );
    }
}

#[test]
fn an_option_that_a_command_does_not_use_is_taken_all_the_same() {
    let nowhere = Path::new("/nonexistent/millrace");
    let kafka = ["topics", "--kafka", "127.0.0.1:1", "--cart-ttl", "5s"];
    assert!(printed(nowhere, &kafka).contains("order-commands"));
}

//! A wrong configuration is refused at start, with one line that says what to do.

use std::net::TcpListener;
use std::path::Path;

use millrace_api::ground::Ground;
use millrace_deploy::{Kafka, KafkaOptions, Registry, require};
use millrace_streams::log::{Cleanup, TopicSpec};

use crate::support::{Market, refusal, run, settings, width};

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["serve", "--no-demo"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    refusal(&run(folder, &all))
}

#[test]
fn a_value_that_an_option_cannot_hold_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for (arguments, told) in [
        (["--listen", "nowhere"], "--listen <ADDR>"),
        (
            ["--reservation-ttl", "soon"],
            "write a number and ms, s, m, h or d",
        ),
        (["--currency", "XYZ"], "`currency`"),
        (["--postgres", "localhost"], "`postgres` must be a URL"),
        (["--postgres", "postgres://a@b:port/c"], "not `b:port/c`"),
        (["--registry", "nonsense"], "`registry` must be a URL"),
        (["--redis", "nonsense"], "`redis` must be a URL"),
        (["--requests-per-minute", "0"], "`requests-per-minute`"),
        (["--logins-per-minute", "0"], "`logins-per-minute`"),
        (["--checkouts-per-minute", "0"], "`checkouts-per-minute`"),
        (["--body-bytes-max", "0"], "`body-bytes-max`"),
        (["--admin-email", " Boss "], "`admin-email`"),
        (["--rate-limits", "maybe"], "[possible values: on, off]"),
        (
            ["--config", "/nonexistent/millrace.toml"],
            "/nonexistent/millrace.toml",
        ),
        (["--sever", "now"], "--sever"),
    ] {
        let line = refused(&data, &arguments);
        assert!(line.contains(told), "{line}");
    }
    assert!(!data.exists());
}

#[test]
fn a_folder_that_another_process_uses_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _held = Ground::open(&settings(folder.path())).expect("an empty log");
    for arguments in [&["serve", "--no-demo"][..], &["log", "dump", "orders"]] {
        let line = refusal(&run(folder.path(), arguments));
        assert!(
            line.contains("data folder") && line.contains("in use"),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_runs_keeps_its_folder_to_itself() {
    let Market {
        folder,
        ground,
        instance,
    } = Market::start().await;
    drop(ground);
    let line = refusal(&run(folder.path(), &["serve", "--no-demo"]));
    assert!(
        line.contains("data folder") && line.contains("in use"),
        "{line}"
    );
    instance.stop().await.expect("a clean end");
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = folder.path().join("data");
    let line = refused(&data, &["--listen", &address]);
    assert!(
        line.contains(&format!("cannot listen on `{address}`")),
        "{line}"
    );
    assert!(!data.exists(), "nothing is made, no password is printed");
}

#[test]
fn a_password_of_the_first_administrator_is_held_to_the_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = ["--admin-email", "boss@example.com", "--admin-password", "a"];
    let line = refused(folder.path(), &admin);
    assert!(line.contains("`admin-password` must have 8"), "{line}");
}

#[test]
fn a_database_that_does_not_answer_is_named_without_its_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = "postgres://market:hidden@127.0.0.1:1/market";
    let line = refused(folder.path(), &["--postgres", postgres]);
    assert!(
        line.contains("`postgres` at `127.0.0.1:1/market`") && line.contains("refused"),
        "{line}"
    );
    assert!(!line.contains("hidden"), "{line}");
}

#[test]
fn a_topic_with_another_number_of_partitions_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ground = Ground::open(&settings(folder.path())).expect("an empty log");
    let narrow = TopicSpec {
        name: "orders".into(),
        partitions: 1,
        cleanup: Cleanup::Compact,
    };
    ground.log.create_topics(&[narrow]).expect("a topic");
    drop(ground);
    let line = refused(folder.path(), &[]);
    assert!(
        line.contains("`orders`") && line.contains("partition"),
        "{line}"
    );
    let ground = Ground::open(&settings(folder.path())).expect("the log as it was");
    assert_eq!(width(&*ground.log, "orders"), Some(1));
    assert_eq!(
        width(&*ground.log, "carts"),
        None,
        "no half of the catalogue is made"
    );
}

#[test]
fn a_broker_or_a_registry_that_does_not_answer_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = refused(folder.path(), &["--kafka", "127.0.0.1:1"]);
    assert!(line.contains("`kafka` needs `registry`"), "{line}");
    let registry = ["--registry", "http://127.0.0.1:1"];
    let line = refused(
        folder.path(),
        &["--kafka", "127.0.0.1:1", registry[0], registry[1]],
    );
    assert!(line.contains("`kafka` needs `postgres`"), "{line}");
    let line = refused(
        folder.path(),
        &[
            "--single-instance",
            "--kafka",
            "127.0.0.1:1",
            registry[0],
            registry[1],
        ],
    );
    assert!(line.contains("127.0.0.1:1"), "{line}");
    let line = refused(folder.path(), &["--registry", "http://127.0.0.1:1"]);
    let told = "`registry` at `http://127.0.0.1:1` does not answer as one; start it";
    assert!(line.contains(told), "{line}");
}

#[test]
fn a_broker_without_the_protocol_of_streams_groups_is_refused() {
    let protocols = "group.coordinator.rebalance.protocols";
    let kafka = require!(
        Kafka,
        KafkaOptions::default().with(protocols, "classic,consumer")
    );
    let registry = require!(Registry);
    let folder = tempfile::tempdir().expect("a folder");
    let servers = [
        "--single-instance",
        "--kafka",
        &kafka.bootstrap(),
        "--registry",
        &registry.url(),
    ];
    let line = refused(folder.path(), &servers);
    assert!(line.contains(protocols), "{line}");
}

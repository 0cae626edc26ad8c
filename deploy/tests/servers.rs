//! Every server starts, answers, takes its faults, and is gone when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use millrace_deploy::{Kafka, KafkaOptions, Postgres, Redis, Registry, require, wait};

/// More than enough for a local answer; a server that is paused does not give one.
const SILENCE: Duration = Duration::from_millis(300);

fn is_listening(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Says `request` and returns the first bytes of the answer, if there is one.
fn ask(address: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = vec![0; 7];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

fn host_and_port(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

fn topics(kafka: &Kafka) -> String {
    let output = kafka
        .tool(&["org.apache.kafka.tools.TopicCommand", "--list"])
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn create_topic(kafka: &Kafka, name: &str) {
    let create = [
        "org.apache.kafka.tools.TopicCommand",
        "--create",
        "--topic",
        name,
    ];
    let output = kafka.tool(&create).unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_killed_broker_comes_back_with_its_topics_and_is_gone_after_drop() {
    let mut kafka = require!(Kafka);
    create_topic(&kafka, "orders");
    kafka.kill();
    assert!(!is_listening(&kafka.bootstrap()));
    kafka.restart().unwrap();
    assert!(topics(&kafka).contains("orders"));
    assert!(kafka.logs().contains("started"), "{}", kafka.logs());
    let address = kafka.bootstrap();
    drop(kafka);
    assert!(!is_listening(&address));
}

#[test]
fn three_brokers_beside_another_cluster_outlive_the_loss_of_one() {
    let alone = require!(Kafka);
    let mut kafka = require!(Kafka, KafkaOptions::default().brokers(3));
    create_topic(&kafka, "payments");
    kafka.broker(2).unwrap().kill();
    assert!(topics(&kafka).contains("payments"));
    kafka.broker(2).unwrap().restart().unwrap();
    assert!(!topics(&alone).contains("payments"));
}

#[test]
fn the_registry_takes_a_schema_and_gives_it_back_by_id() {
    let registry = require!(Registry);
    let address = host_and_port(&registry.url()).to_owned();
    let body = r#"{"schema":"{\"type\":\"string\"}"}"#;
    let path = "/apis/ccompat/v7/subjects/greeting/versions";
    let answer = http(&address, "POST", path, body);
    assert!(answer.contains(r#""id":"#), "{answer}");
    let answer = http(&address, "GET", path, "");
    assert!(answer.contains("[1]"), "{answer}");
    drop(registry);
    assert!(!is_listening(&address));
}

fn http(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let kind = "application/vnd.schemaregistry.v1+json";
    let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: {kind}\r\n");
    let head = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn postgres_keeps_what_was_committed_before_it_was_killed() {
    let mut postgres = require!(Postgres);
    postgres
        .sql("CREATE TABLE stock (sku text, units int)")
        .unwrap();
    postgres.sql("INSERT INTO stock VALUES ('mug', 3)").unwrap();
    postgres.kill();
    assert!(postgres.sql("SELECT 1").is_err());
    postgres.restart().unwrap();
    assert_eq!(postgres.sql("SELECT * FROM stock").unwrap(), "mug|3");
    let address = host_and_port(&postgres.url()).to_owned();
    drop(postgres);
    assert!(!is_listening(&address));
}

#[test]
fn two_postgres_side_by_side_share_nothing() {
    let (one, other) = (require!(Postgres), require!(Postgres));
    let url = one.create_database("orders").unwrap();
    assert!(url.ends_with("/orders"));
    let databases = "SELECT datname FROM pg_database";
    assert!(one.sql(databases).unwrap().contains("orders"));
    assert!(!other.sql(databases).unwrap().contains("orders"));
}

#[test]
fn a_paused_redis_is_silent_until_it_is_resumed() {
    let mut redis = require!(Redis);
    let address = host_and_port(&redis.url()).to_owned();
    let pong = Some(b"+PONG\r\n".to_vec());
    assert_eq!(ask(&address, b"PING\r\n"), pong);
    redis.pause().unwrap();
    assert_eq!(ask(&address, b"PING\r\n"), None);
    redis.resume().unwrap();
    assert_eq!(ask(&address, b"PING\r\n"), pong);
    drop(redis);
    assert!(!is_listening(&address));
}

#[test]
fn a_redis_with_persistence_remembers_after_a_kill() {
    let settings = vec![("appendonly".to_owned(), "yes".to_owned())];
    let mut redis = require!(Redis, settings);
    let address = host_and_port(&redis.url()).to_owned();
    ask(&address, b"SET colour blue\r\nPING\r\n");
    redis.kill();
    redis.restart().unwrap();
    assert_eq!(
        ask(&address, b"GET colour\r\n"),
        Some(b"$4\r\nblu".to_vec())
    );
}

#[test]
fn servers_end_when_their_owner_is_killed() {
    drop(require!(Redis));
    let mut local = Command::new(env!("CARGO_BIN_EXE_millrace-local"));
    let mut local = local
        .args(["up", "redis"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(local.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = host_and_port(line.trim()).to_owned();
    assert!(is_listening(&address), "{line}");
    local.kill().unwrap();
    local.wait().unwrap();
    let gone = || Ok((!is_listening(&address)).then_some(()));
    wait::until(Duration::from_secs(10), "the end of Redis", gone).unwrap();
}

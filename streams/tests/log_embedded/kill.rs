//! SIGKILL of a process that appends: what it has acknowledged is there afterwards.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use millrace_streams::log::{Cleanup, Log, OutputBatch, TopicPartition, TopicSpec};

use crate::kit::*;

const DIR: &str = "MILLRACE_TEST_KILL_DIR";

/// The child: commits one number after the other to three partitions, prints those that are
/// acknowledged, and cleans all the time.
#[test]
fn child_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let mut options = small();
    options.clean_interval = Some(Duration::from_millis(1));
    let log = open(Path::new(&dir), options);
    create(&*log, "t", 2);
    let compact = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec("c", 1)
    };
    log.create_topics(&[compact]).expect("created");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    member.poll_assignment().expect("polled");
    let partition = TopicPartition::new("t", 0);
    let committed = member
        .committed(std::slice::from_ref(&partition))
        .expect("read");
    let mut next = committed[0]
        .as_ref()
        .map_or(0, |committed| committed.offset);
    let mut outputs = OutputBatch::new();
    let mut out = std::io::stdout();
    loop {
        push(&mut outputs, "t", 0, "k", Some(&format!("{next}")));
        push(&mut outputs, "t", 1, "k", Some(&format!("{next}")));
        push(&mut outputs, "c", 0, "k", Some(&format!("{next}")));
        next += 1;
        member.send(&mut outputs).expect("sent");
        member.commit(&[offset("t", 0, next)]).expect("committed");
        writeln!(out, "acknowledged {next}").expect("the parent reads");
    }
}

/// Runs the child until it has acknowledged `count` numbers, kills it a moment later, and answers
/// the last number that it acknowledged.
fn run_and_kill(dir: &Path, count: usize, moment: Duration) -> i64 {
    let program = std::env::current_exe().expect("this test");
    let mut child = Command::new(program)
        .args([
            "kill::child_commits_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let out = child.stdout.take().expect("a pipe");
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    let mut acknowledged = lines.filter_map(|line| {
        let (_, number) = line.split_once("acknowledged ")?;
        number.parse::<i64>().ok()
    });
    let last = acknowledged.by_ref().take(count).last();
    // The pause is the fault: the kill comes at a moment of its own.
    thread::sleep(moment);
    child.kill().expect("killed");
    child.wait().expect("ended");
    let last = acknowledged.last().or(last);
    last.expect("the child acknowledges before it is killed")
}

#[test]
fn everything_acknowledged_before_a_sigkill_is_there_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut dice = Dice::new(1);
    for _ in 0..12 {
        let moment = Duration::from_micros(dice.next() % 20_000);
        let acknowledged = run_and_kill(dir.path(), 1 + dice.below(30), moment);
        let log = open(dir.path(), small());
        let partition = TopicPartition::new("t", 0);
        let committed = log.committed("app", std::slice::from_ref(&partition));
        let committed = committed.expect("read").swap_remove(0);
        let committed = committed.map_or(0, |committed| committed.offset);
        assert!(committed >= acknowledged, "{committed} < {acknowledged}");
        let expected: Vec<_> = (0..committed).map(|number| format!("{number}")).collect();
        assert_eq!(values(&read_all(&*log, "t", 0)), expected);
        assert_eq!(values(&read_all(&*log, "t", 1)), expected);
        let latest = values(&read_all(&*log, "c", 0));
        assert_eq!(latest.last(), expected.last());
    }
}

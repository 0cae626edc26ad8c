//! SIGKILL: a child process writes, flushes and dies; its directory must hold its last flush.

#![allow(
    clippy::disallowed_methods,
    reason = "a test that kills a process waits for it"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millrace_state::{StateDir, StateOptions, Store, StoreId, StoreOptions};

/// Tells the child where to write. Without it, the child's half of the test does nothing.
const DIRECTORY: &str = "MILLRACE_STATE_CRASH_TEST";

const KEYS: u64 = 5_000;

fn open(path: &str) -> Store {
    let options = StateOptions {
        memory_bytes_max: 1 << 20,
        flush_interval: Duration::from_millis(1),
        flush_bytes: 200_000,
    };
    let dir = StateDir::open(path, options).unwrap();
    let id = StoreId::new("app", "0_0", "store");
    dir.open_store(
        &id,
        StoreOptions {
            ordered: false,
            changelog: true,
        },
    )
    .unwrap()
}

/// The write that the child makes at `offset`: every key is the sum of what was added to it.
fn key_at(offset: u64) -> [u8; 8] {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS).to_be_bytes()
}

/// Writes for ever, from where the store stands, and says how far it got after each commit.
#[test]
fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut store = open(&path);
    let mut offset = store.position().unwrap_or(0) as u64;
    loop {
        for _ in 0..500 {
            let key = key_at(offset);
            let old = store.get(&key).unwrap().map_or(0, |sum| number(&sum));
            store.put(&key, &(old + offset).to_be_bytes()).unwrap();
            offset += 1;
        }
        store.commit(Some(offset as i64)).unwrap();
        let flushed = store
            .maybe_flush(Duration::from_millis(offset / 100))
            .unwrap();
        println!("{} {offset}", if flushed { "flush" } else { "commit" });
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// Runs the child until it has begun `flushes` more flushes, kills it there, and gives the offset
/// of the flush before: a flush begins when the one before has ended.
fn run_and_kill(path: &str, flushes: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut marks = lines.filter_map(|line| line.strip_prefix("flush ")?.parse().ok());
    let flushed = marks.nth(flushes - 2).unwrap();
    marks.next().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    flushed
}

#[test]
fn after_sigkill_a_store_is_exactly_its_last_flush() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut last = 0;
    for round in 0..6 {
        let flushed = run_and_kill(path, 3 + round * 5);
        let store = open(path);
        let position = store.position().unwrap() as u64;
        assert!(
            position >= flushed,
            "lost a whole flush: {position} of {flushed}"
        );
        assert!(flushed > last, "nothing happened in this round");
        let mut sums = vec![0u64; KEYS as usize];
        for offset in 0..position {
            sums[number(&key_at(offset)) as usize] += offset;
        }
        for entry in store.all() {
            let entry = entry.unwrap();
            let sum = std::mem::take(&mut sums[number(entry.key()) as usize]);
            assert_eq!(number(entry.value()), sum, "at position {position}");
        }
        assert!(
            sums.iter().all(|sum| *sum == 0),
            "keys are missing at position {position}"
        );
        last = flushed;
    }
}

#[test]
fn a_store_reopens_at_once_whatever_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut store = open(path);
    let records: Vec<_> = (0..200_000u64).map(u64::to_be_bytes).collect();
    for chunk in records.chunks(10_000) {
        store
            .restore(chunk.iter().map(|key| (&key[..], Some(&key[..]))), 1)
            .unwrap();
        store.maybe_flush(Duration::ZERO).unwrap();
    }
    store.close().unwrap();
    let began = Instant::now();
    let store = open(path);
    assert_eq!(store.get(&records[77]).unwrap().unwrap(), records[77]);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(store.len_approximate(), 200_000);
}

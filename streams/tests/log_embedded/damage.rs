//! Damage to real files: it is found, or it is an unfinished end that is cut off; it is never
//! passed over.

use std::fs;
use std::path::{Path, PathBuf};

use millrace_streams::log::{Cleanup, Log, LogError, TopicSpec};

use crate::kit::*;

/// A log that was closed cleanly, and what is in it.
struct Sample {
    dir: tempfile::TempDir,
    contents: Vec<Vec<Read>>,
    /// The last segment, and where its last frame begins.
    last: PathBuf,
    last_frame: usize,
}

const PARTITIONS: i32 = 2;

fn read_both(dir: &Path, verify: bool) -> Result<Vec<Vec<Read>>, LogError> {
    let mut options = small();
    options.verify_on_open = verify;
    let log = try_open(dir, options)?;
    (0..PARTITIONS)
        .map(|partition| try_read_all(&*log, "t", partition))
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("a directory");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|one| one == "segment");
    files(dir).into_iter().filter(is_segment).collect()
}

/// A few segments, one of them rewritten by the cleaner, and an open one with several frames.
fn sample() -> Sample {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", PARTITIONS);
    let compact = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec("c", 1)
    };
    log.create_topics(&[compact]).expect("created");
    for number in 0..200 {
        append(&*log, "c", "k", &format!("{number}"));
        append(&*log, "t", &format!("k{number}"), &format!("{number}"));
        if number == 100 {
            log.clean().expect("cleaned");
        }
    }
    while len(segments(dir.path()).last().expect("one")) > 3000 {
        append(&*log, "t", "more", "to begin a new segment");
    }
    append(&*log, "t", "last", "but one");
    let last = segments(dir.path()).pop().expect("one");
    let last_frame = len(&last);
    append(&*log, "t", "last", "of all");
    drop(log);
    Sample {
        contents: read_both(dir.path(), true).expect("intact"),
        dir,
        last,
        last_frame,
    }
}

fn len(path: &Path) -> usize {
    let len = fs::metadata(path).expect("a file").len();
    usize::try_from(len).expect("small")
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for file in files(from) {
        fs::copy(&file, to.path().join(file.file_name().expect("a name"))).expect("copied");
    }
    to
}

/// Bytes of a file, changed: what was done, and the end of what is affected.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) -> (&'static str, usize) {
    let at = dice.below(bytes.len());
    match dice.below(3) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            ("flip", at + 1)
        }
        1 => {
            bytes.truncate(at);
            ("truncate", usize::MAX)
        }
        _ => {
            let end = (at + 1 + dice.below(64)).min(bytes.len());
            // A run that is zero already would be no damage.
            bytes[at] |= 1;
            bytes[at..end].fill(0);
            ("zero", end)
        }
    }
}

fn is_prefix(read: &[Vec<Read>], of: &[Vec<Read>]) -> bool {
    read.iter()
        .zip(of)
        .all(|(read, whole)| whole.starts_with(read))
}

#[test]
fn random_damage_is_found_wherever_it_is() {
    let sample = sample();
    let last = sample.last.file_name().expect("a name");
    let (mut found, mut cut) = (0, 0);
    for seed in 0..600 {
        let mut dice = Dice::new(seed);
        let dir = copy(sample.dir.path());
        let mut targets = segments(dir.path());
        targets.push(dir.path().join("manifest"));
        let target = targets.swap_remove(dice.below(targets.len()));
        let before = fs::read(&target).expect("a file");
        let mut bytes = before.clone();
        let (what, end) = damage(&mut bytes, &mut dice);
        if bytes == before {
            continue;
        }
        fs::write(&target, &bytes).expect("written");
        let context = format!("seed {seed}: {what} up to {end} in {}", target.display());
        let is_last = target.file_name() == Some(last);
        let may_be_cut = is_last && end > sample.last_frame;
        let verified = read_both(dir.path(), true);
        // Opening with a check may have cut the end: start from the damage again.
        fs::write(&target, &bytes).expect("written");
        for outcome in [verified, read_both(dir.path(), false)] {
            match outcome {
                Err(LogError::Corrupted(_)) => found += 1,
                Ok(read) if may_be_cut && is_prefix(&read, &sample.contents) => cut += 1,
                // Compaction has left nothing of topic `t` to read in what was damaged.
                Ok(read) if !is_last && read == sample.contents => {}
                other => panic!("{context}: {other:?}"),
            }
        }
    }
    assert!(found > 300 && cut > 10, "found {found}, cut {cut}");
}

#[test]
fn checking_on_open_finds_damage_in_any_record() {
    let sample = sample();
    let segments = segments(sample.dir.path());
    for target in &segments {
        if *target == sample.last {
            continue;
        }
        for seed in 0..40 {
            let dir = copy(sample.dir.path());
            let target = dir.path().join(target.file_name().expect("a name"));
            let mut bytes = fs::read(&target).expect("a file");
            let at = Dice::new(seed).below(bytes.len());
            bytes[at] ^= 0x10;
            fs::write(&target, bytes).expect("written");
            let error = read_both(dir.path(), true).expect_err("damaged");
            let name = target.display().to_string();
            assert!(
                matches!(&error, LogError::Corrupted(text) if text.contains(&name)),
                "{error}"
            );
        }
    }
}

#[test]
fn an_unfinished_frame_at_the_end_is_cut_and_writing_goes_on() {
    let sample = sample();
    let dir = copy(sample.dir.path());
    let target = dir.path().join(sample.last.file_name().expect("a name"));
    let whole = fs::read(&target).expect("a file");
    for end in sample.last_frame..whole.len() {
        fs::write(&target, &whole[..end]).expect("written");
        let log = open(dir.path(), EmbeddedOptions64::options());
        let partition = millrace_streams::partitioner::partition_of(b"last", PARTITIONS);
        let read = values(&read_all(&*log, "t", partition));
        assert_eq!(read.last().map(String::as_str), Some("but one"));
        append(&*log, "t", "last", "again");
        drop(log);
        let log = open(dir.path(), EmbeddedOptions64::options());
        let read = values(&read_all(&*log, "t", partition));
        assert_eq!(read.last().map(String::as_str), Some("again"));
    }
}

/// Options under which no segment is closed by the few records of a test.
struct EmbeddedOptions64;

impl EmbeddedOptions64 {
    fn options() -> millrace_streams::log::embedded::EmbeddedOptions {
        let mut options = small();
        options.segment_bytes = 64 << 10;
        options
    }
}

#[test]
fn a_missing_file_is_named() {
    let sample = sample();
    for file in files(sample.dir.path()) {
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name == "lock" {
            continue;
        }
        let dir = copy(sample.dir.path());
        fs::remove_file(dir.path().join(&name)).expect("removed");
        let error = read_both(dir.path(), false).expect_err("incomplete");
        assert!(
            matches!(&error, LogError::Corrupted(text) if text.contains(&name)),
            "{error}"
        );
    }
}

#[test]
fn a_segment_without_a_manifest_is_noticed_and_nothing_is_removed() {
    let sample = sample();
    for segment in segments(sample.dir.path()) {
        let dir = tempfile::tempdir().expect("a directory");
        let alone = dir.path().join(segment.file_name().expect("a name"));
        fs::copy(&segment, &alone).expect("copied");
        let error = read_both(dir.path(), false).expect_err("no manifest");
        assert!(matches!(error, LogError::Corrupted(_)), "{error}");
        assert!(alone.exists(), "{} is gone", alone.display());
    }
}

#[test]
fn an_older_manifest_is_noticed_and_nothing_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), small());
    create(&*log, "t", PARTITIONS);
    let compact = TopicSpec {
        cleanup: Cleanup::Compact,
        ..spec("c", 1)
    };
    log.create_topics(&[compact]).expect("created");
    let read = || fs::read(dir.path().join("manifest")).expect("a file");
    let mut manifests = vec![read()];
    for number in 0..200 {
        append(&*log, "c", "k", &format!("{number}"));
        append(&*log, "t", &format!("k{number}"), "v");
        if number % 30 == 29 {
            log.clean().expect("cleaned");
        }
        manifests.push(read());
    }
    drop(log);
    manifests.dedup();
    let latest = manifests.pop();
    assert!(
        latest.is_some() && manifests.len() > 5,
        "{}",
        manifests.len()
    );
    for older in manifests {
        let dir = copy(dir.path());
        let before = files(dir.path());
        fs::write(dir.path().join("manifest"), older).expect("written");
        let error = read_both(dir.path(), false).expect_err("older");
        assert!(matches!(error, LogError::Corrupted(_)), "{error}");
        assert_eq!(files(dir.path()), before);
    }
}

#[test]
fn a_journal_inside_a_record_is_not_taken_for_the_journal() {
    let sample = sample();
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), EmbeddedOptions64::options());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    let inner = fs::read(&sample.last).expect("a file");
    let mut new = record("t", Some("k"), None);
    new.value = Some(inner);
    wait(log.writer("w").expect("a writer").append(new)).expect("appended");
    drop(log);
    let target = segments(dir.path()).pop().expect("one");
    let whole = fs::read(&target).expect("a file");
    fs::write(&target, &whole[..whole.len() - 1]).expect("written");
    let log = open(dir.path(), small());
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["before"]);
}

//! Disks that fail: full, refusing a write, refusing a sync, stalling.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use millrace_streams::Timestamp;
use millrace_streams::log::embedded::{
    DirLock, Disk, DiskFile, EmbeddedLog, EmbeddedOptions, FileSystem,
};
use millrace_streams::log::{Cleanup, CommitError, Log, LogError, OutputBatch, TopicSpec};

use crate::kit::*;

/// What goes wrong, and how often it has.
#[derive(Debug)]
struct Faults {
    /// The room that is left, in bytes. A write that needs more writes a part and fails.
    room: AtomicI64,
    /// No segment can be begun, for want of room.
    segments_fail: AtomicBool,
    write_fails: AtomicBool,
    sync_fails: AtomicBool,
    /// The next sync fails, and no other.
    one_sync_fails: AtomicBool,
    /// Syncs take this long, in milliseconds.
    stall_ms: AtomicU64,
    fired: AtomicU64,
    syncs: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            room: AtomicI64::new(i64::MAX),
            segments_fail: AtomicBool::new(false),
            write_fails: AtomicBool::new(false),
            sync_fails: AtomicBool::new(false),
            one_sync_fails: AtomicBool::new(false),
            stall_ms: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        }
    }
}

impl Faults {
    fn fire(&self, kind: io::ErrorKind) -> io::Error {
        self.fired.fetch_add(1, Ordering::SeqCst);
        kind.into()
    }

    fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct FaultyDisk(Arc<Faults>);

#[derive(Debug)]
struct FaultyFile(Box<dyn DiskFile>, Arc<Faults>);

impl FaultyDisk {
    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultyFile(file, Arc::clone(&self.0)))
    }
}

impl Disk for FaultyDisk {
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        FileSystem.lock(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        FileSystem.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let is_segment = path.extension().is_some_and(|suffix| suffix == "segment");
        if is_segment && self.0.segments_fail.load(Ordering::SeqCst) {
            return Err(self.0.fire(io::ErrorKind::StorageFull));
        }
        Ok(self.wrap(FileSystem.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(FileSystem.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FileSystem.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FileSystem.sync_dir(dir)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.1.write_fails.load(Ordering::SeqCst) {
            return Err(self.1.fire(io::ErrorKind::Other));
        }
        let len = i64::try_from(bytes.len()).expect("short");
        let room = self.1.room.fetch_sub(len, Ordering::SeqCst);
        if room < len {
            let part = usize::try_from(room.max(0)).expect("not negative");
            self.0.write_at(&bytes[..part], at)?;
            self.1.room.fetch_add(len - room.max(0), Ordering::SeqCst);
            return Err(self.1.fire(io::ErrorKind::StorageFull));
        }
        self.0.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        let stall = Duration::from_millis(self.1.stall_ms.load(Ordering::SeqCst));
        // The pause is the fault: the disk stalls.
        thread::sleep(stall);
        let fails_once = self.1.one_sync_fails.swap(false, Ordering::SeqCst);
        if fails_once || self.1.sync_fails.load(Ordering::SeqCst) {
            return Err(self.1.fire(io::ErrorKind::Other));
        }
        self.0.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

fn open_faulty(dir: &Path, options: EmbeddedOptions) -> (Arc<EmbeddedLog>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk(Arc::clone(&faults)));
    let log = EmbeddedLog::open_on(disk, dir, options).expect("the log opens");
    (log, faults)
}

#[test]
fn a_full_disk_aborts_the_commit_and_the_log_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = open_faulty(dir.path(), EmbeddedOptions::default());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    member.poll_assignment().expect("polled");
    let mut outputs = OutputBatch::new();
    for room in [0, 1, 16, 40, 100] {
        faults.room.store(room, Ordering::SeqCst);
        push(&mut outputs, "t", 0, "k", Some(&"x".repeat(200)));
        member.send(&mut outputs).expect("sent");
        let aborted = member.commit(&[offset("t", 0, 1)]);
        assert!(
            matches!(aborted, Err(CommitError::Aborted(_))),
            "{aborted:?}"
        );
        member.recover().expect("recovered");
        let refused = try_append(&*log, "t", "k", &"x".repeat(200));
        assert!(
            matches!(refused, Err(LogError::Unavailable(_))),
            "{refused:?}"
        );
    }
    assert_eq!(faults.fired(), 10);
    faults.room.store(i64::MAX, Ordering::SeqCst);
    append(&*log, "t", "k", "after");
    member.commit(&[offset("t", 0, 2)]).expect("committed");
    drop((member, log));
    let log = open(dir.path(), small());
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["before", "after"]);
}

#[test]
fn a_disk_that_is_full_at_any_byte_loses_nothing_that_was_acknowledged() {
    for room in (0..6000).step_by(173) {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, faults) = open_faulty(dir.path(), small());
        create(&*log, "t", 2);
        faults.room.store(room, Ordering::SeqCst);
        let mut acknowledged = Vec::new();
        for number in 0..60 {
            if number == 50 {
                assert!(faults.fired() > 0, "the disk was full");
                faults.room.store(i64::MAX, Ordering::SeqCst);
            }
            let value = format!("{number} {}", "x".repeat(200));
            if try_append(&*log, "t", "k", &value).is_ok() {
                acknowledged.push(value);
            }
            log.clean().unwrap_or_default();
        }
        assert!(acknowledged.len() >= 10);
        let partition = millrace_streams::partitioner::partition_of(b"k", 2);
        assert_eq!(values(&read_all(&*log, "t", partition)), acknowledged);
        drop(log);
        let log = open(dir.path(), small());
        assert_eq!(values(&read_all(&*log, "t", partition)), acknowledged);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_called_durable_and_no_sync_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = open_faulty(dir.path(), EmbeddedOptions::default());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    let mut reader = log
        .reader(millrace_streams::log::Isolation::ReadCommitted)
        .expect("a reader");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    let mut outputs = OutputBatch::new();
    push(&mut outputs, "t", 0, "k", Some("lost?"));
    member.send(&mut outputs).expect("sent");
    faults.sync_fails.store(true, Ordering::SeqCst);
    assert!(matches!(member.commit(&[]), Err(CommitError::Unknown(_))));
    faults.sync_fails.store(false, Ordering::SeqCst);
    let syncs = faults.syncs.load(Ordering::SeqCst);
    let is_corrupted = |error| matches!(error, Err(LogError::Corrupted(_)));
    assert!(is_corrupted(member.recover()));
    assert!(is_corrupted(member.fetch(Duration::ZERO, &mut Vec::new())));
    assert!(is_corrupted(
        try_append(&*log, "t", "k", "after").map(|_| ())
    ));
    assert!(is_corrupted(reader.bounds(&[]).map(|_| ())));
    assert!(is_corrupted(log.topics().map(|_| ())));
    assert!(is_corrupted(log.create_topics(&[spec("u", 1)])));
    assert!(is_corrupted(log.clean()));
    drop((reader, member, log));
    assert_eq!(
        (faults.fired(), faults.syncs.load(Ordering::SeqCst)),
        (1, syncs)
    );
    let log = open(dir.path(), small());
    let read = values(&read_all(&*log, "t", 0));
    assert!(
        read == ["before"] || read == ["before", "lost?"],
        "{read:?}"
    );
}

#[test]
fn after_a_failed_write_the_log_stops_until_it_is_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = open_faulty(dir.path(), EmbeddedOptions::default());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    faults.write_fails.store(true, Ordering::SeqCst);
    let error = try_append(&*log, "t", "k", "lost");
    assert!(matches!(&error, Err(LogError::Corrupted(_))), "{error:?}");
    faults.write_fails.store(false, Ordering::SeqCst);
    assert_eq!(
        try_append(&*log, "t", "k", "after"),
        error,
        "the first error stays"
    );
    drop(log);
    let log = open(dir.path(), small());
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["before"]);
}

#[test]
fn a_stalled_sync_delays_commits_but_neither_reading_nor_membership() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = open_faulty(dir.path(), EmbeddedOptions::default());
    create(&*log, "t", 1);
    append(&*log, "t", "k", "before");
    let mut member = log.join(seat("app", "m", &["t"])).expect("joined");
    member.poll_assignment().expect("polled");
    faults.stall_ms.store(1000, Ordering::SeqCst);
    let writer = log.writer("w").expect("a writer");
    let began = Instant::now();
    let pending = writer.append(record("t", Some("k"), Some("slow")));
    assert_eq!(
        values(&read_all(&*log, "t", 0)),
        vec!["before"],
        "durable only"
    );
    member.poll_assignment().expect("polled");
    log.join(seat("app", "other", &["t"])).expect("joined");
    assert!(began.elapsed() < Duration::from_millis(900));
    wait(pending).expect("appended");
    assert!(began.elapsed() >= Duration::from_millis(1000));
    assert_eq!(values(&read_all(&*log, "t", 0)), vec!["before", "slow"]);
}

#[test]
fn writers_are_told_when_too_much_waits() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = EmbeddedOptions {
        queue_bytes_max: 1000,
        ..EmbeddedOptions::default()
    };
    let (log, faults) = open_faulty(dir.path(), options);
    create(&*log, "t", 1);
    faults.stall_ms.store(300, Ordering::SeqCst);
    let writer = log.writer("w").expect("a writer");
    let append = |_| writer.append(record("t", Some("k"), Some(&"x".repeat(100))));
    let appended: Vec<_> = (0..50).map(append).collect();
    let (taken, refused): (Vec<_>, Vec<_>) =
        appended.into_iter().map(wait).partition(Result::is_ok);
    assert!(!taken.is_empty() && !refused.is_empty());
    let is_unavailable = |one: &Result<_, _>| matches!(one, Err(LogError::Unavailable(_)));
    assert!(refused.iter().all(is_unavailable));
    assert_eq!(read_all(&*log, "t", 0).len(), taken.len());
}

#[test]
fn a_segment_is_not_closed_over_what_a_failed_sync_has_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, faults) = open_faulty(dir.path(), small());
    create(&*log, "t", 1);
    faults.segments_fail.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    while faults.fired() == 0 {
        let value = format!("{} {}", acknowledged.len(), "x".repeat(500));
        append(&*log, "t", "k", &value);
        acknowledged.push(value);
    }
    // The segment is full, and could be closed from now on.
    faults.segments_fail.store(false, Ordering::SeqCst);
    faults.one_sync_fails.store(true, Ordering::SeqCst);
    assert!(try_append(&*log, "t", "k", "unsure").is_err());
    drop(log);
    let log = open(dir.path(), small());
    let read = values(&read_all(&*log, "t", 0));
    assert!(read.starts_with(&acknowledged), "{read:?}");
}

#[test]
fn a_disk_without_room_gets_back_what_takes_none() {
    static NOW: AtomicI64 = AtomicI64::new(1);
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = small();
    options.clock = || Timestamp::from_millis(NOW.load(Ordering::SeqCst));
    options.dirty_percent_min = 0;
    let (log, faults) = open_faulty(dir.path(), options);
    let retention = Some(Duration::from_secs(1));
    let [compacted, expiring] = [Cleanup::Compact, Cleanup::Delete { retention }];
    let topics = [("compacted", compacted), ("expiring", expiring)];
    let topics = topics.map(|(name, cleanup)| TopicSpec {
        cleanup,
        ..spec(name, 1)
    });
    log.create_topics(&topics).expect("created");
    for topic in ["compacted", "expiring", "compacted"] {
        for _ in 0..30 {
            append(&*log, topic, "k", &"x".repeat(500));
        }
    }
    let segments = || {
        let names = FileSystem.list(dir.path()).expect("listed").into_iter();
        names.filter(|name| name.ends_with(".segment")).count()
    };
    let before = segments();
    NOW.store(100_000, Ordering::SeqCst);
    faults.segments_fail.store(true, Ordering::SeqCst);
    let cleaned = log.clean();
    assert!(
        matches!(cleaned, Err(LogError::Unavailable(_))),
        "{cleaned:?}"
    );
    assert!(
        segments() < before - 2,
        "{} of {before} are left",
        segments()
    );
    faults.segments_fail.store(false, Ordering::SeqCst);
    log.clean().expect("cleaned");
    assert!(
        segments() < before - 6,
        "{} of {before} are left",
        segments()
    );
}

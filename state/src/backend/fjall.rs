//! Tables in fjall, an LSM tree: one database per directory, one keyspace per table.
//!
//! A keyspace holds the footer under the key `00`, the marks of its writes under `00` and their slot,
//! and each record under `01` and its key. They travel in one batch, so no crash parts them.

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ::fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice};

use super::{Backend, Footer, Scan, Table, marks, verify};
use crate::error::Error;
use crate::range::KeyRange;
use crate::record::Record;

/// The footer's key.
const FOOTER: &[u8] = &[0];

/// The first byte of a record's key.
const RECORD: u8 = 1;

/// The first key after all records.
const END: &[u8] = &[RECORD + 1];

/// Stands in the footer's place while the records are being deleted.
const CLEARING: &[u8] = &[0xff];

/// How many records are deleted in one batch.
const CLEAR_PER_BATCH: usize = 10_000;

/// A start after a crash replays the journal, so the journal is as small as fjall allows.
const JOURNAL_BYTES: u64 = 64 << 20;

/// The memory in front of a keyspace is short-lived: the store itself serves its reads.
const MEMTABLE_BYTES: u64 = 8 << 20;

/// All stores share the threads that compact; flushes come from one thread.
const COMPACTION_THREADS: usize = 2;

/// How long a removal waits, between two looks, for the flush of a memtable.
const LOOK: Duration = Duration::from_millis(10);

/// After so many looks, a minute's worth, it leaves the rest to compaction.
const LOOKS_MAX: usize = 6_000;

pub(crate) struct FjallBackend {
    database: Database,
    path: Arc<str>,
    ingest_bytes_min: u64,
}

impl FjallBackend {
    /// Opens or creates the database in `path`, with a cache of `cache_bytes` for its blocks.
    /// Writes of `ingest_bytes_min` and more become sorted files of their own.
    pub(crate) fn open(
        path: &Path,
        cache_bytes: u64,
        ingest_bytes_min: u64,
    ) -> Result<Self, Error> {
        verify::verify(path)?;
        let name: Arc<str> = path.display().to_string().into();
        let open = || {
            let builder = Database::builder(path).cache_size(cache_bytes);
            let builder = builder.max_journaling_size(JOURNAL_BYTES);
            builder.worker_threads(COMPACTION_THREADS).open()
        };
        // Damage that fjall did not foresee shows as a panic; it is damage all the same.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(database)) => Ok(Self {
                database,
                path: name,
                ingest_bytes_min,
            }),
            Ok(Err(error)) => Err(translate(&name, error)),
            Err(_) => Err(corrupted(
                &name,
                "the storage library panicked on it".to_owned(),
            )),
        }
    }

    fn create_options() -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
    }
}

impl Backend for FjallBackend {
    fn open(&self, name: &str) -> Result<Arc<dyn Table>, Error> {
        let keyspace = self.database.keyspace(name, Self::create_options);
        Ok(Arc::new(FjallTable {
            keyspace: keyspace.map_err(|error| translate(&self.path, error))?,
            database: self.database.clone(),
            name: Arc::new(Name {
                text: format!("{}/{name}", self.path),
                database: Path::new(&*self.path).to_owned(),
            }),
            ingest_bytes_min: self.ingest_bytes_min,
            writes: AtomicU64::new(0),
        }))
    }

    fn names(&self) -> Vec<String> {
        let names = self.database.list_keyspace_names();
        let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}

/// A table's name in errors, and where damage to it is remembered.
struct Name {
    text: String,
    database: PathBuf,
}

impl Name {
    fn refuse(&self, error: ::fjall::Error) -> Error {
        let error = translate(&self.text, error);
        self.remember(&error);
        error
    }

    fn corrupted(&self, reason: String) -> Error {
        let error = corrupted(&self.text, reason);
        self.remember(&error);
        error
    }

    /// Makes the next opening refuse what is damaged, although only a read can tell.
    fn remember(&self, error: &Error) {
        if let Error::Corrupted { reason, .. } = error {
            verify::remember_damage(&self.database, reason);
        }
    }
}

struct FjallTable {
    keyspace: Keyspace,
    database: Database,
    name: Arc<Name>,
    ingest_bytes_min: u64,
    /// The number of the last write, as far as the owner knows it.
    writes: AtomicU64,
}

impl Table for FjallTable {
    fn footer(&self) -> Result<Option<Footer>, Error> {
        match self.read_footer()? {
            Some(bytes) if *bytes != *CLEARING => {
                self.decode(&bytes).map(|(footer, _)| Some(footer))
            }
            _ => Ok(None),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        let value = self.keyspace.get(prefixed(key));
        let value = value.map_err(|error| self.name.refuse(error))?;
        Ok(value.map(|value| Record::new(key, Some(&value), &mut Vec::new())))
    }

    fn scan(&self, range: &KeyRange, reverse: bool) -> Scan {
        // A range of the keyspace itself would show later writes; a snapshot's does not.
        let snapshot = self.database.snapshot();
        let records = snapshot.range::<Vec<u8>, _>(&self.keyspace, bounds(range));
        let name = Arc::clone(&self.name);
        let mut scratch = Vec::new();
        let read = move |guard| read(&name, guard, &mut scratch);
        if reverse {
            Box::new(records.rev().map(read))
        } else {
            Box::new(records.map(read))
        }
    }

    fn write(&self, records: &[Record], footer: Footer, durable: bool) -> Result<(), Error> {
        let bytes: u64 = records.iter().map(|record| record.len() as u64).sum();
        let number = self.writes.load(Ordering::Relaxed) + 1;
        let footer = [&footer.encode()[..], &number.to_be_bytes()].concat();
        let written = if bytes < self.ingest_bytes_min {
            let mode = if durable {
                PersistMode::SyncData
            } else {
                PersistMode::Buffer
            };
            self.write_batch(records, &footer, number, mode)
        } else {
            self.ingest(records, &footer, number)
        };
        written.map_err(|error| self.name.refuse(error))?;
        self.writes.store(number, Ordering::Relaxed);
        Ok(())
    }

    // The library's own ways to do this do not hold over a crash: a replayed clear takes ingested
    // files with it, and a deleted keyspace can come back, because the sequence numbers of its
    // deletion may start anew below those of its creation.
    fn clear(&self, stop: &AtomicBool) -> Result<(), Error> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        batch.insert(&self.keyspace, FOOTER, CLEARING);
        batch.commit().map_err(|error| self.name.refuse(error))?;
        self.clear_records(stop)
    }

    fn is_used(&self) -> Result<bool, Error> {
        Ok(self.read_footer()?.is_some())
    }

    // The library's own wait goes on for ever once its disk has failed it.
    fn give_back(&self, stop: &AtomicBool) -> Result<(), Error> {
        let rotated = self.keyspace.rotate_memtable();
        rotated.map_err(|error| self.name.refuse(error))?;
        for _ in 0..LOOKS_MAX {
            if self.keyspace.sealed_memtable_count() == 0 {
                let compacted = self.keyspace.major_compact();
                return compacted.map_err(|error| self.name.refuse(error));
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn recover(&self) -> Result<(), Error> {
        match self.read_footer()? {
            Some(bytes) if *bytes == *CLEARING => self.clear_records(&AtomicBool::new(false)),
            Some(bytes) => {
                let (_, writes) = self.decode(&bytes)?;
                self.writes.store(writes, Ordering::Relaxed);
                self.check_marks(writes)
            }
            None => self.check_marks(0),
        }
    }
}

impl FjallTable {
    /// A footer and the number of its write.
    fn decode(&self, bytes: &[u8]) -> Result<(Footer, u64), Error> {
        let parts = bytes.split_last_chunk();
        let footer = parts.and_then(|(footer, number)| {
            Some((Footer::decode(footer)?, u64::from_be_bytes(*number)))
        });
        footer.ok_or_else(|| self.name.corrupted("its footer is unreadable".to_owned()))
    }

    fn check_marks(&self, writes: u64) -> Result<(), Error> {
        let checked = marks::check(&self.name.text, writes, self.marks());
        checked.inspect_err(|error| self.name.remember(error))
    }

    /// The keys and values of all marks.
    fn marks(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), Error>> {
        let marks = self.keyspace.range(vec![0, 0]..vec![RECORD]);
        marks.map(|guard| {
            let mark = guard.into_inner();
            let (key, value) = mark.map_err(|error| self.name.refuse(error))?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    fn read_footer(&self) -> Result<Option<Slice>, Error> {
        self.keyspace
            .get(FOOTER)
            .map_err(|error| self.name.refuse(error))
    }

    /// Deletes the records, and then the mark that says so; stops between two batches if it is told.
    fn clear_records(&self, stop: &AtomicBool) -> Result<(), Error> {
        let mut records = self.scan(&KeyRange::all(), false);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let some = records.by_ref().take(CLEAR_PER_BATCH);
            let some = some.collect::<Result<Vec<_>, _>>()?;
            let mut batch = self.database.batch();
            for record in &some {
                batch.remove(&self.keyspace, prefixed(record.key()));
            }
            if some.is_empty() {
                for mark in self.marks() {
                    batch.remove(&self.keyspace, mark?.0);
                }
                batch.remove(&self.keyspace, FOOTER);
                batch = batch.durability(Some(PersistMode::SyncData));
            }
            batch.commit().map_err(|error| self.name.refuse(error))?;
            if some.is_empty() {
                self.writes.store(0, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// Writes through the journal: right for a few records, as it costs one sequential write.
    fn write_batch(
        &self,
        records: &[Record],
        footer: &[u8],
        number: u64,
        mode: PersistMode,
    ) -> ::fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(mode));
        for record in records {
            match record.value() {
                Some(value) => batch.insert(&self.keyspace, prefixed(record.key()), value),
                None => batch.remove(&self.keyspace, prefixed(record.key())),
            }
        }
        batch.insert(&self.keyspace, FOOTER, footer);
        batch.insert(&self.keyspace, marks::key(number), number.to_be_bytes());
        batch.commit()
    }

    /// Writes sorted tables and registers them in one step: right for many records, as it spares
    /// them the journal and the tree's own memory.
    fn ingest(&self, records: &[Record], footer: &[u8], number: u64) -> ::fjall::Result<()> {
        let mut ingestion = self.keyspace.start_ingestion()?;
        ingestion.write(FOOTER, footer)?;
        ingestion.write(marks::key(number), number.to_be_bytes())?;
        for record in records {
            match record.value() {
                Some(value) => ingestion.write(prefixed(record.key()), value)?,
                None => ingestion.write_tombstone(prefixed(record.key()))?,
            }
        }
        ingestion.finish()
    }
}

fn prefixed(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(RECORD);
    bytes.extend_from_slice(key);
    bytes
}

fn bounds(range: &KeyRange) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let (lower, upper) = range.bounds();
    let lower = match lower {
        Bound::Unbounded => Bound::Included(vec![RECORD]),
        bound => bound.map(prefixed),
    };
    let upper = match upper {
        Bound::Unbounded => Bound::Excluded(END.to_vec()),
        bound => bound.map(prefixed),
    };
    (lower, upper)
}

fn read(name: &Name, guard: Guard, scratch: &mut Vec<u8>) -> Result<Record, Error> {
    let (key, value) = guard.into_inner().map_err(|error| name.refuse(error))?;
    match key.split_first() {
        Some((&RECORD, key)) => Ok(Record::new(key, Some(&value), scratch)),
        _ => Err(name.corrupted("a key has no known prefix".to_owned())),
    }
}

/// Sorts the library's errors into what the caller can do about them.
fn translate(what: &str, error: ::fjall::Error) -> Error {
    use ::fjall::{Error as Fjall, LsmError};
    match error {
        Fjall::Io(source) | Fjall::Storage(LsmError::Io(source)) if is_damage(&source) => {
            corrupted(what, source.to_string())
        }
        Fjall::Io(source) | Fjall::Storage(LsmError::Io(source)) => Error::Io {
            action: format!("using the state in '{what}'"),
            source,
        },
        Fjall::Locked => Error::Locked {
            path: what.to_owned(),
        },
        Fjall::InvalidVersion(found) => Error::Incompatible {
            path: what.to_owned(),
            found: format!("{found:?}"),
            expected: "fjall 3".to_owned(),
        },
        Fjall::Poisoned => Error::Poisoned {
            store: what.to_owned(),
            reason: "an earlier write of the storage library failed".to_owned(),
        },
        Fjall::KeyspaceDeleted => Error::StoreClosed {
            store: what.to_owned(),
        },
        other => corrupted(what, other.to_string()),
    }
}

/// True for what a healthy disk answers for files that are gone, cut short or nonsense, or that stand
/// where a database without its mark is taken for a new one.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidData, NotFound, UnexpectedEof};
    matches!(
        error.kind(),
        AlreadyExists | InvalidData | NotFound | UnexpectedEof
    )
}

pub(super) fn corrupted(what: &str, reason: String) -> Error {
    Error::Corrupted {
        what: what.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Arc<dyn Table> {
        FjallBackend::open(path, 1 << 20, 1000)
            .unwrap()
            .open("table")
            .unwrap()
    }

    fn write(table: &dyn Table, keys: std::ops::Range<u32>, position: i64) {
        let record = |key: u32| Record::new(&key.to_be_bytes(), Some(&[7; 20]), &mut Vec::new());
        let footer = Footer {
            position: Some(position),
            len: 0,
            origin: None,
        };
        table
            .write(&keys.map(record).collect::<Vec<_>>(), footer, false)
            .unwrap();
    }

    fn count(table: &dyn Table) -> usize {
        table
            .scan(&KeyRange::all(), false)
            .map(Result::unwrap)
            .count()
    }

    #[test]
    fn a_clear_cut_short_is_finished_by_the_next_owner() {
        let path = tempfile::tempdir().unwrap();
        let table = open(path.path());
        write(&*table, 0..100, 1);
        drop(table);
        let database = Database::builder(path.path()).open().unwrap();
        let keyspace = database
            .keyspace("table", KeyspaceCreateOptions::default)
            .unwrap();
        keyspace.insert(FOOTER, CLEARING).unwrap();
        drop((keyspace, database));
        let table = open(path.path());
        assert_eq!((table.footer().unwrap(), count(&*table)), (None, 100));
        table.recover().unwrap();
        assert_eq!((table.footer().unwrap(), count(&*table)), (None, 0));
        table.recover().unwrap();
    }

    #[test]
    fn large_and_small_writes_keep_their_order_over_reopening() {
        let path = tempfile::tempdir().unwrap();
        for round in 0..5 {
            let table = open(path.path());
            let before = table.footer().unwrap().and_then(|footer| footer.position);
            assert_eq!(before, (round > 0).then_some(round * 10 + 2));
            write(&*table, 0..10, round * 10 + 10);
            write(&*table, 0..1000, round * 10 + 11);
            write(&*table, 500..501, round * 10 + 12);
            assert_eq!(count(&*table), 1000);
            table.clear(&AtomicBool::new(false)).unwrap();
            assert_eq!((table.footer().unwrap(), count(&*table)), (None, 0));
            write(&*table, 0..900, round * 10 + 11);
            write(&*table, 900..901, round * 10 + 12);
            assert_eq!(count(&*table), 901);
        }
    }

    #[test]
    fn a_scan_shows_the_moment_it_began() {
        let path = tempfile::tempdir().unwrap();
        let table = open(path.path());
        write(&*table, 0..10, 1);
        let scan = table.scan(&KeyRange::all(), true);
        write(&*table, 5..200, 2);
        table.clear(&AtomicBool::new(false)).unwrap();
        let keys: Vec<_> = scan.map(|record| record.unwrap().key().to_vec()).collect();
        assert_eq!(
            keys,
            (0..10u32)
                .rev()
                .map(|key| key.to_be_bytes().to_vec())
                .collect::<Vec<_>>()
        );
    }
}

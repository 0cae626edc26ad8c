//! A disk in memory, for the test driver and the simulation: no files, no threads, no surprises.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Backend, Footer, Scan, Table};
use crate::error::Error;
use crate::range::KeyRange;
use crate::record::Record;

/// What survives a crash when the "disk" is in memory.
///
/// Clones share the same disk. Open a [`StateDir`](crate::StateDir) over it, drop that without
/// flushing, open another over a clone: it finds what the last flush left.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    process_id: Mutex<Option<String>>,
    tables: Mutex<BTreeMap<String, Arc<MemoryTable>>>,
    state: Arc<DiskState>,
}

/// What the tables have in common.
#[derive(Default)]
struct DiskState {
    full: AtomicBool,
    reads: AtomicU64,
}

impl MemoryDisk {
    /// An empty disk, whose process id is all zeros.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk of the process `process_id`, to tell simulated processes apart.
    pub fn with_process_id(process_id: &str) -> Self {
        let disk = Self::default();
        *disk.inner.process_id.lock() = Some(process_id.to_owned());
        disk
    }

    /// From now on, writes fail as on a full disk (`true`), or succeed again (`false`).
    pub fn set_full(&self, full: bool) {
        self.inner.state.full.store(full, Ordering::Relaxed);
    }

    /// How many keys and ranges were read so far: memory has answered all other reads.
    pub fn reads(&self) -> u64 {
        self.inner.state.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn process_id(&self) -> String {
        let id = self.inner.process_id.lock().clone();
        id.unwrap_or_else(|| "00000000-0000-0000-0000-000000000000".to_owned())
    }
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryDisk")
            .field("process_id", &self.process_id())
            .finish_non_exhaustive()
    }
}

pub(crate) struct MemoryBackend {
    disk: MemoryDisk,
}

impl MemoryBackend {
    pub(crate) fn new(disk: MemoryDisk) -> Self {
        Self { disk }
    }
}

impl Backend for MemoryBackend {
    fn open(&self, name: &str) -> Result<Arc<dyn Table>, Error> {
        let mut tables = self.disk.inner.tables.lock();
        let disk = &self.disk.inner.state;
        let table = tables
            .entry(name.to_owned())
            .or_insert_with(|| MemoryTable::new(disk));
        Ok(Arc::clone(table) as Arc<dyn Table>)
    }

    fn names(&self) -> Vec<String> {
        self.disk.inner.tables.lock().keys().cloned().collect()
    }
}

/// Records by key. A scan keeps the map that it began with: a write that meets one copies the map.
struct MemoryTable {
    content: Mutex<(Arc<Records>, Option<Footer>)>,
    disk: Arc<DiskState>,
}

type Records = BTreeMap<Box<[u8]>, Record>;

impl MemoryTable {
    fn new(disk: &Arc<DiskState>) -> Arc<Self> {
        Arc::new(Self {
            content: Mutex::default(),
            disk: Arc::clone(disk),
        })
    }
}

impl Table for MemoryTable {
    fn footer(&self) -> Result<Option<Footer>, Error> {
        Ok(self.content.lock().1)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        self.disk.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.content.lock().0.get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, reverse: bool) -> Scan {
        self.disk.reads.fetch_add(1, Ordering::Relaxed);
        let records = Arc::clone(&self.content.lock().0);
        let mut left = range.clone();
        Box::new(std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let mut inside = records.range::<[u8], _>(left.bounds());
            let next = if reverse {
                inside.next_back()
            } else {
                inside.next()
            };
            let record = next?.1.clone();
            left.narrow(record.key(), reverse);
            Some(Ok(record))
        }))
    }

    fn write(&self, records: &[Record], footer: Footer, _: bool) -> Result<(), Error> {
        if self.disk.full.load(Ordering::Relaxed) {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(Error::Io {
                action: "writing to the disk in memory".to_owned(),
                source,
            });
        }
        let mut content = self.content.lock();
        let map = Arc::make_mut(&mut content.0);
        for record in records {
            if record.is_live() {
                map.insert(record.key().into(), record.clone());
            } else {
                map.remove(record.key());
            }
        }
        content.1 = Some(footer);
        Ok(())
    }

    fn is_used(&self) -> Result<bool, Error> {
        Ok(self.content.lock().1.is_some())
    }

    fn clear(&self, _: &AtomicBool) -> Result<(), Error> {
        *self.content.lock() = Default::default();
        Ok(())
    }

    fn give_back(&self, _: &AtomicBool) -> Result<(), Error> {
        Ok(())
    }

    fn recover(&self) -> Result<(), Error> {
        Ok(())
    }
}

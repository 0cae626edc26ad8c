//! The state directory: what one process keeps, under one lock.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::backend::{Backend, FjallBackend, MemoryBackend, MemoryDisk};
use crate::budget::Budget;
use crate::error::Error;
use crate::flush::Flusher;
use crate::layout::Layout;
use crate::remove::{OpenStores, Removal, Remover};
use crate::store::Store;

/// A flush of this share of the flush size is large enough to be written as a file of its own.
const INGEST_SHARE: u64 = 8;

/// Limits that all stores of a directory share.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// The memory for committed records, and for the disk's own cache, in bytes. Beyond it, clean
    /// records are evicted and served from disk. Uncommitted and unflushed writes come on top.
    pub memory_bytes_max: u64,
    /// How long a committed change waits for the disk at most: this bounds what must be replayed
    /// from the changelog after a crash.
    pub flush_interval: Duration,
    /// How many bytes of committed changes one store collects at most before they are flushed.
    pub flush_bytes: u64,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self {
            memory_bytes_max: 512 << 20,
            flush_interval: Duration::from_secs(2),
            flush_bytes: 32 << 20,
        }
    }
}

/// Which store: durable, so never generated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    /// The application that owns the store.
    pub application: String,
    /// The task that owns it, such as `0_3`.
    pub task: String,
    /// The store's own name.
    pub store: String,
}

impl StoreId {
    /// The store `store` of `task` in `application`.
    pub fn new(
        application: impl Into<String>,
        task: impl Into<String>,
        store: impl Into<String>,
    ) -> Self {
        Self {
            application: application.into(),
            task: task.into(),
            store: store.into(),
        }
    }

    /// The name under which the store's table is kept.
    fn name(&self) -> Result<Arc<str>, Error> {
        let parts = [&self.application, &self.task, &self.store].map(String::as_str);
        let name = parts.join("/");
        let plain = parts
            .iter()
            .all(|part| !part.is_empty() && !part.contains('/'));
        if plain && name.len() <= usize::from(u8::MAX) {
            return Ok(name.into());
        }
        Err(Error::Invalid {
            what: format!("store name '{name}'"),
            rule: "application, task and store are not empty, hold no '/', \
                   and have at most 253 bytes together",
        })
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let id = Self::new(parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(id)
    }
}

/// How a store is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOptions {
    /// Keep the keys in byte order in memory, for ranges per record: windows, sessions, joins. It
    /// costs the keys a second time, and time when a key comes or goes.
    pub ordered: bool,
    /// Keep track of the changelog offset that the state reaches.
    pub changelog: bool,
}

/// The state of one process: a directory with its lock, its identity and its stores.
///
/// Clones share the directory. It stays locked until the last clone and the last store are gone.
#[derive(Clone)]
pub struct StateDir {
    inner: Arc<DirInner>,
}

/// What the stores share. The fields are dropped in this order: first flusher and remover end their
/// work, then the disk is closed, then the lock goes.
pub(crate) struct DirInner {
    pub(crate) flusher: Flusher,
    remover: Remover,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) options: StateOptions,
    open: OpenStores,
    process_id: String,
    /// `None` where the disk is in memory.
    _lock: Option<File>,
}

impl StateDir {
    /// Opens the directory `path`, and creates it if it does not exist.
    ///
    /// # Errors
    /// - [`Error::Locked`] when another process, or another `StateDir`, has it open;
    /// - [`Error::Incompatible`] when another version wrote it;
    /// - [`Error::Corrupted`] when it fails its checks, or a reader has found damage since it was
    ///   opened last: see [`open_or_set_aside`](Self::open_or_set_aside);
    /// - [`Error::Io`] when the operating system refuses.
    pub fn open(path: impl AsRef<Path>, options: StateOptions) -> Result<Self, Error> {
        let layout = Layout::new(path.as_ref());
        let lock = layout.lock()?;
        layout.check_format()?;
        let process_id = layout.process_id()?;
        let cache_bytes = options.memory_bytes_max / 8;
        let backend = FjallBackend::open(
            &layout.stores(),
            cache_bytes,
            options.flush_bytes / INGEST_SHARE,
        )?;
        let entries_bytes = options.memory_bytes_max - cache_bytes;
        Ok(Self::assemble(DirInner {
            flusher: Flusher::spawn()?,
            remover: Remover::new(false),
            backend: Box::new(backend),
            budget: Arc::new(Budget::new(entries_bytes)),
            options,
            open: OpenStores::default(),
            process_id,
            _lock: Some(lock),
        }))
    }

    /// A directory in memory, with default limits: no files, no threads, the same bytes in every
    /// run.
    pub fn in_memory() -> Self {
        Self::in_memory_shared(&MemoryDisk::new(), StateOptions::default())
    }

    /// A directory over a disk in memory that outlives it: drop the directory and its stores, and
    /// what they had flushed is found by the next one over a clone of `disk`.
    pub fn in_memory_shared(disk: &MemoryDisk, options: StateOptions) -> Self {
        Self::assemble(DirInner {
            flusher: Flusher::Inline,
            remover: Remover::new(true),
            backend: Box::new(MemoryBackend::new(disk.clone())),
            budget: Arc::new(Budget::new(options.memory_bytes_max)),
            options,
            open: OpenStores::default(),
            process_id: disk.process_id(),
            _lock: None,
        })
    }

    /// Opens the directory `path` as [`open`](Self::open) does. A damaged process id is made anew;
    /// damaged stores are set aside as [`set_aside`](Self::set_aside) does, and the directory opens
    /// empty. Gives where the damaged stores lie.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for damage.
    pub fn open_or_set_aside(
        path: impl AsRef<Path>,
        options: StateOptions,
    ) -> Result<(Self, Option<PathBuf>), Error> {
        let path = path.as_ref();
        Self::repair_id(path)?;
        match Self::open(path, options.clone()) {
            Err(Error::Corrupted { .. }) => {
                let aside = Self::set_aside(path)?;
                Ok((Self::open(path, options)?, aside))
            }
            opened => Ok((opened?, None)),
        }
    }

    /// Makes way for another process id if the one there is damaged: no store is the worse for it.
    fn repair_id(path: &Path) -> Result<(), Error> {
        let layout = Layout::new(path);
        let _lock = layout.lock()?;
        layout.forget_damaged_id()
    }

    fn assemble(inner: DirInner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Moves the stores of a damaged directory out of the way, and says where to; `None` if there
    /// were none. The newest two such copies are kept. The directory then opens empty, under the same
    /// process id unless that is what is damaged, and the stores come back from their changelogs.
    ///
    /// # Errors
    /// [`Error::Locked`] while the directory is open; [`Error::Io`].
    pub fn set_aside(path: impl AsRef<Path>) -> Result<Option<PathBuf>, Error> {
        let layout = Layout::new(path.as_ref());
        let _lock = layout.lock()?;
        layout.forget_damaged_id()?;
        layout.set_stores_aside()
    }

    /// This process's id: made once, and kept in the directory.
    pub fn process_id(&self) -> &str {
        &self.inner.process_id
    }

    /// The memory that committed records take, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.inner.budget.used()
    }

    /// Opens the store, and creates it if it does not exist. The time does not depend on how much
    /// is in it.
    ///
    /// # Errors
    /// - [`Error::StoreOpen`] when the store is open already;
    /// - [`Error::Invalid`] when the id cannot be a name on disk;
    /// - [`Error::Corrupted`], [`Error::Io`] from the disk.
    pub fn open_store(&self, id: &StoreId, options: StoreOptions) -> Result<Store, Error> {
        let name = id.name()?;
        let reservation = self.inner.open.reserve(&name)?;
        Store::open(Arc::clone(&self.inner), reservation, options)
    }

    /// The stores that were ever flushed, open or not, in order, each with the changelog offset that
    /// its last flush reached.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn stores(&self) -> Result<Vec<(StoreId, Option<i64>)>, Error> {
        let mut stores = Vec::new();
        for name in self.inner.backend.names() {
            let footer = self.inner.backend.open(&name)?.footer()?;
            if let (Some(id), Some(footer)) = (StoreId::parse(&name), footer) {
                stores.push((id, footer.position));
            }
        }
        Ok(stores)
    }

    /// The stores of `application` that have something on disk and are not open, in order.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn idle_stores(&self, application: &str) -> Result<Vec<StoreId>, Error> {
        let mut idle = Vec::new();
        for name in self.inner.backend.names() {
            let id = StoreId::parse(&name).filter(|id| id.application == application);
            let Some(id) = id.filter(|_| !self.inner.open.contains(&name)) else {
                continue;
            };
            if self.inner.backend.open(&name)?.is_used()? {
                idle.push(id);
            }
        }
        Ok(idle)
    }

    /// Empties and forgets a store that is not open, and gives its space back; one that does not
    /// exist is ignored. The time grows with what is on disk.
    ///
    /// # Errors
    /// [`Error::StoreOpen`] when it is open; [`Error::Io`].
    pub fn remove_store(&self, id: &StoreId) -> Result<(), Error> {
        self.removal(id)?.run(&AtomicBool::new(false))
    }

    /// As [`remove_store`](Self::remove_store), in the background: the store counts as open until it
    /// is removed. What is not removed when the directory is closed, or when the disk refuses, is
    /// [idle](Self::idle_stores) again.
    ///
    /// # Errors
    /// [`Error::StoreOpen`] when it is open; [`Error::Io`] when the thread cannot be started.
    pub fn remove_store_in_background(&self, id: &StoreId) -> Result<(), Error> {
        self.inner.remover.submit(self.removal(id)?)
    }

    fn removal(&self, id: &StoreId) -> Result<Removal, Error> {
        let name = id.name()?;
        let reservation = self.inner.open.reserve(&name)?;
        let table = self.inner.backend.open(&name)?;
        Ok(Removal { table, reservation })
    }
}

impl fmt::Debug for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateDir")
            .field("process_id", &self.inner.process_id)
            .field("open", &self.inner.open.names())
            .finish_non_exhaustive()
    }
}

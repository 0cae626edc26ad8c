//! A store's committed state: the memory in front of the disk table, shared by the task, its
//! readers and the flusher.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, RwLock, RwLockWriteGuard};

use crate::backend::{ClosedTable, Table};
use crate::budget::Budget;
use crate::error::Error;
use crate::memory::{Found, Memory};
use crate::record::{Record, Value};

/// How far the clocks advance when a read brought a record into memory.
const STEPS_PER_READ: usize = 32;

/// How many tombstones are dropped under one lock.
const TOMBSTONES_PER_LOCK: usize = 256;

/// What a store has committed.
///
/// Only the task changes what the state *says*; others at most move clean records out of memory.
pub(crate) struct Committed {
    name: Arc<str>,
    state: RwLock<State>,
    /// The last generation that is whole on disk.
    flushed: AtomicU32,
    /// Why a flush failed; set once.
    poison: OnceLock<String>,
    /// The last generation whose flush ended, well or not.
    finished: Mutex<u32>,
    finishing: Condvar,
    budget: Arc<Budget>,
}

/// What the lock protects.
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) table: Arc<dyn Table>,
}

impl Committed {
    pub(crate) fn new(name: Arc<str>, state: State, budget: Arc<Budget>) -> Arc<Self> {
        let committed = Arc::new(Self {
            name,
            state: RwLock::new(state),
            flushed: AtomicU32::new(0),
            poison: OnceLock::new(),
            finished: Mutex::new(0),
            finishing: Condvar::new(),
            budget,
        });
        committed.budget.join(&committed);
        committed
    }

    pub(crate) fn table(&self) -> Arc<dyn Table> {
        Arc::clone(&self.state.read().table)
    }

    pub(crate) fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.read())
    }

    /// Changes the state and keeps the budget's books.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        self.account(self.state.write(), f)
    }

    fn account<R>(
        &self,
        mut state: RwLockWriteGuard<'_, State>,
        f: impl FnOnce(&mut State) -> R,
    ) -> R {
        let before = state.memory.bytes();
        let result = f(&mut state);
        self.budget.settle(before, state.memory.bytes());
        result
    }

    /// Passes the committed value of `key` to `f` where it lies. With `cache`, which only the task
    /// may ask for, a value from disk stays in memory.
    pub(crate) fn get_with<R>(
        &self,
        hash: u64,
        key: &[u8],
        cache: bool,
        f: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Error> {
        let state = self.state.read();
        match state.memory.find(hash, key) {
            Found::Value(value) => return Ok(f(Some(value))),
            Found::Absent => return Ok(f(None)),
            Found::OnDisk => {}
        }
        let table = Arc::clone(&state.table);
        drop(state);
        Ok(f(self.get_from_disk(&table, hash, key, cache)?.value()))
    }

    /// The committed value of `key`.
    pub(crate) fn get(&self, hash: u64, key: &[u8], cache: bool) -> Result<Option<Value>, Error> {
        let state = self.state.read();
        if let Some(value) = state.memory.value(hash, key) {
            return Ok(value);
        }
        let table = Arc::clone(&state.table);
        drop(state);
        Ok(Value::of(self.get_from_disk(&table, hash, key, cache)?))
    }

    /// Reads the disk and, with `cache`, remembers the answer, be it that the key is absent.
    ///
    /// Caching is for the task alone: no commit can come between its read and its note, so the
    /// note is true. Another thread's might be outdated by then.
    #[cold]
    fn get_from_disk(
        &self,
        table: &Arc<dyn Table>,
        hash: u64,
        key: &[u8],
        cache: bool,
    ) -> Result<Record, Error> {
        let found = table.get(key)?;
        let record = found.unwrap_or_else(|| Record::new(key, None, &mut Vec::new()));
        if cache {
            self.write(|state| state.memory.fill(hash, record.clone()));
            self.budget.relieve(STEPS_PER_READ);
        }
        Ok(record)
    }

    /// Evicts clean records for the budget, by the store's share of the `used` bytes, and gives the
    /// steps that it took. A store whose lock is taken is left alone.
    pub(crate) fn evict(&self, steps: usize, wanted: u64, used: u64) -> usize {
        let Some(state) = self.state.try_write() else {
            return 0;
        };
        let flushed = self.flushed.load(Ordering::Acquire);
        let bytes = state.memory.bytes();
        let (turn, wanted) = (share(steps as u64, bytes, used), share(wanted, bytes, used));
        self.account(state, |state| {
            state.memory.evict(turn as usize, wanted, flushed)
        })
    }

    pub(crate) fn set_flushed(&self, generation: u32) {
        self.flushed.store(generation, Ordering::Release);
    }

    /// Forgets the tombstones that the disk has taken in; a failed flush keeps them.
    pub(crate) fn drop_tombstones<'a>(
        &self,
        mut tombstones: impl Iterator<Item = &'a Record>,
        generation: u32,
    ) {
        if self.flushed.load(Ordering::Acquire) < generation {
            return;
        }
        loop {
            let some: Vec<_> = tombstones.by_ref().take(TOMBSTONES_PER_LOCK).collect();
            if some.is_empty() {
                return;
            }
            self.write(|state| {
                for tombstone in some {
                    state.memory.drop_tombstone(tombstone.key(), generation);
                }
            });
        }
    }

    pub(crate) fn poison(&self, reason: String) {
        tracing::error!(store = %self.name, %reason, "flush failed, the store is poisoned");
        // The first failure is the one that explains the others.
        let _ = self.poison.set(reason);
    }

    /// # Errors
    /// [`Error::Poisoned`] once a flush has failed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.poison.get() {
            None => Ok(()),
            Some(reason) => Err(Error::Poisoned {
                store: self.name.to_string(),
                reason: reason.clone(),
            }),
        }
    }

    /// Notes that a flush ended, well or not.
    pub(crate) fn finish(&self, generation: u32) {
        *self.finished.lock() = generation;
        self.finishing.notify_all();
    }

    pub(crate) fn has_finished(&self, generation: u32) -> bool {
        *self.finished.lock() >= generation
    }

    /// Waits until the flush of `generation` has ended.
    pub(crate) fn wait(&self, generation: u32) {
        let mut finished = self.finished.lock();
        self.finishing
            .wait_while(&mut finished, |finished| *finished < generation);
    }

    /// Gives back memory and disk; whoever asks from now on hears that the store is closed.
    pub(crate) fn close(&self) {
        self.write(|state| {
            state.memory = Memory::new(state.memory.is_ordered(), false, 0);
            state.table = Arc::new(ClosedTable::new(&self.name));
        });
    }
}

/// The share of `all` that `part` is of `whole`, rounded up.
fn share(all: u64, part: u64, whole: u64) -> u64 {
    let share = (u128::from(all) * u128::from(part)).div_ceil(u128::from(whole.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX).min(all)
}

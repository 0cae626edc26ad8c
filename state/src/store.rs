//! A store: the task's view of its state, and the owner of everything that changes it.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::backend::Footer;
use crate::buffer::Buffer;
use crate::changes::Changes;
use crate::committed::{Committed, State};
use crate::dir::{DirInner, StoreOptions};
use crate::error::Error;
use crate::flush::{Generation, Job};
use crate::iter::Range;
use crate::memory::Memory;
use crate::origin::Origin;
use crate::range::KeyRange;
use crate::reader::StoreReader;
use crate::record::{Record, Value, check, hash_of};
use crate::remove::Reservation;
use crate::warm::Warming;

/// How far the eviction clocks advance per commit, and per record that it changed.
const STEPS_PER_COMMIT: usize = 1024;
const STEPS_PER_CHANGE: usize = 4;

/// How many records of a changelog are applied under one lock.
const RESTORE_PER_LOCK: usize = 512;

/// When this many times the flush size waits while a flush is still under way, the task waits too.
const BACKLOG: u64 = 4;

/// One task's key-value store: bytes to bytes.
///
/// Writes go to a buffer, and this store's own reads see them at once. [`commit`](Self::commit)
/// makes them the committed state in one step, [`discard`](Self::discard) drops them. Committed
/// changes reach the disk by [`maybe_flush`](Self::maybe_flush), in the background, always together
/// with the changelog offset that they reach.
///
/// A store has one owner. Dropping it without [`close`](Self::close) is a crash: what was not
/// flushed is gone, and comes back from the changelog.
pub struct Store {
    /// The store's name, which nobody else opens.
    reservation: Reservation,
    options: StoreOptions,
    pub(crate) committed: Arc<Committed>,
    buffer: Buffer,
    /// Committed, and not yet handed to a flush.
    pending: Generation,
    /// The generation last handed to a flush.
    under_way: u32,
    position: Option<i64>,
    /// The position that the last handed flush carries.
    position_handed: Option<i64>,
    origin: Option<Origin>,
    /// The origin that the last handed flush carries.
    origin_handed: Option<Origin>,
    /// Whether everything handed to a flush outlives the machine's power.
    durable: bool,
    /// When `maybe_flush` last flushed or had nothing to flush.
    flushed_at: Option<Duration>,
    pub(crate) warming: Warming,
    pub(crate) dir: Arc<DirInner>,
}

impl Store {
    /// Opens the store over its table. What is on disk is not read until it is asked for.
    pub(crate) fn open(
        dir: Arc<DirInner>,
        reservation: Reservation,
        options: StoreOptions,
    ) -> Result<Self, Error> {
        let name = Arc::clone(reservation.name());
        let table = dir.backend.open(&name)?;
        table.recover()?;
        let footer = table.footer()?;
        let memory = Memory::new(
            options.ordered,
            footer.is_none(),
            footer.map_or(0, |f| f.len),
        );
        let position = footer.and_then(|footer| footer.position);
        let origin = footer.and_then(|footer| footer.origin);
        let state = State { memory, table };
        Ok(Self {
            reservation,
            committed: Committed::new(name, state, Arc::clone(&dir.budget)),
            buffer: Buffer::new(options.ordered),
            pending: Generation::new(1),
            under_way: 0,
            position,
            position_handed: position,
            origin,
            origin_handed: origin,
            durable: true,
            flushed_at: None,
            warming: Warming::default(),
            options,
            dir,
        })
    }

    /// The store's name on disk: application, task and store.
    pub fn name(&self) -> &str {
        self.reservation.name()
    }

    /// A handle that reads the committed state from other threads.
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(
            Arc::clone(self.reservation.name()),
            Arc::clone(&self.committed),
        )
    }

    /// The value of `key`, the task's own uncommitted writes included. The value shares the
    /// store's bytes; nothing is copied.
    ///
    /// # Errors
    /// When the disk cannot be read. It is asked only if the key is not in memory and memory does
    /// not hold the whole store.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, Error> {
        let hash = hash_of(key);
        match self.buffer.get(hash, key) {
            Some(record) => Ok(Value::of(record.clone())),
            None => self.committed.get(hash, key, true),
        }
    }

    /// Passes the value of `key` to `f` where it lies: the cheapest read. A lock may be held
    /// meanwhile, so `f` should decode and return, and must not touch the store.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        let hash = hash_of(key);
        match self.buffer.get(hash, key) {
            Some(record) => Ok(f(record.value())),
            None => self.committed.get_with(hash, key, true, f),
        }
    }

    /// Sets `key` to `value`. An empty value is a value.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the key has more than [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) bytes,
    /// or the value more than [`VALUE_BYTES_MAX`](crate::VALUE_BYTES_MAX).
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check(key, Some(value))?;
        self.buffer.write(key, Some(value));
        Ok(())
    }

    /// Deletes `key`, whether it exists or not.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the key is too long to exist.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        check(key, None)?;
        self.buffer.write(key, None);
        Ok(())
    }

    /// The entries with keys in `range`, ascending, uncommitted writes included.
    ///
    /// An ordered store answers in the time of the entries that are read. An unordered one sorts
    /// its keys in the range first: fit for a query now and then, not for one per record.
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Range<'_> {
        self.walk(KeyRange::new(&range), false)
    }

    /// The entries with keys in `range`, descending; otherwise as [`range`](Self::range).
    pub fn reverse_range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Range<'_> {
        self.walk(KeyRange::new(&range), true)
    }

    /// The entries whose keys begin with `prefix`, ascending; otherwise as [`range`](Self::range).
    pub fn prefix(&self, prefix: &[u8]) -> Range<'_> {
        self.walk(KeyRange::prefix(prefix), false)
    }

    /// All entries, ascending; otherwise as [`range`](Self::range).
    pub fn all(&self) -> Range<'_> {
        self.walk(KeyRange::all(), false)
    }

    fn walk(&self, range: KeyRange, reverse: bool) -> Range<'_> {
        let buffered = self.buffer.range(&range, reverse);
        Range::new(buffered, &self.committed, range, reverse)
    }

    /// The number of committed keys: exact while the whole store is in memory, else an estimate.
    pub fn len_approximate(&self) -> u64 {
        self.committed.read(|state| state.memory.len())
    }

    /// The uncommitted changes, one per key, in first-write order, each with a way to the committed
    /// value that it replaces.
    pub fn changes(&self) -> Changes<'_> {
        Changes::new(&self.buffer, &self.committed)
    }

    /// The memory that uncommitted writes take, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.bytes()
    }

    /// Makes the uncommitted writes the committed state, visible to readers in one step.
    /// `changelog_offset` is the offset after the last changelog record of these writes; `None`
    /// leaves the position as it is. A store without a changelog ignores it.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when a flush has failed; the writes then stay uncommitted.
    pub fn commit(&mut self, changelog_offset: Option<i64>) -> Result<(), Error> {
        self.committed.check()?;
        let changes = self.buffer.len();
        if changes > 0 {
            let (buffer, pending) = (&mut self.buffer, &mut self.pending);
            self.committed
                .write(|state| buffer.apply_to(&mut state.memory, pending));
        }
        self.advance(changelog_offset);
        self.dir
            .budget
            .relieve(STEPS_PER_COMMIT + changes * STEPS_PER_CHANGE);
        Ok(())
    }

    fn advance(&mut self, changelog_offset: Option<i64>) {
        if self.options.changelog && changelog_offset.is_some() {
            self.position = changelog_offset;
        }
    }

    /// Drops the uncommitted writes.
    pub fn discard(&mut self) {
        self.buffer.clear();
    }

    /// Applies records of the changelog to the committed state: key and value, `None` for a
    /// deletion. `next_offset` is the offset after the last of them. Gives the number of records.
    ///
    /// Call [`maybe_flush`](Self::maybe_flush) between calls, so that what waits for the disk stays
    /// bounded.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when a flush has failed; [`Error::Invalid`] for a key that no store can
    /// have written, with the records before it applied and the position unmoved.
    pub fn restore<'r>(
        &mut self,
        records: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        next_offset: i64,
    ) -> Result<u64, Error> {
        self.committed.check()?;
        let mut records = records.into_iter();
        let mut scratch = Vec::new();
        let mut restored = 0;
        loop {
            let some = records.by_ref().take(RESTORE_PER_LOCK);
            let count = self.restore_some(some, &mut scratch)?;
            restored += count as u64;
            self.dir.budget.relieve(count * STEPS_PER_CHANGE);
            if count < RESTORE_PER_LOCK {
                break;
            }
        }
        self.advance(Some(next_offset));
        Ok(restored)
    }

    fn restore_some<'r>(
        &mut self,
        records: impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)>,
        scratch: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let pending = &mut self.pending;
        self.committed.write(|state| {
            let mut count = 0;
            for (key, value) in records {
                check(key, value)?;
                let record = Record::new(key, value, scratch);
                state.memory.apply(hash_of(key), record, pending);
                count += 1;
            }
            Ok(count)
        })
    }

    /// The changelog offset that the committed state reaches: the next one to read. `None` for a
    /// store that has never been told one: restore it from the changelog's beginning.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Which changelog the store follows and how fresh it is, as it was set or flushed last.
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Sets what the next flush says of the store's origin. A store that has nothing else to flush
    /// writes a new time down once an hour, and when it is closed.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Hands committed changes to the background flush if they are due: by the directory's flush
    /// interval or flush size, or because memory is over its budget. `now` is the time since any
    /// moment, by a clock that never goes back. Says whether a flush began.
    ///
    /// Such a flush outlives the process. A power cut may take it, and sets the store back to an
    /// earlier flush, whole, with its position: the changelog makes good the rest. A store without
    /// a changelog is spared that.
    ///
    /// It waits only when several times the flush size has collected behind a flush that is still
    /// under way.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when a flush has failed.
    pub fn maybe_flush(&mut self, now: Duration) -> Result<bool, Error> {
        self.committed.check()?;
        if !self.has_unflushed() {
            self.flushed_at = Some(now);
        }
        if !self.is_due(now) {
            return Ok(false);
        }
        if !self.committed.has_finished(self.under_way) {
            if self.pending.bytes() < BACKLOG * self.dir.options.flush_bytes {
                return Ok(false);
            }
            self.wait()?;
        }
        // It may have failed since the look at the top: what follows must not count as following it.
        self.committed.check()?;
        // A changelog makes good what a power cut takes; without one, nothing does.
        self.hand_over(!self.options.changelog);
        self.flushed_at = Some(now);
        Ok(true)
    }

    fn is_due(&mut self, now: Duration) -> bool {
        let since = *self.flushed_at.get_or_insert(now);
        if !self.has_unflushed() {
            return false;
        }
        now.saturating_sub(since) >= self.dir.options.flush_interval
            || self.pending.bytes() >= self.dir.options.flush_bytes
            || self.dir.budget.excess() > 0
    }

    /// Whether the committed state is ahead of what flushes carry.
    fn has_unflushed(&self) -> bool {
        let origin = self.origin.filter(|_| self.position.is_some());
        !self.pending.is_empty()
            || self.position != self.position_handed
            || origin.is_some_and(|origin| origin.is_news(self.origin_handed))
    }

    fn hand_over(&mut self, durable: bool) {
        let generation = self.pending.take();
        self.under_way = generation.number();
        self.position_handed = self.position;
        self.origin_handed = self.origin;
        self.durable = durable;
        let footer = Footer {
            position: self.position,
            len: self.len_approximate(),
            origin: self.origin,
        };
        let committed = Arc::clone(&self.committed);
        self.dir.flusher.submit(Job {
            committed,
            generation,
            footer,
            durable,
        });
    }

    /// Waits for the flush under way.
    fn wait(&self) -> Result<(), Error> {
        self.committed.wait(self.under_way);
        self.committed.check()
    }

    /// Brings everything committed to disk, and waits for it. It then outlives a power cut.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when this flush or an earlier one failed.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.wait()?;
        let has_aged = self.position.is_some() && self.origin != self.origin_handed;
        if self.has_unflushed() || has_aged || !self.durable {
            self.hand_over(true);
            self.wait()?;
        }
        Ok(())
    }

    /// Empties the store, on disk too, and forgets its position: for a changelog that no longer
    /// belongs to it. The time grows with what is on disk.
    ///
    /// # Errors
    /// When the disk refuses. The store is then poisoned, and empty when it is opened next.
    pub fn wipe(&mut self) -> Result<(), Error> {
        self.wait()?;
        self.discard();
        let memory = Memory::new(self.options.ordered, true, 0);
        self.committed.write(|state| state.memory = memory);
        self.pending.take();
        (self.position, self.position_handed, self.durable) = (None, None, true);
        (self.origin, self.origin_handed) = (None, None);
        self.warming = Warming::default();
        let cleared = self.committed.table().clear(&AtomicBool::new(false));
        cleared.inspect_err(|error| self.committed.poison(error.to_string()))
    }

    /// Flushes what is committed, drops what is not, and releases the store.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); the store is released all the same.
    pub fn close(mut self) -> Result<(), Error> {
        self.flush()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // A flush under way would otherwise land below the store's next opening.
        self.committed.wait(self.under_way);
        self.committed.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name())
            .field("position", &self.position)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

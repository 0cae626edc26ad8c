//! The committed memory: the latest committed record of each key, or as many of them as the
//! budget allows.
//!
//! A slot is *clean* when the disk holds the same, *dirty* when it does not yet. Only clean slots
//! are evicted. While no slot has been evicted and all of the disk is loaded, the memory is
//! *complete*: a key that is not here does not exist, and reads never go to disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use crate::flush::Generation;
use crate::range::KeyRange;
use crate::record::{Record, Value, hash_of};

/// What a slot costs besides its bytes: the slot itself at the table's usual load, the counters
/// and the allocator's header in front of the bytes.
const SLOT_OVERHEAD: u64 = 80;

/// What an ordered key costs besides its bytes.
const ORDER_OVERHEAD: u64 = 40;

/// One key's place in memory: 32 bytes, so that two share a cache line.
struct Slot {
    bytes: Arc<[u8]>,
    key_len: u32,
    /// The generation in which the slot was last written; 0 if it was read from disk.
    generation: u32,
    /// Where that generation lists the record, so that a later write of the key replaces it.
    listed_at: u32,
    live: bool,
    /// Set by reads, cleared when the eviction clock passes.
    referenced: AtomicBool,
}

impl Slot {
    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len as usize).unwrap_or_default()
    }

    fn value(&self) -> Option<&[u8]> {
        if self.live {
            self.bytes.get(self.key_len as usize..)
        } else {
            None
        }
    }

    fn record(&self) -> Record {
        Record::from_parts(Arc::clone(&self.bytes), self.key_len, self.live)
    }

    fn set_record(&mut self, record: Record) {
        (self.bytes, self.key_len, self.live) = record.into_parts();
    }

    fn is_clean(&self, flushed: u32) -> bool {
        self.generation <= flushed
    }

    /// Marks the slot as used. Reading the mark first keeps its cache line shared.
    fn touch(&self) {
        if !self.referenced.load(Ordering::Relaxed) {
            self.referenced.store(true, Ordering::Relaxed);
        }
    }
}

/// What the memory knows of a key.
pub(crate) enum Found<'a> {
    /// The key's value.
    Value(&'a [u8]),
    /// The key does not exist.
    Absent,
    /// Only the disk knows.
    OnDisk,
}

/// Committed records by key.
pub(crate) struct Memory {
    slots: HashTable<Slot>,
    /// The keys of all slots in byte order, for stores that serve many small ranges.
    order: Option<BTreeSet<Box<[u8]>>>,
    complete: bool,
    /// Live keys in memory and on disk, as well as it is known.
    len: u64,
    /// Live keys in memory.
    live: u64,
    bytes: u64,
    /// Counts slots that went, so that a reader of the disk can tell that it raced with one.
    removals: u64,
    /// Counts the live ones of them that went for want of space.
    evictions: u64,
    /// Where the eviction clock stands, as an index of buckets.
    hand: usize,
}

impl Memory {
    /// An empty memory over a disk with `len` keys.
    pub(crate) fn new(ordered: bool, complete: bool, len: u64) -> Self {
        Self {
            slots: HashTable::new(),
            order: ordered.then(BTreeSet::new),
            complete,
            len,
            live: 0,
            bytes: 0,
            removals: 0,
            evictions: 0,
            hand: 0,
        }
    }

    pub(crate) fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Declares that everything on disk is in memory too.
    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
        self.len = self.live;
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Found<'_> {
        match self.slot(hash, key) {
            Some(slot) => slot.value().map_or(Found::Absent, Found::Value),
            None if self.complete => Found::Absent,
            None => Found::OnDisk,
        }
    }

    /// The value of `key`, which shares its bytes; `None` when only the disk knows.
    pub(crate) fn value(&self, hash: u64, key: &[u8]) -> Option<Option<Value>> {
        match self.slot(hash, key) {
            Some(slot) => Some(Value::of(slot.record())),
            None => self.complete.then_some(None),
        }
    }

    fn slot(&self, hash: u64, key: &[u8]) -> Option<&Slot> {
        let slot = self.slots.find(hash, |slot| slot.key() == key)?;
        slot.touch();
        Some(slot)
    }

    /// Reads what [`apply`](Self::apply) is about to read of these keys. Nothing comes of it, but
    /// the processor then waits for several of them at a time instead of for one after another.
    pub(crate) fn look_ahead<'a>(&self, keys: impl Iterator<Item = (u64, &'a [u8])>) {
        let slot = |(hash, key): (u64, &[u8])| self.slots.find(hash, |slot| slot.key() == key);
        std::hint::black_box(
            keys.filter_map(slot)
                .map(|slot| slot.listed_at as u64)
                .sum::<u64>(),
        );
    }

    /// Makes `record` the committed state of its key and lists it in `pending` for the next flush.
    pub(crate) fn apply(&mut self, hash: u64, record: Record, pending: &mut Generation) {
        match self.slots.find_mut(hash, |slot| slot.key() == record.key()) {
            Some(slot) => {
                self.live = step(self.live, slot.live, record.is_live());
                self.len = step(self.len, slot.live, record.is_live());
                self.bytes = self.bytes - slot.bytes.len() as u64 + record.len() as u64;
                if slot.generation == pending.number() {
                    pending.replace(slot.listed_at, record.clone());
                } else {
                    slot.listed_at = pending.push(record.clone());
                    slot.generation = pending.number();
                }
                slot.set_record(record);
                slot.touch();
            }
            None if self.complete && !record.is_live() => {}
            None => {
                // Where only the disk knows, whether the key is new is a guess: it is, unless it
                // is being deleted.
                self.len = step(self.len, !record.is_live(), record.is_live());
                let listed_at = pending.push(record.clone());
                self.insert(hash, record, pending.number(), listed_at);
            }
        }
    }

    /// Remembers what the disk holds for a key, unless the memory knows better.
    pub(crate) fn fill(&mut self, hash: u64, record: Record) {
        if self
            .slots
            .find(hash, |slot| slot.key() == record.key())
            .is_none()
        {
            self.insert(hash, record, 0, 0);
        }
    }

    fn insert(&mut self, hash: u64, record: Record, generation: u32, listed_at: u32) {
        self.live += u64::from(record.is_live());
        self.bytes += cost(self.order.is_some(), record.key().len(), record.len());
        if let Some(order) = &mut self.order {
            order.insert(record.key().into());
        }
        let (bytes, key_len, live) = record.into_parts();
        let referenced = AtomicBool::new(false);
        let slot = Slot {
            bytes,
            key_len,
            generation,
            listed_at,
            live,
            referenced,
        };
        self.slots
            .insert_unique(hash, slot, |slot| hash_of(slot.key()));
    }

    /// Drops the slot of a tombstone that `generation` brought to disk, unless the key was written
    /// again since.
    pub(crate) fn drop_tombstone(&mut self, key: &[u8], generation: u32) {
        let dead = |slot: &Slot| slot.key() == key && slot.generation == generation && !slot.live;
        if let Ok(entry) = self.slots.find_entry(hash_of(key), dead) {
            let (slot, _) = entry.remove();
            self.forget(&slot);
        }
    }

    /// Advances the clock by at most `steps` buckets, and evicts clean slots that were not used
    /// since it last passed, until `wanted` bytes are free. `flushed` is the last generation on
    /// disk. Gives the steps that it took.
    pub(crate) fn evict(&mut self, steps: usize, wanted: u64, flushed: u32) -> usize {
        let goal = self.bytes.saturating_sub(wanted);
        let buckets = self.slots.num_buckets();
        let steps = steps.min(buckets.saturating_mul(2));
        for step in 0..steps {
            if self.bytes <= goal {
                return step;
            }
            self.hand = if self.hand + 1 < buckets {
                self.hand + 1
            } else {
                0
            };
            let Ok(entry) = self.slots.get_bucket_entry(self.hand) else {
                continue;
            };
            let spared = entry.get().referenced.swap(false, Ordering::Relaxed);
            if !spared && entry.get().is_clean(flushed) {
                let (slot, _) = entry.remove();
                // A clean tombstone's absence makes a complete memory no less complete.
                if slot.live {
                    self.complete = false;
                    self.evictions += 1;
                }
                self.forget(&slot);
            }
        }
        steps
    }

    fn forget(&mut self, slot: &Slot) {
        self.removals += 1;
        self.live -= u64::from(slot.live);
        self.bytes -= cost(self.order.is_some(), slot.key().len(), slot.bytes.len());
        if let Some(order) = &mut self.order {
            order.remove(slot.key());
        }
    }

    /// The first `limit` records of `range` in byte order, tombstones included. An unordered
    /// memory gives all of them, whatever the limit, because it sorts at each call.
    pub(crate) fn range(&self, range: &KeyRange, reverse: bool, limit: usize) -> Vec<Record> {
        if range.is_empty() {
            return Vec::new();
        }
        let Some(order) = &self.order else {
            return self.range_unordered(range, reverse);
        };
        let keys = order.range::<[u8], _>(range.bounds()).map(|key| &**key);
        let record = |key: &[u8]| {
            let slot = self.slots.find(hash_of(key), |slot| slot.key() == key);
            slot.map(Slot::record)
        };
        if reverse {
            keys.rev().take(limit).filter_map(record).collect()
        } else {
            keys.take(limit).filter_map(record).collect()
        }
    }

    fn range_unordered(&self, range: &KeyRange, reverse: bool) -> Vec<Record> {
        let inside = self.slots.iter().filter(|slot| range.contains(slot.key()));
        let mut records: Vec<_> = inside.map(Slot::record).collect();
        records.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        if reverse {
            records.reverse();
        }
        records
    }
}

/// A slot's share of the memory, in bytes.
fn cost(ordered: bool, key_len: usize, len: usize) -> u64 {
    let order = if ordered {
        key_len as u64 + ORDER_OVERHEAD
    } else {
        0
    };
    len as u64 + SLOT_OVERHEAD + order
}

/// A count of live keys after one of them went from `before` to `after`.
fn step(count: u64, before: bool, after: bool) -> u64 {
    (count + u64::from(after)).saturating_sub(u64::from(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], value: Option<&[u8]>) -> Record {
        Record::new(key, value, &mut Vec::new())
    }

    fn apply(memory: &mut Memory, pending: &mut Generation, key: &[u8], value: Option<&[u8]>) {
        memory.apply(hash_of(key), record(key, value), pending);
    }

    #[test]
    fn a_slot_is_half_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 32);
    }

    #[test]
    fn a_key_written_twice_between_flushes_is_listed_once() {
        let mut memory = Memory::new(false, true, 0);
        let mut pending = Generation::new(1);
        apply(&mut memory, &mut pending, b"a", Some(b"1"));
        apply(&mut memory, &mut pending, b"b", Some(b"2"));
        apply(&mut memory, &mut pending, b"a", None);
        assert_eq!(pending.push(record(b"c", None)), 2);
        assert_eq!((memory.len(), memory.live), (1, 1));
    }

    #[test]
    fn dirty_slots_are_never_evicted() {
        let mut memory = Memory::new(true, true, 0);
        let mut pending = Generation::new(1);
        for key in 0..100u8 {
            apply(&mut memory, &mut pending, &[key], Some(b"value"));
        }
        memory.evict(10_000, u64::MAX, 0);
        assert_eq!((memory.live, memory.is_complete()), (100, true));
        memory.evict(10_000, u64::MAX, 1);
        assert_eq!(
            (memory.live, memory.bytes(), memory.is_complete()),
            (0, 0, false)
        );
        assert_eq!(memory.len(), 100);
    }

    #[test]
    fn a_slot_in_use_survives_one_turn_of_the_clock() {
        let mut memory = Memory::new(false, false, 2);
        memory.fill(hash_of(b"cold"), record(b"cold", Some(b"1")));
        memory.fill(hash_of(b"warm"), record(b"warm", Some(b"1")));
        memory.find(hash_of(b"warm"), b"warm");
        memory.evict(memory.slots.num_buckets(), 1, 0);
        assert!(matches!(
            memory.find(hash_of(b"cold"), b"cold"),
            Found::OnDisk
        ));
        assert!(matches!(
            memory.find(hash_of(b"warm"), b"warm"),
            Found::Value(b"1")
        ));
    }

    #[test]
    fn a_tombstone_leaves_with_its_generation_unless_rewritten() {
        let mut memory = Memory::new(false, true, 0);
        let mut first = Generation::new(1);
        for key in [b"a", b"b"] {
            apply(&mut memory, &mut first, key, Some(b"1"));
            apply(&mut memory, &mut first, key, None);
        }
        apply(&mut memory, &mut Generation::new(2), b"b", None);
        memory.drop_tombstone(b"a", 1);
        memory.drop_tombstone(b"b", 1);
        assert_eq!(memory.slots.len(), 1);
    }
}

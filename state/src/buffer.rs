//! The write buffer: what a task has written since its last commit, one change per key.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use crate::flush::Generation;
use crate::memory::Memory;
use crate::range::KeyRange;
use crate::record::{Record, hash_of};

/// How many changes' places in memory are looked up at a time.
const LOOK_AHEAD: usize = 32;

/// What a change costs besides its bytes: its place in the list and in the index.
const CHANGE_OVERHEAD: usize = 72;

/// Uncommitted changes, in the order in which their keys were first written.
#[derive(Default)]
pub(crate) struct Buffer {
    /// Positions in `changes`, by key.
    index: HashTable<u32>,
    changes: Vec<Buffered>,
    /// The keys in byte order, for stores that are asked for ranges per record.
    order: Option<BTreeMap<Box<[u8]>, u32>>,
    bytes: usize,
    scratch: Vec<u8>,
}

/// The last write of one key.
pub(crate) struct Buffered {
    pub(crate) hash: u64,
    pub(crate) record: Record,
}

impl Buffer {
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            order: ordered.then(BTreeMap::new),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// What the buffer holds, in bytes, with its own overhead.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn change(&self, position: usize) -> Option<&Buffered> {
        self.changes.get(position)
    }

    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&Record> {
        if self.changes.is_empty() {
            return None;
        }
        let position = self
            .index
            .find(hash, |&at| matches(&self.changes, at, key))?;
        self.changes
            .get(*position as usize)
            .map(|change| &change.record)
    }

    /// Sets `key` to `value`, or deletes it.
    pub(crate) fn write(&mut self, key: &[u8], value: Option<&[u8]>) {
        let hash = hash_of(key);
        match self
            .index
            .find(hash, |&at| matches(&self.changes, at, key))
            .copied()
        {
            Some(position) => self.replace(position as usize, key, value),
            None => self.push(hash, key, value),
        }
    }

    fn replace(&mut self, position: usize, key: &[u8], value: Option<&[u8]>) {
        let Some(change) = self.changes.get_mut(position) else {
            return;
        };
        if value.is_some_and(|value| change.record.overwrite(value)) {
            return;
        }
        let old = change.record.len();
        change.record = Record::new(key, value, &mut self.scratch);
        self.bytes = self.bytes - old + change.record.len();
    }

    fn push(&mut self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        // Four billion changes do not fit in memory, so a position always fits.
        let position = self.changes.len() as u32;
        let record = Record::new(key, value, &mut self.scratch);
        self.bytes += record.len() + CHANGE_OVERHEAD;
        self.changes.push(Buffered { hash, record });
        let changes = &self.changes;
        self.index.insert_unique(hash, position, |&at| {
            changes.get(at as usize).map_or(0, |change| change.hash)
        });
        if let Some(order) = &mut self.order {
            self.bytes += key.len();
            order.insert(key.into(), position);
        }
    }

    /// Makes the changes, in first-write order, the committed state, and empties the buffer.
    pub(crate) fn apply_to(&mut self, memory: &mut Memory, pending: &mut Generation) {
        self.clear_indexes();
        let mut changes = self.changes.drain(..);
        loop {
            let next = changes.as_slice().iter().take(LOOK_AHEAD);
            memory.look_ahead(next.map(|change| (change.hash, change.record.key())));
            for _ in 0..LOOK_AHEAD {
                let Some(change) = changes.next() else { return };
                memory.apply(change.hash, change.record, pending);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.clear_indexes();
        self.changes.clear();
    }

    fn clear_indexes(&mut self) {
        self.index.clear();
        if let Some(order) = &mut self.order {
            order.clear();
        }
        self.bytes = 0;
    }

    /// The changes in `range`, in byte order, deletions included.
    pub(crate) fn range(&self, range: &KeyRange, reverse: bool) -> Vec<Record> {
        if self.changes.is_empty() || range.is_empty() {
            return Vec::new();
        }
        let mut records = match &self.order {
            Some(order) => order
                .range::<[u8], _>(range.bounds())
                .filter_map(|(_, &at)| self.changes.get(at as usize))
                .map(|change| change.record.clone())
                .collect(),
            None => self.range_unordered(range),
        };
        if reverse {
            records.reverse();
        }
        records
    }

    fn range_unordered(&self, range: &KeyRange) -> Vec<Record> {
        let inside = self.changes.iter().map(|change| &change.record);
        let mut records: Vec<_> = inside
            .filter(|record| range.contains(record.key()))
            .cloned()
            .collect();
        records.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        records
    }
}

fn matches(changes: &[Buffered], position: u32, key: &[u8]) -> bool {
    changes
        .get(position as usize)
        .is_some_and(|change| change.record.key() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(buffer: &Buffer) -> Vec<String> {
        let records = buffer.changes.iter().map(|change| &change.record);
        records
            .map(|record| String::from_utf8_lossy(record.key()).into_owned())
            .collect()
    }

    #[test]
    fn changes_keep_first_write_order_and_the_last_value() {
        let mut buffer = Buffer::new(false);
        for (key, value) in [
            ("b", "1"),
            ("a", "2"),
            ("b", "3"),
            ("c", "4"),
            ("a", "longer"),
        ] {
            buffer.write(key.as_bytes(), Some(value.as_bytes()));
        }
        assert_eq!(keys(&buffer), ["b", "a", "c"]);
        let value = |key: &[u8]| buffer.get(hash_of(key), key).and_then(Record::value);
        assert_eq!(value(b"b"), Some(b"3".as_slice()));
        assert_eq!(value(b"a"), Some(b"longer".as_slice()));
        assert_eq!(value(b"d"), None);
    }

    #[test]
    fn bytes_are_counted_and_return_to_zero() {
        for ordered in [false, true] {
            let mut buffer = Buffer::new(ordered);
            buffer.write(b"key", Some(b"value"));
            let one = buffer.bytes();
            buffer.write(b"key", Some(b"value and more"));
            assert_eq!(buffer.bytes(), one + 9);
            buffer.apply_to(&mut Memory::new(ordered, true, 0), &mut Generation::new(1));
            assert_eq!((buffer.bytes(), buffer.len()), (0, 0));
        }
    }
}

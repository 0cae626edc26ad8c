//! Ranges over buffer, memory and disk, merged in byte order.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Peekable;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

use crate::backend::Scan;
use crate::committed::Committed;
use crate::error::Error;
use crate::range::KeyRange;
use crate::record::{Entry, Record};

/// How many records the first look into an ordered memory takes; later looks take more.
const CHUNK_MIN: usize = 64;

/// The most records that one look into an ordered memory takes, so that its lock is held briefly.
const CHUNK_MAX: usize = 4096;

/// The entries of a range in byte order, ascending or descending. Deleted keys do not show.
///
/// An item is an error when the disk cannot be read, or, for a reader, when the store was closed
/// meanwhile; nothing follows an error.
///
/// A task's range shows one state: the task cannot write while it holds the range. A reader's
/// range shows committed states only; over an ordered store a long range may show the first keys
/// as of one commit and later keys as of the next, never one key twice or out of order.
pub struct Range<'a> {
    layers: Overlay<vec::IntoIter<Record>, CommittedRange>,
    failed: bool,
    store: PhantomData<&'a ()>,
}

impl Range<'_> {
    /// Lays `buffered` records, sorted as the range is, over the committed ones.
    pub(crate) fn new(
        buffered: Vec<Record>,
        committed: &Arc<Committed>,
        range: KeyRange,
        reverse: bool,
    ) -> Self {
        let committed = CommittedRange::new(Arc::clone(committed), range, reverse);
        let layers = Overlay::new(buffered.into_iter(), committed, reverse);
        Self {
            layers,
            failed: false,
            store: PhantomData,
        }
    }
}

impl Iterator for Range<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.layers.next()? {
                Ok(record) => match Entry::of(record) {
                    Some(entry) => return Some(Ok(entry)),
                    None => continue,
                },
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl fmt::Debug for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").finish_non_exhaustive()
    }
}

/// Two sorted layers as one: where both have a key, the upper one counts.
struct Overlay<U: Iterator<Item = Record>, L: Iterator<Item = Result<Record, Error>>> {
    upper: Peekable<U>,
    lower: Peekable<L>,
    reverse: bool,
}

impl<U, L> Overlay<U, L>
where
    U: Iterator<Item = Record>,
    L: Iterator<Item = Result<Record, Error>>,
{
    fn new(upper: U, lower: L, reverse: bool) -> Self {
        Self {
            upper: upper.peekable(),
            lower: lower.peekable(),
            reverse,
        }
    }

    /// Which layer is next; `Equal` when both are.
    fn order(&mut self) -> Ordering {
        match (self.upper.peek(), self.lower.peek()) {
            (Some(upper), Some(Ok(lower))) => {
                let order = upper.key().cmp(lower.key());
                if self.reverse { order.reverse() } else { order }
            }
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl<U, L> Iterator for Overlay<U, L>
where
    U: Iterator<Item = Record>,
    L: Iterator<Item = Result<Record, Error>>,
{
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = self.order();
        if order != Ordering::Less {
            let lower = self.lower.next();
            if order == Ordering::Greater {
                return lower;
            }
        }
        self.upper.next().map(Ok)
    }
}

/// The committed records of a range, tombstones of the memory included.
///
/// It works in chunks. Each takes some records from memory and opens the disk under one lock, so
/// that no flush or eviction can slip between the two.
struct CommittedRange {
    committed: Arc<Committed>,
    /// What no chunk has covered yet.
    left: KeyRange,
    reverse: bool,
    chunk: Overlay<vec::IntoIter<Record>, Scan>,
    /// Whether the chunk covers only the keys up to its last one in memory.
    partial: bool,
    chunk_size: usize,
}

impl CommittedRange {
    fn new(committed: Arc<Committed>, range: KeyRange, reverse: bool) -> Self {
        let chunk = Overlay::new(Vec::new().into_iter(), nothing(), reverse);
        let partial = !range.is_empty();
        Self {
            committed,
            left: range,
            reverse,
            chunk,
            partial,
            chunk_size: CHUNK_MIN,
        }
    }

    fn refill(&mut self) {
        let (records, scan, ordered) = self.committed.read(|state| {
            let records = state
                .memory
                .range(&self.left, self.reverse, self.chunk_size);
            let on_disk = !state.memory.is_complete();
            let scan = on_disk.then(|| state.table.scan(&self.left, self.reverse));
            (records, scan, state.memory.is_ordered())
        });
        self.partial = ordered && records.len() == self.chunk_size;
        if let Some(last) = records.last() {
            self.left.narrow(last.key(), self.reverse);
        }
        let scan = scan.unwrap_or_else(nothing);
        self.chunk = Overlay::new(records.into_iter(), scan, self.reverse);
        self.chunk_size = (self.chunk_size * 4).min(CHUNK_MAX);
    }
}

impl Iterator for CommittedRange {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.partial && self.chunk.upper.peek().is_none() {
            if self.left.is_empty() {
                return None;
            }
            self.refill();
        }
        self.chunk.next()
    }
}

fn nothing() -> Scan {
    Box::new(std::iter::empty())
}

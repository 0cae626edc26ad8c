//! One memory budget for all stores of a state directory.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::committed::Committed;

/// Counts what the committed memories hold, and shrinks them when it is too much.
///
/// Dirty records cannot be evicted, so the sum may exceed the limit by what waits for a flush;
/// the flush settings bound that.
pub(crate) struct Budget {
    limit: i64,
    used: AtomicI64,
    ring: Mutex<Ring>,
}

/// The open stores, which give up memory in turns.
#[derive(Default)]
struct Ring {
    stores: Vec<Weak<Committed>>,
    next: usize,
}

impl Budget {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            limit: i64::try_from(limit_bytes).unwrap_or(i64::MAX),
            used: AtomicI64::new(0),
            ring: Mutex::default(),
        }
    }

    pub(crate) fn join(&self, store: &Arc<Committed>) {
        let mut ring = self.ring.lock();
        ring.stores.retain(|store| store.strong_count() > 0);
        ring.stores.push(Arc::downgrade(store));
    }

    /// Notes that a memory went from `before` to `after` bytes.
    pub(crate) fn settle(&self, before: u64, after: u64) {
        self.used
            .fetch_add(after as i64 - before as i64, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed).max(0) as u64
    }

    /// The bytes by which the limit is exceeded.
    pub(crate) fn excess(&self) -> u64 {
        (self.used.load(Ordering::Relaxed) - self.limit).max(0) as u64
    }

    /// Evicts clean records until the limit holds, or the clocks have advanced `steps` buckets, or
    /// every store has had its turn: each gives, and works, by its share of the memory.
    pub(crate) fn relieve(&self, steps: usize) {
        let (excess, used) = (self.excess(), self.used());
        let turns = self.ring.lock().stores.len();
        let mut left = steps;
        for _ in 0..turns {
            if left == 0 || self.excess() == 0 {
                return;
            }
            if let Some(store) = self.next() {
                left = left.saturating_sub(store.evict(steps, excess, used));
            }
        }
    }

    fn next(&self) -> Option<Arc<Committed>> {
        let mut ring = self.ring.lock();
        ring.next = if ring.next + 1 < ring.stores.len() {
            ring.next + 1
        } else {
            0
        };
        ring.stores.get(ring.next).and_then(Weak::upgrade)
    }
}

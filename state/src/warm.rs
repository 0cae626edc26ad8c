//! Loading a reopened store into memory, a few records at a time.

use crate::error::Error;
use crate::range::KeyRange;
use crate::record::hash_of;
use crate::store::Store;

/// How far warming has come.
pub(crate) struct Warming {
    /// The keys that were not looked at yet.
    left: KeyRange,
    /// The memory's count of evictions when warming began.
    evictions: Option<u64>,
    done: bool,
}

impl Default for Warming {
    fn default() -> Self {
        Self {
            left: KeyRange::all(),
            evictions: None,
            done: false,
        }
    }
}

impl Store {
    /// Loads up to `records_max` records from disk into memory, and says whether the store is now
    /// [warm](Self::is_warm).
    ///
    /// A reopened store serves at once, from disk where memory does not know a key. Warming
    /// between other work saves it those reads.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn warm(&mut self, records_max: usize) -> Result<bool, Error> {
        if self.is_warm() {
            return Ok(true);
        }
        let (complete, evictions) = self
            .committed
            .read(|state| (state.memory.is_complete(), state.memory.evictions()));
        let begun_at = *self.warming.evictions.get_or_insert(evictions);
        // What was evicted meanwhile does not fit, so the rest would not either.
        if complete || evictions != begun_at {
            self.warming.done = true;
            return Ok(true);
        }
        match self.load(records_max.max(1))? {
            Some(last) => self.warming.left.narrow(&last, false),
            None => self.finish_warming(begun_at),
        }
        Ok(self.is_warm())
    }

    /// True if there is nothing to load: all is in memory, so that no read goes to disk from now
    /// on; or it does not fit; or the memory budget is used up for the moment.
    pub fn is_warm(&self) -> bool {
        self.warming.done || self.dir.budget.excess() > 0
    }

    /// Loads the next records and gives the last one's key; `None` at the end.
    fn load(&self, records_max: usize) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let (scan, removals) = self.committed.read(|state| {
                (
                    state.table.scan(&self.warming.left, false),
                    state.memory.removals(),
                )
            });
            let records = scan.take(records_max).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = records.last().map(|record| record.key().to_vec()) else {
                return Ok(None);
            };
            // A slot that went since the scan began may have been newer than the scan.
            let loaded = self.committed.write(|state| {
                let current = state.memory.removals() == removals;
                for record in records.into_iter().filter(|_| current) {
                    state.memory.fill(hash_of(record.key()), record);
                }
                current
            });
            if loaded {
                return Ok(Some(last));
            }
        }
    }

    /// All of the disk was looked at: memory is complete if nothing was evicted meanwhile.
    fn finish_warming(&mut self, evictions: u64) {
        self.warming.done = true;
        self.committed.write(|state| {
            if state.memory.evictions() == evictions {
                state.memory.set_complete();
            }
        });
    }
}

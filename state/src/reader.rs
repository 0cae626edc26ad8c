//! Reading a store's committed state from other threads.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::committed::Committed;
use crate::error::Error;
use crate::iter::Range;
use crate::range::KeyRange;
use crate::record::{Value, hash_of};

/// Reads what a store has committed, from any thread, while its task runs.
///
/// It never sees a write before its commit, and never changes what is cached. It does not keep the
/// store open: after the store's close every answer is [`Error::StoreClosed`].
#[derive(Clone)]
pub struct StoreReader {
    name: Arc<str>,
    committed: Arc<Committed>,
}

impl StoreReader {
    pub(crate) fn new(name: Arc<str>, committed: Arc<Committed>) -> Self {
        Self { name, committed }
    }

    /// The committed value of `key`.
    ///
    /// # Errors
    /// [`Error::StoreClosed`], or when the disk cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, Error> {
        self.committed.get(hash_of(key), key, false)
    }

    /// The committed entries with keys in `range`, ascending.
    pub fn range<K: AsRef<[u8]> + ?Sized>(&self, range: impl RangeBounds<K>) -> Range<'static> {
        self.walk(KeyRange::new(&range), false)
    }

    /// The committed entries with keys in `range`, descending.
    pub fn reverse_range<K: AsRef<[u8]> + ?Sized>(
        &self,
        range: impl RangeBounds<K>,
    ) -> Range<'static> {
        self.walk(KeyRange::new(&range), true)
    }

    /// The committed entries whose keys begin with `prefix`, ascending.
    pub fn prefix(&self, prefix: &[u8]) -> Range<'static> {
        self.walk(KeyRange::prefix(prefix), false)
    }

    /// All committed entries, ascending.
    pub fn all(&self) -> Range<'static> {
        self.walk(KeyRange::all(), false)
    }

    /// The number of committed keys: exact while the whole store is in memory, else an estimate.
    pub fn len_approximate(&self) -> u64 {
        self.committed.read(|state| state.memory.len())
    }

    fn walk(&self, range: KeyRange, reverse: bool) -> Range<'static> {
        Range::new(Vec::new(), &self.committed, range, reverse)
    }
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

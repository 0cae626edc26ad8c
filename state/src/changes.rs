//! What a commit is about to change: the source of changelog records and table updates.

use std::fmt;

use crate::buffer::Buffer;
use crate::committed::Committed;
use crate::error::Error;
use crate::record::Value;

/// One key's way from its committed value to its uncommitted one.
///
/// `old` and `new` are both `None` when the key was written and deleted again before any commit
/// saw it: nothing happened, and the receiver may skip it.
#[derive(Debug)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The committed value.
    pub old: Option<Value>,
    /// The value to be committed.
    pub new: Option<&'a [u8]>,
}

/// The uncommitted changes, one per key, in the order in which the keys were first written.
pub struct Changes<'a> {
    buffer: &'a Buffer,
    committed: &'a Committed,
    position: usize,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(buffer: &'a Buffer, committed: &'a Committed) -> Self {
        Self {
            buffer,
            committed,
            position: 0,
        }
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.buffer.change(self.position)?;
        self.position += 1;
        let key = change.record.key();
        let old = self.committed.get(change.hash, key, true);
        Some(old.map(|old| Change {
            key,
            old,
            new: change.record.value(),
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.buffer.len() - self.position;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Changes<'_> {}

impl fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("left", &self.len())
            .finish_non_exhaustive()
    }
}

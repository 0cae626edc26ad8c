//! What a commit is about to change: the source of changelog records and table updates.

use std::fmt;

use crate::buffer::Buffer;
use crate::committed::Committed;
use crate::error::Error;
use crate::record::Value;

/// One key's way from its committed value to its uncommitted one.
///
/// The old and the new value are both `None` when the key was written and deleted again before any
/// commit saw it: nothing happened, and the receiver may skip it.
pub struct Change<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value to be committed.
    pub new: Option<&'a [u8]>,
    hash: u64,
    committed: &'a Committed,
}

impl Change<'_> {
    /// The committed value. It is looked up by this call: a changelog, which needs only the new
    /// value, does not pay for it.
    ///
    /// # Errors
    /// When the disk has to be asked, and cannot be read.
    pub fn old(&self) -> Result<Option<Value>, Error> {
        self.committed.get(self.hash, self.key, true)
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let new = self.new.map(|new| new.escape_ascii().to_string());
        write!(f, "\"{}\" -> {new:?}", self.key.escape_ascii())
    }
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
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.buffer.change(self.position)?;
        self.position += 1;
        let (key, new) = (change.record.key(), change.record.value());
        let (hash, committed) = (change.hash, self.committed);
        Some(Change {
            key,
            new,
            hash,
            committed,
        })
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

//! What a store needs of a disk: tables that take a whole generation at once, with a footer.

mod fjall;
mod marks;
mod memory;
mod verify;

pub(crate) use self::fjall::FjallBackend;
pub(crate) use self::memory::MemoryBackend;
pub use self::memory::MemoryDisk;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::origin::Origin;
use crate::range::KeyRange;
use crate::record::Record;

/// Records in the order of a scan.
pub(crate) type Scan = Box<dyn Iterator<Item = Result<Record, Error>> + Send>;

/// A set of tables by name.
pub(crate) trait Backend: Send + Sync {
    /// Opens the table, and creates it if it does not exist.
    fn open(&self, name: &str) -> Result<Arc<dyn Table>, Error>;

    /// The names of all tables that were ever opened, in byte order.
    fn names(&self) -> Vec<String>;
}

/// One store's records on disk.
pub(crate) trait Table: Send + Sync {
    /// What the last write said of itself; `None` if there was none, and so no record.
    fn footer(&self) -> Result<Option<Footer>, Error>;

    /// The record of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Record>, Error>;

    /// The records in `range` as of this call: later writes do not show.
    fn scan(&self, range: &KeyRange, reverse: bool) -> Scan;

    /// Writes records, sorted and unique by key, together with the footer: all or nothing, and in
    /// the order of the calls. When the call returns, the write outlives the process; with
    /// `durable` it outlives the machine's power, and so do all writes before it.
    fn write(&self, records: &[Record], footer: Footer, durable: bool) -> Result<(), Error>;

    /// True if there is a footer, or the rest of a clear that was cut short.
    fn is_used(&self) -> Result<bool, Error>;

    /// Deletes the records and the footer. A crash in between, or `stop` when it is set, leaves a
    /// table without a footer, and its next owner calls [`recover`](Self::recover).
    fn clear(&self, stop: &AtomicBool) -> Result<(), Error>;

    /// Gives the disk back what deleted records take: soon, not at once. Stops if `stop` is set.
    fn give_back(&self, stop: &AtomicBool) -> Result<(), Error>;

    /// Finishes a clear that a crash cut short. For the owner alone, before anything else.
    fn recover(&self) -> Result<(), Error>;
}

/// What a flush says of the state that it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The changelog offset that the state reaches: the next one to read.
    pub(crate) position: Option<i64>,
    /// The number of keys, approximately.
    pub(crate) len: u64,
    /// `None` in the first format.
    pub(crate) origin: Option<Origin>,
}

/// The flag's bits: there is a position; there is an origin, behind the rest.
const HAS_POSITION: u8 = 1;
const HAS_ORIGIN: u8 = 2;

impl Footer {
    /// Flag, position and count, big-endian; then the origin, if there is one.
    pub(crate) fn encode(self) -> Vec<u8> {
        let position = self.position.map_or(0, |_| HAS_POSITION);
        let mut bytes = vec![position | self.origin.map_or(0, |_| HAS_ORIGIN)];
        bytes.extend(self.position.unwrap_or(0).to_be_bytes());
        bytes.extend(self.len.to_be_bytes());
        bytes.extend(self.origin.into_iter().flat_map(Origin::encode));
        bytes
    }

    /// The inverse of [`Footer::encode`]; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&flag, rest) = bytes.split_first()?;
        let (&position, rest) = rest.split_first_chunk()?;
        let (&len, rest) = rest.split_first_chunk()?;
        if flag & !(HAS_POSITION | HAS_ORIGIN) != 0 {
            return None;
        }
        let origin = if flag & HAS_ORIGIN != 0 {
            Some(Origin::decode(rest.try_into().ok()?)?)
        } else {
            rest.is_empty().then_some(())?;
            None
        };
        let position = i64::from_be_bytes(position);
        Some(Self {
            position: (flag & HAS_POSITION != 0).then_some(position),
            len: u64::from_be_bytes(len),
            origin,
        })
    }
}

/// Stands where a table was once its store is closed, and answers so.
pub(crate) struct ClosedTable {
    store: String,
}

impl ClosedTable {
    pub(crate) fn new(store: &str) -> Self {
        Self {
            store: store.to_owned(),
        }
    }

    fn closed<T>(&self) -> Result<T, Error> {
        Err(Error::StoreClosed {
            store: self.store.clone(),
        })
    }
}

impl Table for ClosedTable {
    fn footer(&self) -> Result<Option<Footer>, Error> {
        self.closed()
    }

    fn get(&self, _: &[u8]) -> Result<Option<Record>, Error> {
        self.closed()
    }

    fn scan(&self, _: &KeyRange, _: bool) -> Scan {
        Box::new(std::iter::once(self.closed()))
    }

    fn write(&self, _: &[Record], _: Footer, _: bool) -> Result<(), Error> {
        self.closed()
    }

    fn is_used(&self) -> Result<bool, Error> {
        self.closed()
    }

    fn clear(&self, _: &AtomicBool) -> Result<(), Error> {
        self.closed()
    }

    fn give_back(&self, _: &AtomicBool) -> Result<(), Error> {
        self.closed()
    }

    fn recover(&self) -> Result<(), Error> {
        self.closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_reads_back_and_a_damaged_one_does_not() {
        let origin = |changelog| Origin {
            changelog,
            at_ms: -5,
        };
        for position in [None, Some(0), Some(i64::MAX)] {
            for origin in [None, Some(origin(None)), Some(origin(Some(u128::MAX)))] {
                let footer = Footer {
                    position,
                    len: 7,
                    origin,
                };
                let bytes = footer.encode();
                assert_eq!(Footer::decode(&bytes), Some(footer));
                assert_eq!(Footer::decode(bytes.split_last().unwrap().1), None);
                assert_eq!(Footer::decode(&[&bytes[..], &[0]].concat()), None);
            }
        }
        assert_eq!(Footer::decode(&[9; 17]), None);
    }
}

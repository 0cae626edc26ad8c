//! A key and its value in one shared allocation: the unit that all layers pass around.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Error;

/// The longest key, in bytes. The disk format spends two bytes on a key's length, and one byte of
/// the key on telling records from the footer.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize - 1;

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = i32::MAX as usize;

/// The hash of `key` in every table of this crate. The seed is fixed, so the same input gives the
/// same order of slots, and the same evictions, in every run.
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::with_seed(0x6d69_6c6c_7261_6365).build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Refuses what the disk format cannot hold.
pub(crate) fn check(key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(too_long(
            "a key",
            key.len(),
            "a key has at most 65534 bytes",
        ));
    }
    match value {
        Some(value) if value.len() > VALUE_BYTES_MAX => Err(too_long(
            "a value",
            value.len(),
            "a value has less than 2 GiB",
        )),
        _ => Ok(()),
    }
}

#[cold]
fn too_long(what: &str, bytes: usize, rule: &'static str) -> Error {
    Error::Invalid {
        what: format!("{what} of {bytes} bytes"),
        rule,
    }
}

/// One key with its value, or with the fact that it was deleted.
///
/// Cloning shares the bytes. This is what lets a commit move a write from the buffer to the
/// committed memory, and a flush read it on another thread, without copying it.
#[derive(Clone)]
pub(crate) struct Record {
    /// The key's bytes, then the value's.
    bytes: Arc<[u8]>,
    key_len: u32,
    live: bool,
}

impl Record {
    /// Copies `key` and `value` into one allocation; `None` makes a tombstone.
    pub(crate) fn new(key: &[u8], value: Option<&[u8]>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(key);
        scratch.extend_from_slice(value.unwrap_or_default());
        Self::from_parts(
            Arc::from(scratch.as_slice()),
            key.len() as u32,
            value.is_some(),
        )
    }

    /// `key_len` fits: [`check`] has seen every key that comes from outside.
    pub(crate) fn from_parts(bytes: Arc<[u8]>, key_len: u32, live: bool) -> Self {
        Self {
            bytes,
            key_len,
            live,
        }
    }

    pub(crate) fn into_parts(self) -> (Arc<[u8]>, u32, bool) {
        (self.bytes, self.key_len, self.live)
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len as usize).unwrap_or_default()
    }

    /// The value; `None` for a tombstone.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        if self.live {
            self.bytes.get(self.key_len as usize..)
        } else {
            None
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The length of key and value together.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes `value` over the old one where it stands, if it has the same length and nobody else
    /// holds these bytes.
    pub(crate) fn overwrite(&mut self, value: &[u8]) -> bool {
        let start = self.key_len as usize;
        if !self.live || self.bytes.len() != start + value.len() {
            return false;
        }
        match Arc::get_mut(&mut self.bytes).and_then(|bytes| bytes.get_mut(start..)) {
            Some(old) => {
                old.copy_from_slice(value);
                true
            }
            None => false,
        }
    }
}

/// A value that was read. It shares the store's bytes, so holding it costs memory, not a copy.
#[derive(Clone)]
pub struct Value(Record);

impl Value {
    /// The value of `record`; `None` for a tombstone.
    pub(crate) fn of(record: Record) -> Option<Self> {
        record.is_live().then_some(Self(record))
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.value().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

/// A key with its value, as the ranges give them.
#[derive(Clone)]
pub struct Entry(Record);

impl Entry {
    /// The entry of `record`; `None` for a tombstone.
    pub(crate) fn of(record: Record) -> Option<Self> {
        record.is_live().then_some(Self(record))
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.0.key()
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        self.0.value().unwrap_or_default()
    }

    /// Gives up the key.
    pub fn into_value(self) -> Value {
        Value(self.0)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\": \"{}\"",
            self.key().escape_ascii(),
            self.value().escape_ascii()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwriting_in_place_needs_the_same_length_and_no_other_holder() {
        let mut record = Record::new(b"k", Some(b"one"), &mut Vec::new());
        assert!(record.overwrite(b"two"));
        assert_eq!(record.value(), Some(b"two".as_slice()));
        assert!(!record.overwrite(b"three"));
        let shared = record.clone();
        assert!(!record.overwrite(b"six"));
        assert_eq!(shared.value(), Some(b"two".as_slice()));
    }

    #[test]
    fn an_empty_value_is_not_a_tombstone() {
        let empty = Record::new(b"k", Some(b""), &mut Vec::new());
        let deleted = Record::new(b"k", None, &mut Vec::new());
        assert_eq!(empty.value(), Some(b"".as_slice()));
        assert_eq!(deleted.value(), None);
    }

    #[test]
    fn a_key_longer_than_the_disk_format_allows_is_refused() {
        assert!(check(&vec![0; KEY_BYTES_MAX], None).is_ok());
        let error = check(&vec![0; KEY_BYTES_MAX + 1], None).unwrap_err();
        assert!(error.to_string().contains("65535 bytes"), "{error}");
    }
}

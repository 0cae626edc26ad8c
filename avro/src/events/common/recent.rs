//! A bounded memory of what was seen lately: how a rule knows a duplicate.

use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// Sixteen bytes that stand for a text: an id of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of `text`: the UUID that it is, or else one derived from it.
    pub fn of(text: &str) -> Self {
        let uuid = Uuid::try_parse(text)
            .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()));
        Self(uuid.into_bytes())
    }
}

const ENTRY_BYTES: usize = 17;

/// The last fingerprints that were remembered, each with a note of one byte, oldest first.
///
/// It is one array of bytes, because it is read and written with the state that holds it on every
/// event: 17 bytes per entry, and no allocation per entry. What falls out is forgotten, so the
/// bound has to cover the time in which a duplicate may still come.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recent(Vec<u8>);

impl Recent {
    /// Nothing remembered.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The note that was left with `id`, if it is remembered.
    pub fn note(&self, id: Fingerprint) -> Option<u8> {
        self.entries()
            .rev()
            .find(|(remembered, _)| *remembered == id.0)
            .map(|(_, note)| note)
    }

    /// True if `id` is remembered.
    pub fn has(&self, id: Fingerprint) -> bool {
        self.note(id).is_some()
    }

    /// Remembers `id` with `note` as the newest, and forgets the oldest beyond `entries_max`.
    pub fn remember(&mut self, id: Fingerprint, note: u8, entries_max: usize) {
        self.forget(id);
        self.0.extend_from_slice(&id.0);
        self.0.push(note);
        let bytes_max = entries_max.saturating_mul(ENTRY_BYTES);
        let excess = self.0.len().saturating_sub(bytes_max);
        self.0.drain(..excess);
    }

    /// Forgets `id`.
    pub fn forget(&mut self, id: Fingerprint) {
        let known = self.entries().position(|(known, _)| known == id.0);
        if let Some(index) = known {
            let start = index * ENTRY_BYTES;
            self.0.drain(start..start + ENTRY_BYTES);
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len() / ENTRY_BYTES
    }

    /// True if nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (&[u8], u8)> + '_ {
        self.0
            .chunks_exact(ENTRY_BYTES)
            .filter_map(|entry| entry.split_last().map(|(note, id)| (id, *note)))
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent({})", self.len())
    }
}

impl Serialize for Recent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Recent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Recent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a multiple of {ENTRY_BYTES} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Recent, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Recent, E> {
        if bytes.len().is_multiple_of(ENTRY_BYTES) {
            Ok(Recent(bytes))
        } else {
            Err(E::invalid_length(bytes.len(), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first_and_a_repetition_is_the_newest() {
        let id = |n: u32| Fingerprint::of(&n.to_string());
        let mut recent = Recent::new();
        for n in 0..3 {
            recent.remember(id(n), 0, 3);
        }
        recent.remember(id(0), 7, 3);
        recent.remember(id(3), 0, 3);
        assert_eq!((recent.note(id(0)), recent.note(id(1))), (Some(7), None));
        assert_eq!(recent.len(), 3);
    }

    #[test]
    fn a_fingerprint_is_the_uuid_itself_or_stands_for_the_text() {
        let uuid = "6d696c6c-7261-5365-9d5e-0f2a9c1b4e77";
        assert_eq!(Fingerprint::of(uuid).0[0], 0x6d);
        assert_ne!(Fingerprint::of("a"), Fingerprint::of("b"));
    }
}

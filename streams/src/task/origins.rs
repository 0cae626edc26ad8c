//! What the bytes of a buffered change do not tell: when a key was deleted, and with which headers the
//! last record came.
//!
//! A store's buffer has one value per key and a value brings its own timestamp. A deletion leaves
//! nothing to put one in front of, and headers are no part of what is stored; a table hands both on
//! with the update, as Kafka Streams' record cache does.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::headers::Headers;
use crate::time::Timestamp;

/// The origins of a store's uncommitted changes, for the keys that need one.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    by_key: HashMap<Vec<u8>, Origin, FixedState>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Origin {
    deleted_at: Option<Timestamp>,
    headers: Vec<u8>,
}

impl Origins {
    /// The key was deleted by a record of this time.
    pub(crate) fn set_deleted(&mut self, key: &[u8], at: Timestamp) {
        self.of(key).deleted_at = Some(at);
    }

    /// The last record that changed the key had these headers.
    pub(crate) fn set_headers(&mut self, key: &[u8], headers: Headers<'_>) {
        let headers = headers.encoded();
        if headers.is_empty() && !self.by_key.contains_key(key) {
            return;
        }
        let origin = self.of(key);
        let before = origin.headers.len();
        origin.headers.clear();
        origin.headers.extend_from_slice(headers);
        self.bytes = self.bytes + headers.len() - before;
    }

    /// When the key was last deleted; meant for a key that has no value now.
    pub(crate) fn deleted_at(&self, key: &[u8]) -> Option<Timestamp> {
        self.by_key.get(key)?.deleted_at
    }

    /// The headers of the last record that changed the key.
    pub(crate) fn headers(&self, key: &[u8]) -> Headers<'_> {
        let origin = self.by_key.get(key);
        origin.map_or(Headers::EMPTY, |origin| {
            Headers::from_encoded(&origin.headers)
        })
    }

    /// The memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.bytes = 0;
    }

    /// What is known of the key. Only a key's first change takes memory of its own.
    fn of(&mut self, key: &[u8]) -> &mut Origin {
        let bytes = &mut self.bytes;
        self.by_key.entry_ref(key).or_insert_with(|| {
            *bytes += key.len() + size_of::<Origin>();
            Origin::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::HeaderList;

    #[test]
    fn the_headers_are_those_of_the_last_record_even_if_it_has_none() {
        let mut origins = Origins::default();
        let mut headers = HeaderList::new();
        headers.push("from", Some(b"first"));
        origins.set_headers(b"k", headers.view());
        assert_eq!(origins.headers(b"k").text("from"), Some("first"));
        origins.set_headers(b"k", Headers::EMPTY);
        assert!(origins.headers(b"k").is_empty());
    }

    #[test]
    fn a_record_without_headers_costs_nothing() {
        let mut origins = Origins::default();
        origins.set_headers(b"k", Headers::EMPTY);
        assert_eq!(origins.bytes(), 0);
        origins.set_deleted(b"k", Timestamp::from_millis(7));
        assert_eq!(origins.deleted_at(b"k"), Some(Timestamp::from_millis(7)));
        assert!(origins.bytes() > 0);
        origins.clear();
        assert_eq!((origins.bytes(), origins.deleted_at(b"k")), (0, None));
    }
}

//! Ranges of keys, owned, in byte order.

use std::ops::{Bound, RangeBounds};

/// A part of the key space.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
}

impl KeyRange {
    pub(crate) fn all() -> Self {
        Self {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        }
    }

    pub(crate) fn new<K: AsRef<[u8]> + ?Sized>(range: &impl RangeBounds<K>) -> Self {
        Self {
            lower: range.start_bound().map(|key| key.as_ref().to_vec()),
            upper: range.end_bound().map(|key| key.as_ref().to_vec()),
        }
    }

    /// All keys that begin with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        Self {
            lower: Bound::Included(prefix.to_vec()),
            upper: successor(prefix),
        }
    }

    /// What is left of the range once a walk has passed `key`.
    pub(crate) fn narrow(&mut self, key: &[u8], reverse: bool) {
        let bound = Bound::Excluded(key.to_vec());
        if reverse {
            self.upper = bound;
        } else {
            self.lower = bound;
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.bounds().contains(key)
    }

    /// Whether no key can lie in the range. Ordered collections panic on such ranges.
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
            (
                Bound::Included(lower) | Bound::Excluded(lower),
                Bound::Included(upper) | Bound::Excluded(upper),
            ) => lower >= upper,
            _ => false,
        }
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (
            self.lower.as_ref().map(Vec::as_slice),
            self.upper.as_ref().map(Vec::as_slice),
        )
    }
}

/// The first key after all that begin with `prefix`; there is none after `ff ff ...`.
fn successor(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Bound::Excluded(next);
        }
        next.pop();
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_exactly_the_keys_that_begin_with_it() {
        let range = KeyRange::prefix(b"ab");
        assert!(range.contains(b"ab") && range.contains(b"ab\xff\xff"));
        assert!(!range.contains(b"aa\xff") && !range.contains(b"ac"));
        let high = KeyRange::prefix(b"a\xff");
        assert!(high.contains(b"a\xff\xff") && !high.contains(b"b"));
        assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff\xff"));
        assert!(KeyRange::prefix(b"").contains(b""));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        let range = |lower, upper| KeyRange { lower, upper };
        let (a, b) = (b"a".to_vec(), b"b".to_vec());
        assert!(range(Bound::Included(b.clone()), Bound::Included(a.clone())).is_empty());
        assert!(range(Bound::Included(a.clone()), Bound::Excluded(a.clone())).is_empty());
        assert!(range(Bound::Excluded(a.clone()), Bound::Included(a.clone())).is_empty());
        assert!(!range(Bound::Included(a.clone()), Bound::Included(a)).is_empty());
        assert!(!range(Bound::Unbounded, Bound::Excluded(b)).is_empty());
    }
}

//! Records as they lie in a section: the run of one partition's records in one frame.
//!
//! A record is `[offset delta u32]` (in sparse sections only), timestamp `i64`, the lengths of
//! headers, key and value as `u32` (`u32::MAX` for null), and then their bytes; integers are
//! little-endian. Offsets of a dense section count up from its base, so two dense sections that
//! follow each other become one by joining their bytes.

use crate::headers::Headers;
use crate::log::{Offset, RawRecord};
use crate::time::Timestamp;

const NULL: u32 = u32::MAX;
const HEAD: usize = 20;

/// Whether the offsets of a section have gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Every offset from the base on has its record.
    Dense,
    /// Compaction has left gaps: each record tells its distance from the base.
    Sparse,
}

/// What a record takes in a section beside its own bytes.
pub(super) const OVERHEAD: usize = HEAD;

/// The record's size, as the limit on records counts it.
pub(super) fn size(headers: Headers<'_>, key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    headers.encoded().len() + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

/// Appends a record to a dense section.
pub(super) fn encode(
    timestamp: Timestamp,
    headers: Headers<'_>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    into: &mut Vec<u8>,
) {
    let headers = headers.encoded();
    into.reserve(HEAD + headers.len() + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
    into.extend_from_slice(&timestamp.as_millis().to_le_bytes());
    into.extend_from_slice(&len_of(Some(headers)).to_le_bytes());
    into.extend_from_slice(&len_of(key).to_le_bytes());
    into.extend_from_slice(&len_of(value).to_le_bytes());
    into.extend_from_slice(headers);
    into.extend_from_slice(key.unwrap_or_default());
    into.extend_from_slice(value.unwrap_or_default());
}

/// Appends a record to a section with this layout and base.
pub(super) fn encode_at(layout: Layout, base: Offset, record: &RawRecord<'_>, into: &mut Vec<u8>) {
    if layout == Layout::Sparse {
        let delta = u32::try_from(record.offset - base).unwrap_or(u32::MAX);
        into.extend_from_slice(&delta.to_le_bytes());
    }
    encode(
        record.timestamp,
        record.headers,
        record.key,
        record.value,
        into,
    );
}

// The limit on records is far below 4 GiB, so a real length is never cut here.
fn len_of(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(NULL, |bytes| u32::try_from(bytes.len()).unwrap_or(NULL - 1))
}

/// A place in a section, from which to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next record's first byte.
    at: usize,
    /// The next record's offset, in a dense section.
    next: Offset,
}

impl Place {
    /// The first record of a section with this base.
    pub(super) fn first(base: Offset) -> Self {
        Self { at: 0, next: base }
    }
}

/// Iterates over the records of a section. Damaged bytes end the iteration.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    data: &'a [u8],
    rest: &'a [u8],
    layout: Layout,
    base: Offset,
    next: Offset,
}

impl<'a> Records<'a> {
    /// The records of `data` from `place` on.
    pub(super) fn new(data: &'a [u8], layout: Layout, base: Offset, place: Place) -> Self {
        Self {
            data,
            rest: data.get(place.at..).unwrap_or_default(),
            layout,
            base,
            next: place.next,
        }
    }

    /// Where the next record lies.
    pub(super) fn place(&self) -> Place {
        Place {
            at: self.data.len() - self.rest.len(),
            next: self.next,
        }
    }

    /// True if every byte was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take_u32(&mut self) -> Option<u32> {
        let (head, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*head))
    }

    fn take_offset(&mut self) -> Option<Offset> {
        match self.layout {
            Layout::Dense => Some(self.next),
            Layout::Sparse => Some(self.base + i64::from(self.take_u32()?)),
        }
    }

    fn take_part(&mut self, len: u32) -> Option<Option<&'a [u8]>> {
        if len == NULL {
            return Some(None);
        }
        let (head, rest) = self.rest.split_at_checked(len as usize)?;
        self.rest = rest;
        Some(Some(head))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RawRecord<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.take_offset()?;
        let (timestamp, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        let (headers, key, value) = (self.take_u32()?, self.take_u32()?, self.take_u32()?);
        let headers = self.take_part(headers)?.unwrap_or_default();
        let key = self.take_part(key)?;
        let value = self.take_part(value)?;
        self.next = offset + 1;
        Some(RawRecord {
            offset,
            timestamp: Timestamp::from_millis(i64::from_le_bytes(*timestamp)),
            headers: Headers::from_encoded(headers),
            key,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::HeaderList;

    fn record(offset: Offset, value: Option<&'static [u8]>) -> RawRecord<'static> {
        RawRecord {
            offset,
            timestamp: Timestamp::from_millis(offset * 10),
            headers: Headers::EMPTY,
            key: Some(b"k"),
            value,
        }
    }

    fn offsets(data: &[u8], layout: Layout, base: Offset) -> Vec<Offset> {
        let records = Records::new(data, layout, base, Place::first(base));
        records.map(|record| record.offset).collect()
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let mut headers = HeaderList::new();
        headers.push("h", None);
        let mut data = Vec::new();
        encode(
            Timestamp::from_millis(-1),
            headers.view(),
            None,
            Some(b""),
            &mut data,
        );
        let mut records = Records::new(&data, Layout::Dense, 5, Place::first(5));
        let back = records.next().expect("one record");
        assert_eq!(
            (back.offset, back.key, back.value),
            (5, None, Some(&b""[..]))
        );
        assert_eq!(back.timestamp, Timestamp::UNKNOWN);
        assert_eq!(back.headers.iter().collect::<Vec<_>>(), vec![("h", None)]);
        assert!(records.is_at_end());
    }

    #[test]
    fn dense_sections_join_by_their_bytes() {
        let mut data = Vec::new();
        encode_at(Layout::Dense, 3, &record(3, None), &mut data);
        encode_at(Layout::Dense, 4, &record(4, Some(b"v")), &mut data);
        assert_eq!(offsets(&data, Layout::Dense, 3), vec![3, 4]);
    }

    #[test]
    fn sparse_sections_keep_the_offsets() {
        let mut data = Vec::new();
        encode_at(Layout::Sparse, 3, &record(7, None), &mut data);
        encode_at(Layout::Sparse, 3, &record(90, Some(b"v")), &mut data);
        assert_eq!(offsets(&data, Layout::Sparse, 3), vec![7, 90]);
    }

    #[test]
    fn reading_goes_on_from_a_place() {
        let mut data = Vec::new();
        for offset in 0..5 {
            encode_at(Layout::Dense, 0, &record(offset, None), &mut data);
        }
        let mut records = Records::new(&data, Layout::Dense, 0, Place::first(0));
        records.nth(2);
        let rest = Records::new(&data, Layout::Dense, 0, records.place());
        assert_eq!(
            rest.map(|record| record.offset).collect::<Vec<_>>(),
            vec![3, 4]
        );
    }

    #[test]
    fn cut_bytes_end_the_iteration_short_of_the_end() {
        let mut data = Vec::new();
        encode_at(Layout::Dense, 0, &record(0, Some(b"value")), &mut data);
        data.pop();
        let mut records = Records::new(&data, Layout::Dense, 0, Place::first(0));
        assert!(records.next().is_none());
        assert!(!records.is_at_end());
    }
}

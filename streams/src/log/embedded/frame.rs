//! Frames: the journal's unit of atomicity, one per write.
//!
//! A frame is a header of 16 bytes, a directory of [`Entry`]s, and the bytes of its records.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `MRJ` and the format, 1 |
//! | 4 | length of the directory, `u32` LE |
//! | 4 | length of the records, `u32` LE |
//! | 4 | CRC-32 over the place (segment, generation, position), the two lengths and the directory |
//!
//! The directory holds a checksum for every section of records, so one section can be read and
//! checked alone. The place is part of the checksum, so a frame is valid only where it was
//! written: bytes of a journal that travel inside a record, or that an earlier file left on the
//! disk, are never taken for a frame.

use std::io;

use super::disk::DiskFile;
use super::entry::{Entry, Head};

const MAGIC: [u8; 4] = *b"MRJ\x01";

/// The bytes in front of a directory.
pub(super) const HEADER: usize = 16;

/// No transaction is longer than this, so that every length of a frame fits its field.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 30;

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u64,
    pub(super) generation: u32,
    pub(super) at: u64,
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) entries: Vec<Entry>,
    /// The position of the first record's bytes.
    pub(super) data_at: u64,
    /// The position behind the frame.
    pub(super) end: u64,
}

/// Appends a frame to `into`: the entries as they are, and the bytes of their sections in the same
/// order. Answers the position of those bytes relative to the frame.
pub(super) fn encode<'a>(
    entries: &[Entry],
    sections: impl Iterator<Item = &'a [u8]>,
    location: Location,
    into: &mut Vec<u8>,
) -> usize {
    let begin = into.len();
    into.extend_from_slice(&[0; HEADER]);
    for entry in entries {
        entry.encode(into);
    }
    let directory_end = into.len();
    for section in sections {
        into.extend_from_slice(section);
    }
    let lens = [directory_end - begin - HEADER, into.len() - directory_end];
    // FRAME_BYTES_MAX, and the size of a group, bound both.
    let lens = lens.map(|len| u32::try_from(len).unwrap_or(u32::MAX));
    let directory = into.get(begin + HEADER..directory_end).unwrap_or_default();
    let header = header(lens, directory, location);
    if let Some(place) = into.get_mut(begin..begin + HEADER) {
        place.copy_from_slice(&header);
    }
    directory_end - begin
}

fn header(lens: [u32; 2], directory: &[u8], location: Location) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let crc = checksum(lens, directory, location);
    let words = [u32::from_le_bytes(MAGIC), lens[0], lens[1], crc];
    for (place, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    header
}

fn checksum(lens: [u32; 2], directory: &[u8], location: Location) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&location.segment.to_le_bytes());
    hasher.update(&location.generation.to_le_bytes());
    hasher.update(&location.at.to_le_bytes());
    hasher.update(&lens[0].to_le_bytes());
    hasher.update(&lens[1].to_le_bytes());
    hasher.update(directory);
    hasher.finalize()
}

/// Reads frames of one file in order, through a buffer.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    segment: u64,
    generation: u32,
    /// The length up to which the file counts.
    len: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

const READ_AHEAD: u64 = 256 << 10;

impl<'a> Scanner<'a> {
    /// A scanner over the first `len` bytes of a segment's file.
    pub(super) fn new(file: &'a dyn DiskFile, segment: u64, generation: u32, len: u64) -> Self {
        Self {
            file,
            segment,
            generation,
            len,
            buffer: Vec::new(),
            buffer_at: 0,
        }
    }

    /// The frame at `at`, or `None` if there is no valid one. With `verify`, its records are
    /// checked too.
    pub(super) fn frame(&mut self, at: u64, verify: bool) -> io::Result<Option<Frame>> {
        let Some([directory_len, data_len, crc]) = self.header(at)? else {
            return Ok(None);
        };
        let directory_at = at + HEADER as u64;
        let location = self.location(at);
        let Some(directory) = self.bytes(directory_at, directory_len as usize)? else {
            return Ok(None);
        };
        if checksum([directory_len, data_len], directory, location) != crc {
            return Ok(None);
        }
        let Some(entries) = Entry::decode_all(directory) else {
            return Ok(None);
        };
        let data_at = directory_at + u64::from(directory_len);
        let frame = Frame {
            entries,
            data_at,
            end: data_at + u64::from(data_len),
        };
        let whole = frame.end <= self.len && frame.data_len() == u64::from(data_len);
        let valid = whole && (!verify || self.is_intact(&frame)?);
        Ok(valid.then_some(frame))
    }

    /// The position of the first valid frame behind `at`, wherever it begins.
    pub(super) fn find_behind(&mut self, at: u64) -> io::Result<Option<u64>> {
        let mut at = at + 1;
        while at + (HEADER as u64) <= self.len {
            let window = READ_AHEAD.min(self.len - at);
            let Some(bytes) = self.bytes(at, usize::try_from(window).unwrap_or(HEADER))? else {
                return Ok(None);
            };
            let found = bytes.windows(MAGIC.len()).position(|four| four == MAGIC);
            let Some(distance) = found else {
                at += window - (MAGIC.len() as u64 - 1);
                continue;
            };
            at += distance as u64;
            if self.frame(at, false)?.is_some() {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    fn location(&self, at: u64) -> Location {
        Location {
            segment: self.segment,
            generation: self.generation,
            at,
        }
    }

    fn header(&mut self, at: u64) -> io::Result<Option<[u32; 3]>> {
        let Some(header) = self.bytes(at, HEADER)? else {
            return Ok(None);
        };
        let mut words = header.as_chunks::<4>().0.iter().copied();
        if words.next() != Some(MAGIC) {
            return Ok(None);
        }
        let mut word = || words.next().map_or(0, u32::from_le_bytes);
        Ok(Some([word(), word(), word()]))
    }

    fn is_intact(&mut self, frame: &Frame) -> io::Result<bool> {
        for (head, at) in frame.sections() {
            match self.bytes(at, head.len as usize)? {
                Some(bytes) if crc32fast::hash(bytes) == head.crc => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The `len` bytes at `at`; `None` if the file is too short.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if len as u64 > self.len.saturating_sub(at) {
            return Ok(None);
        }
        let buffered = at.checked_sub(self.buffer_at).and_then(|skip| {
            let skip = usize::try_from(skip).ok()?;
            (skip + len <= self.buffer.len()).then_some(skip)
        });
        let skip = match buffered {
            Some(skip) => skip,
            None => self.fill(at, len)?,
        };
        Ok(self.buffer.get(skip..skip + len))
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<usize> {
        let wanted = READ_AHEAD.max(len as u64).min(self.len - at);
        self.buffer.clear();
        self.buffer
            .resize(usize::try_from(wanted).unwrap_or(len), 0);
        self.buffer_at = at;
        self.file.read_at(&mut self.buffer, at)?;
        Ok(0)
    }
}

impl Frame {
    /// The sections of records, each with the position of its bytes.
    pub(super) fn sections(&self) -> impl Iterator<Item = (Head, u64)> {
        self.entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Records(head) => Some(*head),
                _ => None,
            })
            .scan(self.data_at, |at, head| {
                let begin = *at;
                *at += u64::from(head.len);
                Some((head, begin))
            })
    }

    fn data_len(&self) -> u64 {
        self.sections().map(|(head, _)| u64::from(head.len)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, FileSystem};
    use super::super::entry::TopicId;
    use super::super::record::Layout;
    use super::*;

    fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Box<dyn DiskFile>) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = FileSystem.create(&dir.path().join(name)).expect("a file");
        file.write_at(bytes, 0).expect("a write");
        (dir, file)
    }

    fn frame_at(at: u64, data: &[u8]) -> Vec<u8> {
        let head = Head {
            partition: (TopicId(1), 0),
            base: 0,
            last: 0,
            layout: Layout::Dense,
            max_timestamp: 0,
            appended: 0,
            len: u32::try_from(data.len()).expect("short"),
            crc: crc32fast::hash(data),
        };
        let location = Location {
            segment: 1,
            generation: 0,
            at,
        };
        let mut bytes = Vec::new();
        let entries = [Entry::Records(head)];
        encode(&entries, std::iter::once(data), location, &mut bytes);
        bytes
    }

    fn scanner(file: &dyn DiskFile) -> Scanner<'_> {
        Scanner::new(file, 1, 0, file.len().expect("a length"))
    }

    #[test]
    fn every_flipped_byte_makes_a_frame_invalid() {
        let whole = frame_at(0, b"some records");
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 1;
            let (_dir, file) = write("f", &bytes);
            let frame = scanner(&*file).frame(0, true).expect("readable");
            assert!(frame.is_none(), "byte {index}");
        }
    }

    #[test]
    fn a_cut_frame_is_invalid_even_unverified() {
        let mut bytes = frame_at(0, b"some records");
        bytes.pop();
        let (_dir, file) = write("f", &bytes);
        assert!(scanner(&*file).frame(0, false).expect("readable").is_none());
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let mut bytes = vec![0; 7];
        bytes.extend(frame_at(0, b"moved"));
        let (_dir, file) = write("f", &bytes);
        assert!(scanner(&*file).frame(7, true).expect("readable").is_none());
        assert_eq!(scanner(&*file).find_behind(0).expect("readable"), None);
    }

    #[test]
    fn a_valid_frame_is_found_behind_damage() {
        let mut bytes = vec![b'M'; 300_000];
        bytes.extend(frame_at(300_000, b"here"));
        let (_dir, file) = write("f", &bytes);
        let found = scanner(&*file).find_behind(0).expect("readable");
        assert_eq!(found, Some(300_000));
    }
}

//! Rewriting: the records of a run of closed segments that are still wanted, in a new segment.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::draft::SECTION_BYTES_MAX;
use super::entry::{Entry, Head};
use super::frame;
use super::latest::Latest;
use super::record::{self, Layout};
use super::segment::{Section, Segment};
use crate::log::{LogError, Offset, RawRecord};

/// A frame is written when it has this many bytes of records.
const FRAME_BYTES: usize = 4 << 20;

/// Writes one segment, section by section.
#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    latest: &'a Latest,
    segment: Arc<Segment>,
    /// The length of what is written.
    end: u64,
    /// The section in the making.
    open: Option<Open>,
    /// Sections for the next frame.
    heads: Vec<Head>,
    datas: Vec<Vec<u8>>,
    bytes: usize,
    /// Sections that are written.
    written: Vec<Section>,
}

#[derive(Debug)]
struct Open {
    head: Head,
    data: Vec<u8>,
}

/// A section to rewrite.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) section: Section,
    /// True if no other section lies between this one and the one before it. Only then may the two
    /// become one: the sections of a partition never overlap.
    pub(super) follows: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) segment: Arc<Segment>,
    pub(super) len: u64,
    pub(super) sections: Vec<Section>,
}

impl<'a> Rewriter<'a> {
    /// A rewriter into the next generation of a segment.
    pub(super) fn new(
        disk: &dyn Disk,
        dir: &Path,
        (id, generation): (u64, u32),
        latest: &'a Latest,
    ) -> Result<Self, LogError> {
        let segment = Segment::create(disk, dir, id, generation).map_err(|one| failed(&one))?;
        Ok(Self {
            latest,
            segment: Arc::new(segment),
            end: 0,
            open: None,
            heads: Vec::new(),
            datas: Vec::new(),
            bytes: 0,
            written: Vec::new(),
        })
    }

    /// The file that is being written.
    pub(super) fn path(&self) -> &Path {
        &self.segment.path
    }

    /// Adds what is still wanted of a section. Sections come by partition, in the order of offsets.
    pub(super) fn add(&mut self, source: &Source) -> Result<(), LogError> {
        if !source.follows {
            self.close_section()?;
        }
        let section = &source.section;
        let data = section.load()?;
        let head = section.head;
        if head.layout == Layout::Dense && !self.latest.has(head.partition) {
            return self.add_whole(head, &data);
        }
        let mut records = section.records(&data, section.first());
        for record in records.by_ref() {
            if self.latest.keeps(section, &record) {
                self.add_record(&head, &record)?;
            }
        }
        if !records.is_at_end() {
            return Err(section.segment.damaged(section.at));
        }
        Ok(())
    }

    /// Dense sections that follow each other are joined by their bytes.
    fn add_whole(&mut self, head: Head, data: &[u8]) -> Result<(), LogError> {
        let fits = self.open.as_ref().is_some_and(|open| {
            open.head.layout == Layout::Dense
                && open.head.partition == head.partition
                && open.head.last + 1 == head.base
                && open.data.len() + data.len() <= SECTION_BYTES_MAX
        });
        if !fits {
            self.close_section()?;
        }
        let open = self
            .open
            .get_or_insert_with(|| Open::new(&head, Layout::Dense, head.base));
        open.data.extend_from_slice(data);
        open.extend_to(&head, head.last);
        Ok(())
    }

    fn add_record(&mut self, head: &Head, record: &RawRecord<'_>) -> Result<(), LogError> {
        let fits = self.open.as_ref().is_some_and(|open| {
            open.head.layout == Layout::Sparse
                && open.head.partition == head.partition
                && record.offset - open.head.base < i64::from(u32::MAX)
                && open.data.len() < SECTION_BYTES_MAX
        });
        if !fits {
            self.close_section()?;
        }
        let open = self
            .open
            .get_or_insert_with(|| Open::new(head, Layout::Sparse, record.offset));
        record::encode_at(Layout::Sparse, open.head.base, record, &mut open.data);
        open.extend_to(head, record.offset);
        Ok(())
    }

    fn close_section(&mut self) -> Result<(), LogError> {
        if let Some(Open { mut head, data }) = self.open.take() {
            // A section is not much larger than SECTION_BYTES_MAX and one record.
            head.len = u32::try_from(data.len()).unwrap_or(u32::MAX);
            head.crc = crc32fast::hash(&data);
            self.bytes += data.len();
            self.heads.push(head);
            self.datas.push(data);
        }
        if self.bytes >= FRAME_BYTES {
            self.write_frame()?;
        }
        Ok(())
    }

    fn write_frame(&mut self) -> Result<(), LogError> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let entries: Vec<_> = self.heads.iter().copied().map(Entry::Records).collect();
        let datas = self.datas.iter().map(Vec::as_slice);
        let mut bytes = Vec::with_capacity(self.bytes + 4096);
        let location = self.segment.location(self.end);
        let data_at = frame::encode(&entries, datas, location, &mut bytes);
        let written = self.segment.file.write_at(&bytes, self.end);
        written.map_err(|error| failed(&error))?;
        let mut at = self.end + data_at as u64;
        for head in self.heads.drain(..) {
            let section = Section::on_disk(head, Arc::clone(&self.segment), at);
            at += u64::from(head.len);
            self.written.push(section);
        }
        self.datas.clear();
        self.bytes = 0;
        self.end = at;
        Ok(())
    }

    /// Writes the rest, and makes everything durable.
    pub(super) fn finish(mut self) -> Result<Rewritten, LogError> {
        self.close_section()?;
        self.write_frame()?;
        let synced = self.segment.file.sync();
        synced.map_err(|error| failed(&error))?;
        Ok(Rewritten {
            segment: self.segment,
            len: self.end,
            sections: self.written,
        })
    }
}

impl Open {
    fn new(of: &Head, layout: Layout, base: Offset) -> Self {
        let head = Head {
            base,
            last: base,
            layout,
            max_timestamp: of.max_timestamp,
            appended: of.appended,
            len: 0,
            crc: 0,
            ..*of
        };
        Self {
            head,
            data: Vec::new(),
        }
    }

    fn extend_to(&mut self, of: &Head, last: Offset) {
        self.head.last = last;
        self.head.max_timestamp = self.head.max_timestamp.max(of.max_timestamp);
        self.head.appended = self.head.appended.max(of.appended);
    }
}

/// The error of a file that nothing relies on yet: it is given up, and the log goes on.
pub(super) fn failed(error: &io::Error) -> LogError {
    LogError::Unavailable(format!("cleaning the journal: {error}"))
}

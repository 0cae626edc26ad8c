//! Segments: the journal's files, and the sections of records in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::disk::{Disk, DiskFile};
use super::entry::Head;
use super::frame::{Frame, Location, Scanner};
use super::record::{Place, Records};
use crate::log::{LogError, Offset};

/// One file of the journal. Its name tells its number and its generation: compaction writes a
/// segment anew under the next generation.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) generation: u32,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
}

const SUFFIX: &str = ".segment";

impl Segment {
    /// The name of a segment's file.
    pub(super) fn file_name(id: u64, generation: u32) -> String {
        format!("{id:016}-{generation}{SUFFIX}")
    }

    /// Number and generation from a file's name; `None` if it is not a segment's.
    pub(super) fn parse_name(name: &str) -> Option<(u64, u32)> {
        let (id, generation) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        Some((id.parse().ok()?, generation.parse().ok()?))
    }

    /// Creates an empty segment.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        id: u64,
        generation: u32,
    ) -> io::Result<Self> {
        let path = dir.join(Self::file_name(id, generation));
        let file = disk.create(&path)?;
        Ok(Self {
            id,
            generation,
            path,
            file,
        })
    }

    /// Opens a segment.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, id: u64, generation: u32) -> io::Result<Self> {
        let path = dir.join(Self::file_name(id, generation));
        let file = disk.open(&path)?;
        Ok(Self {
            id,
            generation,
            path,
            file,
        })
    }

    /// The place of a frame in this segment.
    pub(super) fn location(&self, at: u64) -> Location {
        Location {
            segment: self.id,
            generation: self.generation,
            at,
        }
    }

    /// A scanner over its first `len` bytes.
    pub(super) fn scanner(&self, len: u64) -> Scanner<'_> {
        Scanner::new(&*self.file, self.id, self.generation, len)
    }

    /// The error that says that the bytes at `at` are not what was written.
    pub(super) fn damaged(&self, at: u64) -> LogError {
        LogError::Corrupted(format!(
            "`{}` is damaged at byte {at}; restore the directory from a backup",
            self.path.display()
        ))
    }

    /// The error for a file that could not be read.
    pub(super) fn unreadable(&self, error: &io::Error) -> LogError {
        LogError::Corrupted(format!("cannot read `{}`: {error}", self.path.display()))
    }
}

/// Where a section of records lies, on disk and perhaps in memory.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) head: Head,
    pub(super) segment: Arc<Segment>,
    pub(super) at: u64,
    cached: Weak<Vec<u8>>,
}

impl Section {
    /// A section that was just written; `data` stays readable from memory while it is cached.
    pub(super) fn written(head: Head, segment: Arc<Segment>, at: u64, data: &Arc<Vec<u8>>) -> Self {
        Self {
            head,
            segment,
            at,
            cached: Arc::downgrade(data),
        }
    }

    /// A section that is only on the disk.
    pub(super) fn on_disk(head: Head, segment: Arc<Segment>, at: u64) -> Self {
        Self {
            head,
            segment,
            at,
            cached: Weak::new(),
        }
    }

    /// The sections of a frame that was read.
    pub(super) fn of_frame(frame: &Frame, segment: &Arc<Segment>) -> Vec<Self> {
        let sections = frame.sections();
        sections
            .map(|(head, at)| Self::on_disk(head, Arc::clone(segment), at))
            .collect()
    }

    /// The bytes of the records, from memory or from disk, and then checked.
    pub(super) fn load(&self) -> Result<Arc<Vec<u8>>, LogError> {
        if let Some(data) = self.cached.upgrade() {
            return Ok(data);
        }
        let mut data = vec![0; self.head.len as usize];
        let read = self.segment.file.read_at(&mut data, self.at);
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.segment.damaged(self.at));
            }
            Err(error) => return Err(self.segment.unreadable(&error)),
            Ok(()) => {}
        }
        if crc32fast::hash(&data) != self.head.crc {
            return Err(self.segment.damaged(self.at));
        }
        Ok(Arc::new(data))
    }

    /// Where its records begin.
    pub(super) fn first(&self) -> Place {
        Place::first(self.head.base)
    }

    /// Its records, from `place` on, in the bytes that [`Section::load`] gave.
    pub(super) fn records<'a>(&self, data: &'a [u8], place: Place) -> Records<'a> {
        Records::new(data, self.head.layout, self.head.base, place)
    }

    /// The last record's offset.
    pub(super) fn last(&self) -> Offset {
        self.head.last
    }
}

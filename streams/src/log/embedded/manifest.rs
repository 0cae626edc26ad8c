//! The manifest: which segments make up the journal. It is replaced as a whole, atomically.
//!
//! ```text
//! millrace journal, format 1
//! segment 3 1 67108911
//! segment 4 0 open
//! crc 0c7e3a55
//! ```
//!
//! Each line names a segment's number, its generation and, once it is closed, its length. Only the
//! last one is open.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::disk::Disk;
use crate::log::LogError;

const FILE: &str = "manifest";
const TEMPORARY: &str = "manifest.tmp";
const PRODUCT: &str = "millrace journal, format ";
const FORMAT: &str = "1";

/// A segment as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: u64,
    pub(super) generation: u32,
    /// The length in bytes, once the segment is closed.
    pub(super) closed: Option<u64>,
}

/// The segments in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) segments: Vec<Listed>,
}

impl Manifest {
    /// Reads the manifest of `dir`; `None` if there is none.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let path = dir.join(FILE);
        let unreadable = |error: io::Error| {
            LogError::Corrupted(format!("cannot read `{}`: {error}", path.display()))
        };
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let len = file.len().map_err(unreadable)?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(&mut bytes, 0).map_err(unreadable)?;
        Self::parse(&bytes)
            .map(Some)
            .map_err(|why| LogError::Corrupted(format!("`{}`: {why}", path.display())))
    }

    /// Writes the manifest beside the one of `dir`, which still counts.
    pub(super) fn prepare(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let file = disk.create(&dir.join(TEMPORARY))?;
        file.write_at(self.render().as_bytes(), 0)?;
        file.sync()
    }

    /// Puts the prepared manifest in the place of the one of `dir`, durably. After an error it is
    /// unknown which one counts.
    pub(super) fn replace(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        disk.rename(&dir.join(TEMPORARY), &dir.join(FILE))?;
        disk.sync_dir(dir)
    }

    /// Closes the last segment at this length.
    pub(super) fn close_last(&mut self, len: u64) {
        if let Some(last) = self.segments.last_mut() {
            last.closed = Some(len);
        }
    }

    /// Adds an open segment.
    pub(super) fn push_open(&mut self, id: u64) {
        self.segments.push(Listed {
            id,
            generation: 0,
            closed: None,
        });
    }

    /// Puts new segments, or none, in the place of old ones.
    pub(super) fn replace_run(&mut self, old: &[Listed], new: impl Iterator<Item = Listed>) {
        let place = self.segments.iter().position(|one| old.contains(one));
        self.segments.retain(|one| !old.contains(one));
        let place = place.unwrap_or(self.segments.len());
        self.segments.splice(place..place, new);
    }

    fn render(&self) -> String {
        let mut text = format!("{PRODUCT}{FORMAT}\n");
        for Listed {
            id,
            generation,
            closed,
        } in &self.segments
        {
            let closed = closed.map_or_else(|| "open".to_owned(), |len| len.to_string());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "segment {id} {generation} {closed}");
        }
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "is damaged; restore the directory from a backup".to_owned();
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (first, _) = text.split_once('\n').ok_or_else(damaged)?;
        match first.strip_prefix(PRODUCT) {
            Some(FORMAT) => {}
            Some(other) if other.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(format!(
                    "has format {other}, this version reads format {FORMAT}"
                ));
            }
            _ => return Err(damaged()),
        }
        let manifest = Self::parse_segments(text).ok_or_else(damaged)?;
        // Every byte counts, so that no damage goes unseen.
        (manifest.render() == text)
            .then_some(manifest)
            .ok_or_else(damaged)
    }

    fn parse_segments(text: &str) -> Option<Self> {
        let lines = text.lines().skip(1);
        let segments = lines
            .filter_map(|line| line.strip_prefix("segment "))
            .map(Listed::parse)
            .collect::<Option<_>>()?;
        Some(Self { segments })
    }
}

impl Listed {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            id: words.next()?.parse().ok()?,
            generation: words.next()?.parse().ok()?,
            closed: match words.next()? {
                "open" => None,
                len => Some(len.parse().ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let closed = Listed {
            id: 3,
            generation: 1,
            closed: Some(99),
        };
        let open = Listed {
            id: 4,
            generation: 0,
            closed: None,
        };
        Manifest {
            segments: vec![closed, open],
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let text = manifest().render();
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest()));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let text = manifest().render();
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            assert!(Manifest::parse(&bytes).is_err(), "byte {index}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let error = Manifest::parse(b"millrace journal, format 2\n").expect_err("another format");
        assert_eq!(error, "has format 2, this version reads format 1");
    }
}

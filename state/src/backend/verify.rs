//! Checks of fjall's files before fjall reads them.
//!
//! Blocks of tables and batches of journals carry checksums that fjall verifies when it reads them.
//! This looks at what it trusts before that: which version of a tree is the current one, and where a
//! file's table of contents lies. The time depends on the number of the files, not on their size.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;

/// What begins a trailer: a mark, its version, the kind of its checksum.
const TRAILER_MARK: [u8; 6] = *b"SFA!\x01\x00";

/// The mark, then checksum, place and length of the table of contents, little-endian.
const TRAILER_BYTES: usize = 6 + 16 + 8 + 8;

/// More than the contents of any file take.
const CONTENTS_BYTES_MAX: u64 = 1 << 20;

/// The file that says that a reader has found damage.
const DAMAGE: &str = "damage";

/// Writes down that the database in `path` is damaged, for the next opening.
pub(super) fn remember_damage(path: &Path, reason: &str) {
    // Where even this cannot be written, the next reader finds the same damage again.
    let _ = fs::write(path.join(DAMAGE), reason);
}

/// Checks the database in `path`; one that does not exist is whole.
///
/// # Errors
/// [`Error::Corrupted`] names the file and what is wrong with it.
pub(super) fn verify(path: &Path) -> Result<(), Error> {
    let damage = path.join(DAMAGE);
    if damage.exists() {
        let reason = fs::read_to_string(&damage).unwrap_or_default();
        return Err(corrupted(path, &format!("a reader found: {reason}")));
    }
    let mut has_tables = false;
    for tree in entries(&path.join("keyspaces"))? {
        for table in current_tables(&tree)? {
            verify_contents(&tree.join("tables").join(table.to_string()))?;
            has_tables = true;
        }
    }
    // Without one the library begins its count of writes anew, below what the tables hold.
    let is_journal = |file: &PathBuf| file.extension().is_some_and(|suffix| suffix == "jnl");
    if has_tables && !entries(path)?.iter().any(is_journal) {
        return Err(corrupted(path, "its journal is missing"));
    }
    Ok(())
}

/// The tables of a tree's current version. Others are what a crash has left, and nobody reads them.
fn current_tables(tree: &Path) -> Result<Vec<u64>, Error> {
    let current = tree.join("current");
    if !current.exists() && entries(&tree.join("tables"))?.is_empty() {
        // A crash in the middle of the tree's creation leaves this.
        return Ok(Vec::new());
    }
    let bytes = fs::read(&current).map_err(|error| unread(&current, error))?;
    let (number, checksum) =
        parse_current(&bytes).ok_or_else(|| corrupted(&current, "it is unreadable"))?;
    let version = tree.join(format!("v{number}"));
    let bytes = fs::read(&version).map_err(|error| unread(&version, error))?;
    if xxh3_128(&bytes) != checksum {
        return Err(corrupted(&version, "its checksum is wrong"));
    }
    parse_tables(&bytes).ok_or_else(|| corrupted(&version, "it is unreadable"))
}

/// The number and the checksum of the current version.
fn parse_current(mut bytes: &[u8]) -> Option<(u64, u128)> {
    let parsed = (take_u64(&mut bytes)?, take_u128(&mut bytes)?);
    (bytes == [0]).then_some(parsed)
}

/// The tables of a version: levels of runs of tables.
fn parse_tables(version: &[u8]) -> Option<Vec<u64>> {
    let (contents, trailer) = version.split_last_chunk()?;
    let (_, start) = parse_trailer(trailer, contents.len() as u64)?;
    let mut levels = section(contents, usize::try_from(start).ok()?, b"tables")?;
    let mut tables = Vec::new();
    for _ in 0..take_u8(&mut levels)? {
        for _ in 0..take_u8(&mut levels)? {
            for _ in 0..take_u32(&mut levels)? {
                tables.push(take_u64(&mut levels)?);
                // The kind of the table's checksum, the checksum, and the number of its write.
                take_u8(&mut levels)?;
                take_u128(&mut levels)?;
                take_u64(&mut levels)?;
            }
        }
    }
    Some(tables)
}

/// The section `name` of a file whose table of contents begins at `start`.
fn section<'b>(bytes: &'b [u8], start: usize, name: &[u8]) -> Option<&'b [u8]> {
    let mut contents = bytes.get(start..)?.strip_prefix(b"TOC!")?;
    for _ in 0..take_u32(&mut contents)? {
        let (place, len) = (take_u64(&mut contents)?, take_u64(&mut contents)?);
        let name_len = usize::from(take_u16(&mut contents)?);
        let (found, rest) = contents.split_at_checked(name_len)?;
        contents = rest;
        if found == name {
            let place = usize::try_from(place).ok()?;
            return bytes.get(place..)?.get(..usize::try_from(len).ok()?);
        }
    }
    None
}

/// Checks a table's list of its sections. A damaged one makes the library ask for any amount of
/// memory.
fn verify_contents(path: &Path) -> Result<(), Error> {
    let io = |error| unread(path, error);
    let mut file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let contents_end = len.checked_sub(TRAILER_BYTES as u64);
    let contents_end = contents_end.ok_or_else(|| corrupted(path, "it is too short"))?;
    let mut trailer = [0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(contents_end)).map_err(io)?;
    file.read_exact(&mut trailer).map_err(io)?;
    let (checksum, start) = parse_trailer(&trailer, contents_end)
        .ok_or_else(|| corrupted(path, "its trailer is unreadable"))?;
    let mut contents = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let mut rest = file.take(contents_end - start);
    rest.read_to_end(&mut contents).map_err(io)?;
    if xxh3_128(&contents) != checksum {
        return Err(corrupted(path, "the checksum of its contents is wrong"));
    }
    Ok(())
}

/// The checksum and the beginning of the table of contents, which goes on to `end`.
fn parse_trailer(trailer: &[u8; TRAILER_BYTES], end: u64) -> Option<(u128, u64)> {
    let mut rest = trailer.strip_prefix(&TRAILER_MARK)?;
    let checksum = take_u128(&mut rest)?;
    let (start, len) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
    let fits = len <= CONTENTS_BYTES_MAX && start.checked_add(len) == Some(end);
    fits.then_some((checksum, start))
}

/// Functions that take a little-endian number from the front of some bytes.
macro_rules! take {
    ($($name:ident: $number:ty),*) => {$(
        fn $name(bytes: &mut &[u8]) -> Option<$number> {
            let (number, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(<$number>::from_le_bytes(*number))
        }
    )*};
}
take!(take_u8: u8, take_u16: u16, take_u32: u32, take_u64: u64, take_u128: u128);

/// The paths in a folder; none if it does not exist.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let io = |source| Error::io("listing", folder, source);
    let entries = fs::read_dir(folder).map_err(io)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(io))
        .collect()
}

/// What a file that cannot be read means: one that must be there and is not is damage. One that is kept
/// from its reader may be whole.
fn unread(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => corrupted(path, "it is missing"),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            corrupted(path, &source.to_string())
        }
        _ => Error::io("reading", path, source),
    }
}

fn corrupted(path: &Path, reason: &str) -> Error {
    Error::Corrupted {
        what: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

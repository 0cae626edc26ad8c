//! Recovery: from the files of a directory to the state of the log.
//!
//! The last segment begins with a checkpoint of everything but records, so of the earlier ones
//! only the directories of their frames are read. A frame at the end of the last segment that is
//! not whole was never acknowledged, and is cut off. Any other damage is an error: a frame is only
//! written once the one before it is durable, so a valid frame behind an invalid one proves that
//! the invalid one was acknowledged.

use std::io;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::disk::Disk;
use super::entry::Entry;
use super::frame::{self, Frame, Location};
use super::journal::{is_disk_full, write_checkpoint};
use super::manifest::{Listed, Manifest};
use super::segment::{Section, Segment};
use super::state::State;
use crate::log::LogError;

/// What a log begins with.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) manifest: Manifest,
    /// The open segment.
    pub(super) segment: Arc<Segment>,
    /// Its length.
    pub(super) end: u64,
}

/// Reads the log in `dir`, or begins one there. With `verify`, every record is checked.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, verify: bool) -> Result<Recovered, LogError> {
    let manifest = Manifest::load(disk, dir)?.unwrap_or_default();
    for unlisted in unlisted(disk, dir, &manifest)? {
        check_unlisted(disk, dir, &manifest, unlisted)?;
    }
    let recovered = read(disk, dir, manifest, verify)?;
    remove_leftovers(disk, dir, &recovered.manifest)?;
    Ok(recovered)
}

fn read(
    disk: &dyn Disk,
    dir: &Path,
    manifest: Manifest,
    verify: bool,
) -> Result<Recovered, LogError> {
    let Some((open, closed)) = manifest.segments.split_last() else {
        return begin(disk, dir).map_err(|error| cannot_open(dir, &error));
    };
    let mut sections = Vec::new();
    for listed in closed {
        read_closed(disk, dir, *listed, verify, &mut sections)?;
    }
    let segment = Arc::new(open_segment(disk, dir, *open)?);
    let (state, end) = read_open(&segment, sections)?;
    Ok(Recovered {
        state,
        segment,
        end,
        manifest,
    })
}

fn begin(disk: &dyn Disk, dir: &Path) -> io::Result<Recovered> {
    let mut state = State::default();
    let next_topic = first_topic();
    state.apply(&Entry::Checkpoint { next_topic }, None);
    let segment = Segment::create(disk, dir, 1, 0)?;
    let end = write_checkpoint(&segment, &state.checkpoint())?;
    let mut manifest = Manifest::default();
    manifest.push_open(segment.id);
    disk.sync_dir(dir)?;
    manifest.prepare(disk, dir)?;
    Manifest::replace(disk, dir)?;
    Ok(Recovered {
        state,
        manifest,
        segment: Arc::new(segment),
        end,
    })
}

/// The number of a fresh log's first topic: at random, so that its topics are told from those of
/// another log.
fn first_topic() -> u32 {
    #[expect(
        clippy::disallowed_methods,
        reason = "made once per log, then kept in its journal"
    )]
    let random = Uuid::new_v4().as_u128() as u32;
    // The upper half is room for the topics to come.
    1 + random / 2
}

/// The error for a directory that cannot be used.
pub(super) fn cannot_open(dir: &Path, error: &io::Error) -> LogError {
    LogError::Config(format!(
        "cannot open the log in `{}`: {error}",
        dir.display()
    ))
}

/// The segments in `dir` that the manifest does not list.
fn unlisted(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<Vec<Listed>, LogError> {
    let names = disk.list(dir).map_err(|error| cannot_open(dir, &error))?;
    let is_listed = |of: &Listed| {
        let mut listed = manifest.segments.iter();
        listed.any(|one| (one.id, one.generation) == (of.id, of.generation))
    };
    let segments = names.iter().filter_map(|name| Segment::parse_name(name));
    let segments = segments.map(|(id, generation)| Listed {
        id,
        generation,
        closed: None,
    });
    Ok(segments.filter(|one| !is_listed(one)).collect())
}

/// Removes what a crash has left half done: segments that were written but never listed, and old
/// ones that were replaced but not yet removed. Nothing is removed before the listed segments are
/// known to be all there is.
fn remove_leftovers(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), LogError> {
    for Listed { id, generation, .. } in unlisted(disk, dir, manifest)? {
        let removed = disk.remove(&dir.join(Segment::file_name(id, generation)));
        removed.map_err(|error| cannot_open(dir, &error))?;
    }
    Ok(())
}

/// A segment is listed before anything but a checkpoint is written to it. So anything else in a
/// segment behind the last one listed means that the manifest is not the latest.
fn check_unlisted(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    unlisted: Listed,
) -> Result<(), LogError> {
    let last = manifest.segments.last();
    if last.is_some_and(|last| unlisted.id <= last.id) {
        return Ok(());
    }
    let segment = open_segment(disk, dir, unlisted)?;
    let is_leftover = match last {
        Some(_) => holds_no_more_than_a_checkpoint(&segment),
        None => segment.file.len().map(|len| len <= empty_checkpoint_len()),
    };
    if is_leftover.map_err(|error| segment.unreadable(&error))? {
        return Ok(());
    }
    Err(LogError::Corrupted(format!(
        "`{}` is missing or older than `{}`; restore the directory from a backup",
        dir.join("manifest").display(),
        segment.path.display()
    )))
}

fn holds_no_more_than_a_checkpoint(segment: &Segment) -> io::Result<bool> {
    let len = segment.file.len()?;
    let mut scanner = segment.scanner(len);
    let Some(first) = scanner.frame(0, false)? else {
        return Ok(true);
    };
    let is_checkpoint = matches!(first.entries.first(), Some(Entry::Checkpoint { .. }));
    Ok(is_checkpoint && scanner.frame(first.end, false)?.is_none())
}

/// The length of the first segment of a log, as long as that is not listed.
fn empty_checkpoint_len() -> u64 {
    let location = Location {
        segment: 1,
        generation: 0,
        at: 0,
    };
    let mut bytes = Vec::new();
    let checkpoint = State::default().checkpoint();
    frame::encode(&checkpoint, std::iter::empty(), location, &mut bytes);
    bytes.len() as u64
}

fn open_segment(disk: &dyn Disk, dir: &Path, listed: Listed) -> Result<Segment, LogError> {
    Segment::open(disk, dir, listed.id, listed.generation).map_err(|error| {
        let name = Segment::file_name(listed.id, listed.generation);
        let text = format!("cannot open `{}`: {error}", dir.join(name).display());
        match error.kind() {
            io::ErrorKind::NotFound => LogError::Corrupted(text),
            _ => LogError::Config(text),
        }
    })
}

fn read_closed(
    disk: &dyn Disk,
    dir: &Path,
    listed: Listed,
    verify: bool,
    into: &mut Vec<Section>,
) -> Result<(), LogError> {
    let segment = Arc::new(open_segment(disk, dir, listed)?);
    let unreadable = |error| segment.unreadable(&error);
    let len = segment.file.len().map_err(unreadable)?;
    if listed.closed != Some(len) {
        return Err(segment.damaged(len));
    }
    let mut scanner = segment.scanner(len);
    let mut at = 0;
    while at < len {
        let frame = scanner.frame(at, verify).map_err(unreadable)?;
        let frame = frame.ok_or_else(|| segment.damaged(at))?;
        into.extend(Section::of_frame(&frame, &segment));
        at = frame.end;
    }
    Ok(())
}

fn read_open(segment: &Arc<Segment>, earlier: Vec<Section>) -> Result<(State, u64), LogError> {
    let unreadable = |error| segment.unreadable(&error);
    let len = segment.file.len().map_err(unreadable)?;
    let mut scanner = segment.scanner(len);
    let checkpoint = scanner.frame(0, true).map_err(unreadable)?;
    let checkpoint = checkpoint.ok_or_else(|| segment.damaged(0))?;
    let mut state = State::default();
    apply_frame(&checkpoint, segment, &mut state)?;
    add_earlier(earlier, &mut state)?;
    let (mut last, mut at) = (0, checkpoint.end);
    while let Some(frame) = scanner.frame(at, true).map_err(unreadable)? {
        apply_frame(&frame, segment, &mut state)?;
        (last, at) = (at, frame.end);
    }
    if at < len {
        if scanner.find_behind(at).map_err(unreadable)?.is_some() {
            return Err(segment.damaged(at));
        }
        tracing::warn!(
            segment = %segment.path.display(),
            "cuts {} bytes of an unfinished write at byte {at}",
            len - at
        );
        segment.file.set_len(at).map_err(unreadable)?;
    }
    sync_again(segment, last, at).map_err(unreadable)?;
    Ok((state, at))
}

/// Makes the last frame durable, which lies from `start` to `end`. The process before may have died
/// between its write and its sync, or that sync may have failed: then the pages count as clean though
/// the disk has never got them, and a sync alone would not write them.
fn sync_again(segment: &Segment, start: u64, end: u64) -> io::Result<()> {
    let len = usize::try_from(end - start).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    segment.file.read_at(&mut bytes, start)?;
    match segment.file.write_at(&bytes, start) {
        // Where even a write in place takes room, the log can still be read.
        Err(error) if is_disk_full(&error) => {
            tracing::warn!(segment = %segment.path.display(), "disk full: {error}");
        }
        written => written?,
    }
    segment.file.sync()
}

fn apply_frame(frame: &Frame, segment: &Arc<Segment>, state: &mut State) -> Result<(), LogError> {
    let mut sections = Section::of_frame(frame, segment).into_iter();
    for entry in &frame.entries {
        let Entry::Records(head) = entry else {
            state.apply(entry, None);
            continue;
        };
        let partition = state.partition(head.partition);
        if partition.is_some_and(|one| one.end != head.base) {
            return Err(segment.damaged(frame.data_at));
        }
        state.apply(entry, sections.next());
    }
    Ok(())
}

fn add_earlier(earlier: Vec<Section>, state: &mut State) -> Result<(), LogError> {
    for section in earlier {
        // The topic of a section may have been deleted since.
        let Some(partition) = state.partition_mut(section.head.partition) else {
            continue;
        };
        if section.last() >= partition.end {
            return Err(section.segment.damaged(section.at));
        }
        partition.insert(section);
    }
    Ok(())
}

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
use super::frame::Frame;
use super::journal::write_checkpoint;
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
    remove_leftovers(disk, dir, &manifest)?;
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

/// Removes what a crash has left half done: segments that were written but never listed, and old
/// ones that were replaced but not yet removed.
fn remove_leftovers(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<(), LogError> {
    let names = disk.list(dir).map_err(|error| cannot_open(dir, &error))?;
    for name in names {
        let Some((id, generation)) = Segment::parse_name(&name) else {
            continue;
        };
        let mut listed = manifest.segments.iter();
        if listed.any(|one| (one.id, one.generation) == (id, generation)) {
            continue;
        }
        check_unlisted(disk, dir, manifest, (id, generation))?;
        let removed = disk.remove(&dir.join(&name));
        removed.map_err(|error| cannot_open(dir, &error))?;
    }
    Ok(())
}

/// A segment is listed before anything but a checkpoint is written to it. So records in a segment
/// behind the last one listed mean that the manifest is not the latest.
fn check_unlisted(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    (id, generation): (u64, u32),
) -> Result<(), LogError> {
    if manifest.segments.last().is_some_and(|last| id <= last.id) {
        return Ok(());
    }
    let listed = Listed {
        id,
        generation,
        closed: None,
    };
    let segment = open_segment(disk, dir, listed)?;
    let unreadable = |error| segment.unreadable(&error);
    let len = segment.file.len().map_err(unreadable)?;
    let mut scanner = segment.scanner(len);
    let Some(checkpoint) = scanner.frame(0, false).map_err(unreadable)? else {
        return Ok(());
    };
    match scanner.frame(checkpoint.end, false).map_err(unreadable)? {
        None => Ok(()),
        Some(_) => Err(LogError::Corrupted(format!(
            "`{}` is missing or older than `{}`; restore the directory from a backup",
            dir.join("manifest").display(),
            segment.path.display()
        ))),
    }
}

fn open_segment(disk: &dyn Disk, dir: &Path, listed: Listed) -> Result<Segment, LogError> {
    Segment::open(disk, dir, listed.id, listed.generation).map_err(|error| {
        let name = Segment::file_name(listed.id, listed.generation);
        let path = dir.join(name);
        LogError::Corrupted(format!("cannot open `{}`: {error}", path.display()))
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
    let mut at = checkpoint.end;
    while let Some(frame) = scanner.frame(at, true).map_err(unreadable)? {
        apply_frame(&frame, segment, &mut state)?;
        at = frame.end;
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
    // The process before may have died between a write and its sync.
    segment.file.sync().map_err(unreadable)?;
    Ok((state, at))
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

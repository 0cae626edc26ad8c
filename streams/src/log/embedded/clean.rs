//! The cleaner: gives up records that are too old, and gives back the room of records that are
//! gone, superseded or scattered.
//!
//! It works on closed segments. A run of them is written anew: to new files, synced, and only then
//! does the manifest name these in place of the old ones. A crash at any moment leaves either the
//! old segments or the new ones, and files that the next start removes.
//!
//! Compacted topics are written anew again and again, others hardly ever. So a segment that has
//! records of both, as all have that the journal writes, is split: from then on what is compacted
//! does not drag the rest along.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::entry::Entry;
use super::latest::Latest;
use super::manifest::{Listed, Manifest};
use super::rewrite::{Rewriter, Rewritten, Source, failed};
use super::segment::Segment;
use super::shared::Shared;
use super::signal::Signal;
use super::state::{Partition, State};
use super::topics;
use crate::log::{Cleanup, LogError, Offset};

/// Cleans on its own thread, and whenever it is asked.
#[derive(Debug)]
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    /// One run at a time.
    running: Mutex<()>,
    /// Set when there may be something to do.
    wake: Arc<Signal>,
    stopped: AtomicBool,
}

impl Cleaner {
    pub(super) fn new(shared: Arc<Shared>, wake: Arc<Signal>) -> Self {
        Self {
            shared,
            running: Mutex::default(),
            wake,
            stopped: AtomicBool::new(false),
        }
    }

    /// Cleans every `interval` and when a segment was closed, until it is stopped.
    pub(super) fn run(&self, interval: Duration) {
        while !self.is_stopped() {
            self.wake.clear();
            if let Err(error) = self.clean() {
                tracing::warn!(dir = %self.shared.dir.display(), "cleaning: {error}");
            }
            if !self.is_stopped() {
                self.wake.wait_until(Instant::now() + interval);
            }
        }
    }

    /// Ends [`Cleaner::run`] between two segments.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake.set();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// One run over all closed segments. On a full disk it gives back what takes no room to give
    /// back, whatever else has to wait.
    pub(super) fn clean(&self) -> Result<(), LogError> {
        let _one_at_a_time = self.running.lock();
        self.shared.check()?;
        match expire(&self.shared) {
            Err(full @ LogError::Unavailable(_)) => self.clean_closed().and(Err(full)),
            expired => expired.and_then(|()| self.clean_closed()),
        }
    }

    fn clean_closed(&self) -> Result<(), LogError> {
        let closed = closed_segments(&self.shared);
        let Some(closed_to) = closed.iter().map(|one| one.id).max() else {
            return Ok(());
        };
        let latest = Latest::read(&self.shared, closed_to)?;
        let uses = Uses::count(&self.shared.state.read(), &latest);
        let mut waits = Ok(());
        for run in runs(&closed, &uses, self.shared.options.segment_bytes) {
            if self.is_stopped() {
                return Ok(());
            }
            match self.rewrite(&run, &latest) {
                Err(error @ LogError::Unavailable(_)) => waits = waits.and(Err(error)),
                rewritten => rewritten?,
            }
        }
        waits?;
        let mut state = self.shared.state.write();
        for (partition, covered) in latest.covered() {
            if let Some(partition) = state.partition_mut(partition) {
                partition.compacted_to = covered;
            }
        }
        Ok(())
    }

    fn rewrite(&self, run: &[Listed], latest: &Latest) -> Result<(), LogError> {
        let shared = &self.shared;
        let [plain, compacted] = sections_of(&shared.state.read(), run);
        let (id, generation) = self.next_generation(run);
        let mut new = Vec::new();
        let mut replace = || {
            new.extend(self.write_anew((id, generation), &plain, latest)?);
            new.extend(self.write_anew((id, generation + 1), &compacted, latest)?);
            self.switch(run, &new)
        };
        if let Err(error) = replace() {
            // After a poison either may be named: the next opening knows which.
            if self.shared.check().is_ok() {
                let left = new.iter().map(|one| &one.segment.path);
                left.for_each(|path| drop(shared.disk.remove(path)));
            }
            return Err(error);
        }
        let sections = new.into_iter().flat_map(|one| one.sections).collect();
        let sources = plain.into_iter().chain(compacted);
        let old = distinct(sources.map(|one| one.section.segment).collect());
        shared.state.write().replace_sections(&old, sections);
        for one in run {
            let path = shared.dir.join(Segment::file_name(one.id, one.generation));
            if let Err(error) = shared.disk.remove(&path) {
                tracing::warn!("cannot remove `{}`: {error}", path.display());
            }
        }
        Ok(())
    }

    /// The number and the first generation that are free for what replaces a run.
    fn next_generation(&self, run: &[Listed]) -> (u64, u32) {
        let id = run.iter().map(|one| one.id).max().unwrap_or_default();
        let manifest = self.shared.manifest.lock();
        let same = manifest.segments.iter().filter(|one| one.id == id);
        let last = same.map(|one| one.generation).max().unwrap_or_default();
        (id, last + 1)
    }

    /// Answers nothing when no record is wanted any more.
    fn write_anew(
        &self,
        place: (u64, u32),
        sections: &[Source],
        latest: &Latest,
    ) -> Result<Option<Rewritten>, LogError> {
        if sections.is_empty() {
            return Ok(None);
        }
        let (disk, dir) = (&*self.shared.disk, &*self.shared.dir);
        let mut rewriter = Rewriter::new(disk, dir, place, latest)?;
        let path = rewriter.path().to_owned();
        let added = sections.iter().try_for_each(|one| rewriter.add(one));
        let rewritten = added.and_then(|()| rewriter.finish());
        let rewritten = rewritten.map(|one| (one.len > 0).then_some(one));
        if !matches!(rewritten, Ok(Some(_))) {
            // Whatever is left of it is removed when the log is opened.
            let _ = disk.remove(&path);
        }
        rewritten
    }

    /// Makes the manifest name the new segments in place of the old ones.
    fn switch(&self, run: &[Listed], new: &[Rewritten]) -> Result<(), LogError> {
        let shared = &self.shared;
        let (disk, dir) = (&*shared.disk, &*shared.dir);
        disk.sync_dir(dir).map_err(|error| failed(&error))?;
        let mut manifest = shared.manifest.lock();
        let mut next = manifest.clone();
        next.replace_run(run, new.iter().map(Rewritten::listed));
        next.prepare(disk, dir).map_err(|error| failed(&error))?;
        if let Err(error) = Manifest::replace(disk, dir) {
            let why = format!("replacement of the manifest failed: {error}");
            return Err(shared.poison(why));
        }
        *manifest = next;
        Ok(())
    }
}

impl Rewritten {
    fn listed(&self) -> Listed {
        Listed {
            id: self.segment.id,
            generation: self.segment.generation,
            closed: Some(self.len),
        }
    }
}

fn distinct(mut segments: Vec<Arc<Segment>>) -> Vec<Arc<Segment>> {
    segments.sort_by_key(|segment| (segment.id, segment.generation));
    segments.dedup_by(|a, b| Arc::ptr_eq(a, b));
    segments
}

fn closed_segments(shared: &Shared) -> Vec<Listed> {
    let manifest = shared.manifest.lock();
    let segments = manifest.segments.iter().copied();
    segments.filter(|one| one.closed.is_some()).collect()
}

/// Moves the starts of partitions behind the records that are older than their topic keeps them.
fn expire(shared: &Shared) -> Result<(), LogError> {
    let now = (shared.options.clock)();
    let state = shared.state.read();
    let expired = state.partitions().filter_map(|(id, topic, partition)| {
        let Cleanup::Delete {
            retention: Some(age),
        } = topic.cleanup
        else {
            return None;
        };
        let start = first_younger(partition, (now - age).as_millis());
        (start > partition.start).then_some(Entry::Start {
            partition: id,
            start,
        })
    });
    let entries = expired.collect();
    drop(state);
    topics::write(shared, entries)
}

fn first_younger(partition: &Partition, than: i64) -> Offset {
    let sections = partition.sections.iter();
    let old = sections.take_while(|section| section.head.max_timestamp < than);
    old.last().map_or(0, |section| section.last() + 1)
}

/// What the closed segments are still used for, by number and generation.
#[derive(Debug, Default)]
struct Uses(HashMap<(u64, u32), Use>);

#[derive(Debug, Default)]
struct Use {
    /// The bytes of records that still exist, and of what the directories tell of them.
    bytes: u64,
    sections: u64,
    /// It has records of a topic that is not compacted.
    plain: bool,
    /// It has records of a partition that is compacted in this run.
    dirty: bool,
}

impl Uses {
    fn count(state: &State, latest: &Latest) -> Self {
        let mut uses = Self::default();
        for (id, topic, partition) in state.partitions() {
            let plain = topic.cleanup != Cleanup::Compact;
            let dirty = latest.has(id);
            for section in &partition.sections {
                let place = (section.segment.id, section.segment.generation);
                let one = uses.0.entry(place).or_default();
                one.bytes += u64::from(section.head.len) + SECTION_OVERHEAD;
                one.sections += 1;
                one.plain |= plain;
                one.dirty |= dirty;
            }
        }
        uses
    }

    fn of(&self, segment: &Listed) -> Option<&Use> {
        self.0.get(&(segment.id, segment.generation))
    }

    fn bytes(&self, segment: &Listed) -> u64 {
        self.of(segment).map_or(0, |one| one.bytes)
    }

    /// True if it has records of compacted topics and of no others.
    fn is_compacted(&self, segment: &Listed) -> bool {
        self.of(segment).is_some_and(|one| !one.plain)
    }

    /// True if it is worth rewriting alone.
    fn is_wasteful(&self, segment: &Listed) -> bool {
        let Some(one) = self.of(segment) else {
            return true;
        };
        let is_half_dead = one.bytes * 2 < segment.closed.unwrap_or(0);
        // Each section costs memory in the index. Rewriting once is enough: what is then still
        // scattered belongs to many partitions.
        let is_scattered = segment.generation == 0
            && one.sections > SECTIONS_MIN
            && one.bytes < one.sections * SECTION_BYTES_MEAN;
        one.dirty || is_half_dead || is_scattered
    }
}

/// About what a section takes in the directory of its frame.
const SECTION_OVERHEAD: u64 = 54;
const SECTIONS_MIN: u64 = 256;
const SECTION_BYTES_MEAN: u64 = 16 << 10;

/// The runs of segments to rewrite together: first those of which nothing is left to be written.
fn runs(closed: &[Listed], uses: &Uses, segment_bytes: u64) -> Vec<Vec<Listed>> {
    let is_dead = |one: &Listed| uses.of(one).is_none();
    let is_compacted = |one: &Listed| uses.is_compacted(one);
    let (dead, live): (Vec<_>, Vec<_>) = closed.iter().copied().partition(is_dead);
    let (compacted, others): (Vec<_>, Vec<_>) = live.into_iter().partition(is_compacted);
    let mut runs = vec![dead];
    runs.retain(|run| !run.is_empty());
    runs.extend(runs_of_neighbours(&compacted, uses, segment_bytes));
    runs.extend(runs_of_neighbours(&others, uses, segment_bytes));
    runs
}

/// Segments that are worth it, each with its small neighbours while it fits one segment.
fn runs_of_neighbours(segments: &[Listed], uses: &Uses, segment_bytes: u64) -> Vec<Vec<Listed>> {
    let mut runs: Vec<Vec<Listed>> = Vec::new();
    let mut bytes = 0;
    let mut is_joined = false;
    for segment in segments {
        let is_small = uses.bytes(segment) * 4 < segment_bytes;
        if !is_small && !uses.is_wasteful(segment) {
            is_joined = false;
            continue;
        }
        bytes += uses.bytes(segment);
        match runs.last_mut() {
            Some(run) if is_joined && bytes <= segment_bytes => run.push(*segment),
            _ => {
                bytes = uses.bytes(segment);
                runs.push(vec![*segment]);
            }
        }
        is_joined = true;
    }
    runs.retain(|run| run.len() > 1 || run.iter().any(|one| uses.is_wasteful(one)));
    runs
}

/// What still exists of a run of segments, by partition and in the order of offsets: of topics
/// that are not compacted, and of those that are.
fn sections_of(state: &State, run: &[Listed]) -> [Vec<Source>; 2] {
    let mut partitions: Vec<_> = state.partitions().collect();
    partitions.sort_by_key(|(id, _, _)| *id);
    let (mut plain, mut compacted) = (Vec::new(), Vec::new());
    for (_, topic, partition) in partitions {
        let sources = sources_of(partition, run);
        match topic.cleanup {
            Cleanup::Compact => compacted.extend(sources),
            Cleanup::Delete { .. } => plain.extend(sources),
        }
    }
    [plain, compacted]
}

fn sources_of(partition: &Partition, run: &[Listed]) -> impl Iterator<Item = Source> {
    let mut follows = false;
    let sources = partition.sections.iter().map(move |section| {
        let place = (section.segment.id, section.segment.generation);
        let is_in_run = run.iter().any(|one| (one.id, one.generation) == place);
        let source = is_in_run.then(|| Source {
            section: section.clone(),
            follows,
        });
        follows = is_in_run;
        source
    });
    sources.flatten()
}

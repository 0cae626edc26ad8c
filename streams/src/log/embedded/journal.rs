//! The journal thread: takes requests in groups, writes one frame for each group, syncs it, and
//! only then lets anybody see it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::draft::Draft;
use super::entry::Entry;
use super::frame;
use super::manifest::Manifest;
use super::queue::{Failure, Request};
use super::segment::{Section, Segment};
use super::shared::Shared;
use super::signal::Signal;
use crate::log::{LogError, Offset};

/// The writing end of the log. There is one, on its own thread.
#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    /// The open segment.
    segment: Arc<Segment>,
    /// The length of the open segment up to its last durable frame.
    end: u64,
    /// Keeps the newest sections readable from memory.
    cache: Cache,
    /// A frame's bytes, kept for its allocation.
    buffer: Vec<u8>,
    /// Called when a segment was closed, so that the cleaner looks at it.
    closed: Arc<Signal>,
}

/// A group's requests with the answers that they get once the frame is durable.
type Accepted = Vec<(Request, Vec<Offset>)>;

/// The buffer is given back when it is larger than this.
const BUFFER_BYTES_KEPT: usize = 32 << 20;

impl Journal {
    pub(super) fn new(
        shared: Arc<Shared>,
        segment: Arc<Segment>,
        end: u64,
        closed: Arc<Signal>,
    ) -> Self {
        let cache = Cache {
            sections: VecDeque::new(),
            bytes: 0,
            bytes_max: shared.options.cache_bytes_max,
        };
        Self {
            shared,
            segment,
            end,
            cache,
            buffer: Vec::new(),
            closed,
        }
    }

    /// Carries out requests until the queue is closed.
    pub(super) fn run(mut self) {
        while let Some(group) = self.shared.queue.take() {
            self.write_group(group);
        }
    }

    fn write_group(&mut self, group: Vec<Request>) {
        if let Err(why) = self.shared.check() {
            return refuse(group, &Failure::NotWritten(why));
        }
        let mut draft = Draft::new((self.shared.options.clock)().as_millis());
        let accepted = self.plan(group, &mut draft);
        if draft.is_empty() {
            return answer(accepted);
        }
        let (entries, sections) = draft.finish();
        match self.append(&entries, &sections) {
            Ok(data_at) => {
                self.publish(&entries, sections, data_at);
                answer(accepted);
            }
            Err(failure) => refuse(accepted.into_iter().map(|(request, _)| request), &failure),
        }
        let is_whole = self.shared.check().is_ok();
        // What a failed write or sync has left may lie behind the end: closed there, the segment would
        // count as damaged.
        if is_whole && self.end >= self.shared.options.segment_bytes {
            self.roll();
        }
    }

    fn plan(&self, group: Vec<Request>, draft: &mut Draft) -> Accepted {
        let state = self.shared.state.read();
        let mut accepted = Vec::with_capacity(group.len());
        for mut request in group {
            match draft.add(&mut request, &state) {
                Ok(lasts) => accepted.push((request, lasts)),
                Err(failure) => request.answer(Err(failure)),
            }
        }
        accepted
    }

    /// Writes a frame and makes it durable. Answers the position of its records.
    fn append(&mut self, entries: &[Entry], sections: &[Vec<u8>]) -> Result<u64, Failure> {
        self.buffer.clear();
        let location = self.segment.location(self.end);
        let bytes = sections.iter().map(Vec::as_slice);
        let data_at = frame::encode(entries, bytes, location, &mut self.buffer);
        if let Err(error) = self.segment.file.write_at(&self.buffer, self.end) {
            return Err(self.write_failed(&error));
        }
        let began = Instant::now();
        if let Err(error) = self.segment.file.sync() {
            return Err(Failure::Unknown(self.stop("sync", &error)));
        }
        metrics::histogram!("log_journal_sync_seconds").record(began.elapsed());
        metrics::counter!("log_journal_bytes_total").increment(self.buffer.len() as u64);
        let data_at = self.end + data_at as u64;
        self.end += self.buffer.len() as u64;
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        Ok(data_at)
    }

    /// A full disk is survived: the part that was written is cut off. Anything else is not.
    fn write_failed(&self, error: &io::Error) -> Failure {
        if !is_disk_full(error) {
            return Failure::Unknown(self.stop("write", error));
        }
        match self.segment.file.set_len(self.end) {
            Ok(()) => {
                tracing::warn!(segment = %self.segment.path.display(), "disk full: {error}");
                Failure::NotWritten(LogError::Unavailable(format!("disk full: {error}")))
            }
            Err(error) => Failure::Unknown(self.stop("cut after a write", &error)),
        }
    }

    fn stop(&self, what: &str, error: &io::Error) -> LogError {
        let path = self.segment.path.display();
        self.shared.poison(format!(
            "{what} of `{path}` failed: {error}; start the process again"
        ))
    }

    /// Makes a durable frame visible.
    fn publish(&mut self, entries: &[Entry], sections: Vec<Vec<u8>>, mut at: u64) {
        let mut sections = sections.into_iter();
        let mut woken = Vec::new();
        let mut state = self.shared.state.write();
        for entry in entries {
            let Entry::Records(head) = entry else {
                state.apply(entry, None);
                continue;
            };
            let data = Arc::new(sections.next().unwrap_or_default());
            let section = Section::written(*head, Arc::clone(&self.segment), at, &data);
            at += u64::from(head.len);
            state.apply(entry, Some(section));
            if let Some(partition) = state.partition(head.partition) {
                woken.extend(partition.watchers.iter().map(Arc::clone));
            }
            self.cache.add(data);
        }
        drop(state);
        woken.iter().for_each(|signal| signal.set());
    }

    /// Closes the segment and begins the next one.
    fn roll(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut manifest = shared.manifest.lock();
        match self.prepare_successor(&manifest) {
            Ok((segment, end, next)) => match Manifest::replace(&*shared.disk, &shared.dir) {
                Ok(()) => {
                    *manifest = next;
                    self.segment = Arc::new(segment);
                    self.end = end;
                    self.closed.set();
                }
                Err(error) => drop(self.stop("replacement", &error)),
            },
            // The segment grows on meanwhile; the next frame tries again.
            Err(error) if is_disk_full(&error) => {
                tracing::warn!("no room for a new segment: {error}");
            }
            Err(error) => drop(self.stop("replacement", &error)),
        }
    }

    fn prepare_successor(&self, manifest: &Manifest) -> io::Result<(Segment, u64, Manifest)> {
        let (disk, dir) = (&*self.shared.disk, &*self.shared.dir);
        let checkpoint = self.shared.state.read().checkpoint();
        let segment = Segment::create(disk, dir, self.segment.id + 1, 0)?;
        let mut next = manifest.clone();
        next.close_last(self.end);
        next.push_open(segment.id);
        let prepare = || {
            let end = write_checkpoint(&segment, &checkpoint)?;
            disk.sync_dir(dir)?;
            next.prepare(disk, dir)?;
            Ok(end)
        };
        match prepare() {
            Ok(end) => Ok((segment, end, next)),
            Err(error) => {
                // Whatever is left of it is removed when the log is opened.
                let _ = disk.remove(&segment.path);
                Err(error)
            }
        }
    }
}

impl Drop for Journal {
    /// Whatever ends the thread, nobody waits for it in vain.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.poison("the journal thread panicked".to_owned());
        }
        self.shared.queue.close();
        self.shared.queue.clear();
    }
}

/// Writes the first frame of a segment, durably. Answers the segment's length.
pub(super) fn write_checkpoint(segment: &Segment, checkpoint: &[Entry]) -> io::Result<u64> {
    let mut bytes = Vec::new();
    let location = segment.location(0);
    frame::encode(checkpoint, std::iter::empty(), location, &mut bytes);
    segment.file.write_at(&bytes, 0)?;
    segment.file.sync()?;
    Ok(bytes.len() as u64)
}

/// True if an error goes away when there is room again.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn answer(accepted: Accepted) {
    for (request, lasts) in accepted {
        request.answer(Ok(lasts));
    }
}

fn refuse(group: impl IntoIterator<Item = Request>, failure: &Failure) {
    for request in group {
        request.answer(Err(failure.clone()));
    }
}

/// Owns the bytes of the newest sections, up to a limit. The index only knows them weakly.
#[derive(Debug)]
struct Cache {
    sections: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    bytes_max: usize,
}

/// What a cached section costs beside its bytes.
const SECTION_OVERHEAD: usize = 64;

impl Cache {
    fn add(&mut self, data: Arc<Vec<u8>>) {
        self.bytes += data.capacity() + SECTION_OVERHEAD;
        self.sections.push_back(data);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.sections.pop_front() else {
                return;
            };
            self.bytes -= oldest.capacity() + SECTION_OVERHEAD;
        }
    }
}

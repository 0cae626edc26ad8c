//! What the threads of a log share: the state, the queue, and the poison.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::channel::oneshot;
use futures::executor::block_on;
use parking_lot::{Mutex, RwLock};

use super::disk::Disk;
use super::entry::Entry;
use super::frame::FRAME_BYTES_MAX;
use super::group::Groups;
use super::manifest::Manifest;
use super::options::EmbeddedOptions;
use super::queue::{self, Failure, Pending, Permit, Queue, Reply, Request};
use super::state::State;
use crate::log::{LogError, Offset};

/// Shared by the log, its threads, its members, readers and writers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: EmbeddedOptions,
    /// What is durable, and nothing else: a reader sees no record before its sync.
    pub(super) state: RwLock<State>,
    /// The one way into the journal.
    pub(super) queue: Queue,
    /// Changed by the journal when it begins a segment, and by the cleaner.
    pub(super) manifest: Mutex<Manifest>,
    /// Locked before everything else here.
    pub(super) groups: Mutex<Groups>,
    /// Serialises the creation and deletion of topics.
    pub(super) topics: Mutex<()>,
    /// Set by the first failed write or sync: what is on the disk is unknown from then on.
    poison: OnceLock<LogError>,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        mut options: EmbeddedOptions,
        state: State,
        manifest: Manifest,
    ) -> Self {
        // What is let in must fit a frame.
        options.transaction_bytes_max = options.transaction_bytes_max.min(FRAME_BYTES_MAX);
        options.record_bytes_max = options.record_bytes_max.min(FRAME_BYTES_MAX / 2);
        Self {
            queue: Queue::new(options.queue_bytes_max),
            disk,
            dir,
            options,
            state: RwLock::new(state),
            manifest: Mutex::new(manifest),
            groups: Mutex::default(),
            topics: Mutex::default(),
            poison: OnceLock::new(),
        }
    }

    /// The error that every call answers after a write or sync has failed.
    pub(super) fn check(&self) -> Result<(), LogError> {
        self.poison.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Stops the log for good. A failed sync is never tried again: the pages it should have
    /// written may be gone from memory, and a second sync would call them durable.
    pub(super) fn poison(&self, why: String) -> LogError {
        tracing::error!(dir = %self.dir.display(), "embedded log stopped: {why}");
        self.poison.get_or_init(|| LogError::Corrupted(why)).clone()
    }

    /// Has something written, and waits until it is durable.
    pub(super) fn write(
        &self,
        sections: Vec<Pending>,
        entries: Vec<Entry>,
        permit: Option<Arc<Permit>>,
    ) -> Result<Vec<Offset>, Failure> {
        self.check().map_err(Failure::NotWritten)?;
        let (request, answer) = Request::new(sections, entries, permit);
        self.queue.push(request).map_err(Failure::NotWritten)?;
        reply(block_on(answer))
    }

    /// Waits until everything that is being written now has its effect or its error.
    pub(super) fn wait_for_pending(&self) -> Result<(), LogError> {
        self.write(Vec::new(), Vec::new(), None)
            .map(|_| ())
            .map_err(Failure::into_error)
    }
}

/// The answer that came, or the one for a log that was closed before it could answer.
pub(super) fn reply(answer: Result<Reply, oneshot::Canceled>) -> Reply {
    answer.unwrap_or_else(|oneshot::Canceled| Err(Failure::Unknown(queue::closed())))
}

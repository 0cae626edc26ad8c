//! The embedded log: topics, groups and transactions in the process, durable in one directory.
//!
//! One journal holds everything: the records of all partitions, committed offsets, topics. It is a
//! sequence of checksummed frames in segment files, and one thread appends to it. Whatever arrives
//! while a frame is being written goes into the next one, so many commits share one sync; each of
//! them is in one frame, and so is whole or absent after a power cut. A commit returns, and readers
//! see it, when it is durable and not before.
//!
//! | part | file |
//! | --- | --- |
//! | the bytes | `record`, `entry`, `frame`, `segment`, `manifest` |
//! | writing | `queue` -> `draft` -> `journal` |
//! | the fold of what is written | `state`, at the start from `recover` |
//! | reading | `fetch` |
//! | who has which task | `group`, `assignor`, `tasks` |
//! | giving room back | `clean`, `latest`, `rewrite` |
//!
//! What fails, and what then holds:
//!
//! - A full disk: the commit is aborted, an append is [`LogError::Unavailable`]; both work again
//!   when there is room.
//! - Any other error of a write, or of a sync: every call from then on is
//!   [`LogError::Corrupted`]. Opening the log again tells what was written.
//! - Damage: an unfinished frame at the very end is cut off. Anything else is
//!   [`LogError::Corrupted`] and names file and byte, at opening or when it is read.

#![allow(
    clippy::disallowed_methods,
    reason = "the journal bounds its waits by the clock, and owns its threads"
)]

mod assignor;
mod clean;
mod codec;
mod disk;
mod draft;
mod entry;
mod fetch;
mod frame;
mod group;
mod journal;
mod latest;
mod manifest;
mod member;
mod membership;
mod options;
mod queue;
mod reader;
mod record;
mod recover;
mod rewrite;
mod segment;
mod shared;
mod signal;
mod state;
mod tasks;
mod topics;
mod transaction;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use disk::{DirLock, Disk, DiskFile, FileSystem};
pub use options::EmbeddedOptions;

use self::clean::Cleaner;
use self::journal::Journal;
use self::member::EmbeddedMember;
use self::reader::EmbeddedReader;
use self::recover::{cannot_open, recover};
use self::shared::Shared;
use self::signal::Signal;
use self::writer::EmbeddedWriter;
use super::{
    CommittedOffset, Isolation, Log, LogError, Member, Offset, Reader, Seat, TopicInfo,
    TopicPartition, TopicSpec, Writer,
};

/// A durable log in this process.
///
/// Dropping it writes what is still waiting and gives the directory free; members, readers and
/// writers that outlive it can read, but not write.
///
/// ```
/// use millrace_streams::Timestamp;
/// use millrace_streams::headers::HeaderList;
/// use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
/// use millrace_streams::log::{Cleanup, Log, NewRecord, TopicSpec};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let log = EmbeddedLog::open(dir, EmbeddedOptions::default())?;
/// log.create_topics(&[TopicSpec {
///     name: "orders".into(),
///     partitions: 4,
///     cleanup: Cleanup::Delete { retention: None },
/// }])?;
/// let written = log.writer("example")?.append(NewRecord {
///     topic: "orders".into(),
///     key: Some(b"order-1".to_vec()),
///     value: Some(b"placed".to_vec()),
///     headers: HeaderList::new(),
///     timestamp: Timestamp::from_millis(0),
/// });
/// let position = futures::executor::block_on(written)?;
/// assert_eq!(position.offset, 0);
/// # Ok::<(), millrace_streams::log::LogError>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    cleaner: Arc<Cleaner>,
    /// The journal's, and the cleaner's.
    threads: Vec<JoinHandle<()>>,
    /// Dropped last, when no thread writes any more.
    _lock: Box<dyn DirLock>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or begins one there, and locks the directory.
    ///
    /// # Errors
    /// [`LogError::Config`] when the directory cannot be used, or another process uses it;
    /// [`LogError::Corrupted`] when it is damaged.
    pub fn open(dir: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Arc<Self>, LogError> {
        Self::open_on(Arc::new(FileSystem), dir, options)
    }

    /// As [`EmbeddedLog::open`], on another disk than the machine's.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: impl AsRef<Path>,
        options: EmbeddedOptions,
    ) -> Result<Arc<Self>, LogError> {
        let dir = dir.as_ref();
        let lock = lock(&*disk, dir)?;
        let recovered = recover(&*disk, dir, options.verify_on_open)?;
        let clean_interval = options.clean_interval;
        let shared = Arc::new(Shared::new(
            disk,
            dir.to_owned(),
            options,
            recovered.state,
            recovered.manifest,
        ));
        let closed = Arc::new(Signal::default());
        let cleaner = Arc::new(Cleaner::new(Arc::clone(&shared), Arc::clone(&closed)));
        let mut log = Self {
            shared: Arc::clone(&shared),
            cleaner: Arc::clone(&cleaner),
            threads: Vec::new(),
            _lock: lock,
        };
        let journal = Journal::new(shared, recovered.segment, recovered.end, closed);
        log.spawn("log-journal", move || journal.run())?;
        if let Some(interval) = clean_interval {
            log.spawn("log-cleaner", move || cleaner.run(interval))?;
        }
        Ok(Arc::new(log))
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread
            .spawn(run)
            .map_err(|error| cannot_open(&self.shared.dir, &error))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Gives up the records of a partition below `offset`; at most all of them.
    ///
    /// # Errors
    /// [`LogError::Config`] when the partition does not exist, and those of a write.
    pub fn purge_before(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        topics::purge_before(&self.shared, partition, offset)
    }

    /// Runs the cleaner once, and waits for it: retention, compaction, and giving room back.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when it could not write; nothing is lost then.
    /// [`LogError::Corrupted`] when it found damage.
    pub fn clean(&self) -> Result<(), LogError> {
        // A segment that is full now is closed by then.
        self.shared.wait_for_pending()?;
        self.cleaner.clean()
    }
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DirLock>, LogError> {
    disk.lock(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => LogError::Config(format!(
            "the log in `{}` is in use by another process; stop it, or use another directory",
            dir.display()
        )),
        _ => cannot_open(dir, &error),
    })
}

impl Log for EmbeddedLog {
    fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        topics::create(&self.shared, topics)
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<(), LogError> {
        topics::delete(&self.shared, topics)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.shared.check()?;
        Ok(self.shared.state.read().topic_infos())
    }

    fn join(&self, seat: Seat) -> Result<Box<dyn Member>, LogError> {
        let member = EmbeddedMember::join(Arc::clone(&self.shared), seat)?;
        Ok(Box::new(member))
    }

    fn reader(&self, _isolation: Isolation) -> Result<Box<dyn Reader>, LogError> {
        self.shared.check()?;
        Ok(Box::new(EmbeddedReader::new(Arc::clone(&self.shared))))
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, LogError> {
        self.shared.check()?;
        let writer = EmbeddedWriter::new(Arc::clone(&self.shared), name);
        Ok(Arc::new(writer))
    }

    fn committed(
        &self,
        application: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.shared.check()?;
        let state = self.shared.state.read();
        Ok(state.committed(application, partitions))
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.cleaner.stop();
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of the thread has poisoned the log, and been reported, already.
            let _ = thread.join();
        }
    }
}

//! Bringing committed changes to disk, beside the stream thread.
//!
//! Changes collect in a [`Generation`]. When it is due it is handed over whole and never changes
//! again; the memory goes on serving its records, which count as dirty until the disk has them. A
//! store has at most one generation under way, so the queue is bounded by the number of stores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::backend::Footer;
use crate::committed::Committed;
use crate::error::Error;
use crate::record::Record;

/// Committed changes that reach the disk together, each key once.
pub(crate) struct Generation {
    number: u32,
    records: Vec<Record>,
    bytes: u64,
}

impl Generation {
    /// Generations count from 1: 0 marks what came from disk.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            records: Vec::new(),
            bytes: 0,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lists a record and gives its place. Four billion of them do not fit in memory.
    pub(crate) fn push(&mut self, record: Record) -> u32 {
        self.bytes += record.len() as u64;
        self.records.push(record);
        (self.records.len() - 1) as u32
    }

    pub(crate) fn replace(&mut self, place: u32, record: Record) {
        if let Some(old) = self.records.get_mut(place as usize) {
            self.bytes = self.bytes - old.len() as u64 + record.len() as u64;
            *old = record;
        }
    }

    /// Hands the changes over and starts the next generation.
    pub(crate) fn take(&mut self) -> Self {
        let next = Self::new(self.number + 1);
        std::mem::replace(self, next)
    }
}

/// One generation on its way to disk.
pub(crate) struct Job {
    pub(crate) committed: Arc<Committed>,
    pub(crate) generation: Generation,
    pub(crate) footer: Footer,
    /// Whether it must outlive the machine's power.
    pub(crate) durable: bool,
}

impl Job {
    /// Writes the generation, and lets the memory treat it as clean. A failure poisons the store, and
    /// nothing is written behind it: its position would claim what the disk has never got.
    pub(crate) fn run(self) {
        let (committed, number) = (Arc::clone(&self.committed), self.generation.number);
        if committed.check().is_ok() {
            self.write();
        }
        committed.finish(number);
    }

    fn write(mut self) {
        self.generation
            .records
            .sort_unstable_by(|a, b| a.key().cmp(b.key()));
        let table = self.committed.table();
        let write = || table.write(&self.generation.records, self.footer, self.durable);
        match catch_unwind(AssertUnwindSafe(write)) {
            Ok(Ok(())) => self.committed.set_flushed(self.generation.number),
            Ok(Err(error)) => self.committed.poison(error.to_string()),
            Err(_) => self
                .committed
                .poison("the storage library panicked".to_owned()),
        }
        // The waiting task may close the directory at once: let go of the disk first.
        drop(table);
        let tombstones = self
            .generation
            .records
            .iter()
            .filter(|record| !record.is_live());
        self.committed
            .drop_tombstones(tombstones, self.generation.number);
    }
}

/// Runs flushes: on a thread of its own, or inline where every step must be reproducible.
pub(crate) enum Flusher {
    Inline,
    Thread {
        jobs: Option<Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
}

impl Flusher {
    pub(crate) fn spawn() -> Result<Self, Error> {
        let (jobs, queue) = channel::<Job>();
        let run = move || serve(&queue);
        let thread = Builder::new().name("state-flush".to_owned()).spawn(run);
        let thread = thread.map_err(|source| Error::Io {
            action: "starting the flush thread".to_owned(),
            source,
        })?;
        Ok(Self::Thread {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(crate) fn submit(&self, job: Job) {
        let refused = match self {
            Self::Inline => Some(job),
            Self::Thread {
                jobs: Some(jobs), ..
            } => jobs.send(job).err().map(|refused| refused.0),
            Self::Thread { jobs: None, .. } => Some(job),
        };
        // Without a thread, the one who asks does the work.
        if let Some(job) = refused {
            job.run();
        }
    }
}

fn serve(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job.run();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if let Self::Thread { jobs, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take() {
                // Its jobs catch their panics, and a store hears of them by poison.
                let _ = thread.join();
            }
        }
    }
}

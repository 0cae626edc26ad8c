//! Removing stores that nobody holds, beside everything else.
//!
//! A removal marks the store as being removed, deletes its records in pieces, and gives its space
//! back. It ends early when the directory is closed; the mark stays, and the store counts as idle
//! until a later removal, or the store's next owner, has finished it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;

use crate::backend::Table;
use crate::error::Error;

/// The names of the stores that somebody holds.
#[derive(Clone, Default)]
pub(crate) struct OpenStores(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl OpenStores {
    /// Takes `name`, until the reservation is dropped.
    pub(crate) fn reserve(&self, name: &Arc<str>) -> Result<Reservation, Error> {
        if !self.0.lock().insert(Arc::clone(name)) {
            return Err(Error::StoreOpen {
                store: name.to_string(),
            });
        }
        Ok(Reservation {
            open: self.clone(),
            name: Arc::clone(name),
        })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.lock().contains(name)
    }

    pub(crate) fn names(&self) -> BTreeSet<Arc<str>> {
        self.0.lock().clone()
    }
}

/// Holds a store's name, so that nobody else opens or removes it.
pub(crate) struct Reservation {
    open: OpenStores,
    name: Arc<str>,
}

impl Reservation {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.open.0.lock().remove(&self.name);
    }
}

/// One store on its way out.
pub(crate) struct Removal {
    pub(crate) table: Arc<dyn Table>,
    /// Released last: who opens the store then finds it empty.
    pub(crate) reservation: Reservation,
}

impl Removal {
    /// Removes the store, or a part of it if `stop` is set meanwhile.
    pub(crate) fn run(self, stop: &AtomicBool) -> Result<(), Error> {
        self.table.clear(stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.table.give_back(stop)
    }

    fn run_alone(self, stop: &AtomicBool) {
        let store = Arc::clone(self.reservation.name());
        if let Err(error) = self.run(stop) {
            tracing::warn!(%store, %error, "store cannot be removed");
        }
    }
}

/// Runs removals one after the other: on a thread that starts with the first, or inline where every
/// step must be reproducible.
pub(crate) struct Remover {
    inline: bool,
    stop: Arc<AtomicBool>,
    worker: Mutex<Option<Worker>>,
}

struct Worker {
    removals: Sender<Removal>,
    thread: JoinHandle<()>,
}

impl Remover {
    pub(crate) fn new(inline: bool) -> Self {
        Self {
            inline,
            stop: Arc::default(),
            worker: Mutex::default(),
        }
    }

    pub(crate) fn submit(&self, removal: Removal) -> Result<(), Error> {
        if self.inline {
            return removal.run(&self.stop);
        }
        let mut worker = self.worker.lock();
        let worker = match &mut *worker {
            Some(worker) => worker,
            none => none.insert(Worker::start(Arc::clone(&self.stop))?),
        };
        // The thread ends with the last sender only, so it takes every removal; one that it did not
        // take would be dropped, and with it the reservation.
        let _ = worker.removals.send(removal);
        Ok(())
    }
}

impl Worker {
    fn start(stop: Arc<AtomicBool>) -> Result<Self, Error> {
        let (removals, queue) = channel();
        let run = move || serve(&queue, &stop);
        let thread = Builder::new().name("state-remove".to_owned()).spawn(run);
        let thread = thread.map_err(|source| Error::Io {
            action: "starting the thread that removes stores".to_owned(),
            source,
        })?;
        Ok(Self { removals, thread })
    }
}

fn serve(queue: &Receiver<Removal>, stop: &AtomicBool) {
    while let Ok(removal) = queue.recv() {
        if !stop.load(Ordering::Relaxed) {
            removal.run_alone(stop);
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Worker { removals, thread }) = self.worker.lock().take() {
            drop(removals);
            // If the storage library panicked under it, the mark stays all the same.
            let _ = thread.join();
        }
    }
}

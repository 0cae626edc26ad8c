//! Global tables at run time: every partition of their topics, followed from its start.

use std::sync::Arc;
use std::time::Duration;

use millrace_state::{Store, StoreId};

use crate::error::{Error, TopologyError};
use crate::global::{GlobalPartition, GlobalTables};
use crate::log::{Isolation, LogError, Offset, Reader, RecordBatch, TopicPartition};
use crate::runtime::changelogs::{Changelogs, is_trusted, note_complete};
use crate::runtime::shared::Shared;
use crate::time::Timestamp;

/// The longest wait for one fetch while the tables catch up.
const CATCH_UP_WAIT: Duration = Duration::from_millis(50);

/// The records that are warmed at each step.
const WARM_RECORDS: usize = 2_048;

/// Follows the topics of an application's global tables.
pub(crate) struct GlobalThread {
    shared: Arc<Shared>,
    reader: Option<Box<dyn Reader>>,
    partitions: Vec<Partition>,
    tables: GlobalTables,
    batches: Vec<RecordBatch>,
    /// When the topics were read last.
    read_at: Timestamp,
    /// True while it is to be looked again how the tables fit their topics.
    must_seek: bool,
}

struct Partition {
    table: GlobalPartition,
    position: Offset,
    /// Where the topic ended when reading began: from there on the table is complete.
    end: Offset,
}

impl Partition {
    fn has_caught_up(&self) -> bool {
        self.position >= self.end
    }
}

impl GlobalThread {
    /// Opens the stores, each where it was left.
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self, Error> {
        let (globals, config) = (shared.topology.graph().globals(), &shared.config);
        if globals.is_empty() {
            return Ok(Self::with_tables(shared, GlobalTables::default()));
        }
        let topics = shared.log.topics()?;
        let (mut partitions, mut tables) = (Vec::new(), Vec::new());
        for global in globals {
            let found = topics.iter().find(|info| info.name == global.topic);
            let missing = || TopologyError::MissingTopic {
                topic: global.topic.as_ref().into(),
            };
            let mut readers = Vec::new();
            for number in 0..found.ok_or_else(missing)?.partitions {
                let name = &global.store.name;
                let id = StoreId::new(&*shared.application, format!("global_{number}"), &**name);
                let store = shared.state.open_store(&id, global.store.options())?;
                shared.registry.add(name, number, store.reader());
                readers.push(store.reader());
                let position = store.position().unwrap_or(0);
                let (resources, on_error) = (&config.resources, config.errors.deserialize);
                let table = GlobalPartition::new(global, number, store, resources, on_error)?;
                partitions.push(Partition {
                    table,
                    position,
                    end: Offset::MAX,
                });
            }
            tables.push(readers);
        }
        let mut reader = shared.log.reader(Isolation::ReadCommitted)?;
        let read_at = shared.moment().wall_clock;
        let now = Changelogs::look(&*shared.log, read_at)?;
        seek(&mut *reader, &mut partitions, &now)?;
        let tables = GlobalTables::new(tables);
        Ok(Self {
            shared,
            reader: Some(reader),
            partitions,
            tables,
            batches: Vec::new(),
            read_at,
            must_seek: false,
        })
    }

    /// Follows nothing; hands out `tables`.
    pub(crate) fn with_tables(shared: Arc<Shared>, tables: GlobalTables) -> Self {
        Self {
            shared,
            reader: None,
            partitions: Vec::new(),
            tables,
            batches: Vec::new(),
            read_at: Timestamp::UNKNOWN,
            must_seek: false,
        }
    }

    pub(crate) fn tables(&self) -> GlobalTables {
        self.tables.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Reads on to the ends that the topics had at the start, and warms the tables: those who read
    /// them keep nothing of what they read from disk.
    pub(crate) fn catch_up(&mut self) -> Result<(), Error> {
        let has_arrived = |p: &Partition| p.has_caught_up() && p.table.store.is_warm();
        while !self.partitions.iter().all(has_arrived) {
            self.step(CATCH_UP_WAIT)?;
        }
        Ok(())
    }

    /// Applies what has arrived; waits up to `wait` for it, unless a table is not warm yet. True if
    /// there was something.
    pub(crate) fn step(&mut self, wait: Duration) -> Result<bool, Error> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        let is_warm = self.partitions.iter().all(|p| p.table.store.is_warm());
        let wait = if is_warm { wait } else { Duration::ZERO };
        let now = self.shared.moment().wall_clock;
        // A process that was suspended for days may have missed deletions.
        if self.must_seek || !is_trusted(self.read_at, now) {
            return self.begin_again(now);
        }
        match reader.fetch(wait, &mut self.batches) {
            // The topic was cut off, or made anew, under its reader.
            Err(LogError::OffsetOutOfRange { .. }) => return self.begin_again(now),
            fetched => fetched?,
        }
        self.read_at = now;
        // A batch without records tells a position only.
        let busy = !self.batches.iter().all(RecordBatch::is_empty);
        if let Err(error) = apply(&mut self.partitions, &mut self.batches) {
            // What was not applied is read again: the next step may fare better.
            self.batches.clear();
            reader.assign(&positions(&self.partitions))?;
            return Err(error);
        }
        if self.partitions.iter().all(Partition::has_caught_up) {
            self.tables.set_whole(true);
        }
        self.keep_stores()?;
        Ok(busy)
    }

    /// Looks again how the tables fit their topics; until that has succeeded, nothing is read. A table
    /// may begin empty: nobody looks anything up before it is whole again.
    fn begin_again(&mut self, now: Timestamp) -> Result<bool, Error> {
        self.must_seek = true;
        self.tables.set_whole(false);
        if let Some(reader) = &mut self.reader {
            let looked = Changelogs::look(&*self.shared.log, now)?;
            seek(&mut **reader, &mut self.partitions, &looked)?;
        }
        (self.read_at, self.must_seek) = (now, false);
        Ok(true)
    }

    /// Hands to the disk what is due there, and warms the next table that is not warm.
    fn keep_stores(&mut self) -> Result<(), Error> {
        let now = self.shared.moment();
        for partition in &mut self.partitions {
            if partition.has_caught_up() {
                note_complete(&mut partition.table.store, now.wall_clock);
            }
            partition.table.store.maybe_flush(now.elapsed)?;
        }
        let mut stores = self.partitions.iter_mut().map(|p| &mut p.table.store);
        if let Some(store) = stores.find(|store| !store.is_warm()) {
            store.warm(WARM_RECORDS)?;
        }
        Ok(())
    }

    /// Brings the tables to disk, so that the next start goes on from here.
    pub(crate) fn close(self) -> Result<(), Error> {
        let mut stores = self.partitions.into_iter().map(|p| p.table.store);
        Ok(stores.try_for_each(Store::close)?)
    }
}

fn apply(partitions: &mut [Partition], batches: &mut Vec<RecordBatch>) -> Result<(), Error> {
    for batch in batches.drain(..) {
        let mine = |p: &&mut Partition| p.table.read == batch.partition;
        let Some(partition) = partitions.iter_mut().find(mine) else {
            continue;
        };
        partition.table.apply(&batch)?;
        partition.position = batch.position;
    }
    Ok(())
}

fn positions(partitions: &[Partition]) -> Vec<(TopicPartition, Offset)> {
    let at = |p: &Partition| (p.table.read.clone(), p.position);
    partitions.iter().map(at).collect()
}

/// Begins each partition where its store has come to; a store that does not fit its topic is made
/// anew.
fn seek(
    reader: &mut dyn Reader,
    partitions: &mut [Partition],
    now: &Changelogs,
) -> Result<(), Error> {
    let topics: Vec<_> = partitions.iter().map(|p| p.table.read.clone()).collect();
    let bounds = reader.bounds(&topics)?;
    for (partition, bounds) in partitions.iter_mut().zip(bounds) {
        let table = &mut partition.table;
        partition.position = now.take_up(&mut table.store, &table.read, bounds)?;
        partition.end = bounds.end;
    }
    Ok(reader.assign(&positions(partitions))?)
}

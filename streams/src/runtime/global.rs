//! Global tables at run time: every partition of their topics, followed from its start.

use std::time::Duration;

use millrace_state::{StateDir, StoreId};

use crate::error::{Error, TopologyError};
use crate::global::{GlobalPartition, GlobalTables};
use crate::log::{Isolation, Log, Offset, Reader, RecordBatch};
use crate::runtime::config::StreamsConfig;
use crate::runtime::query::StoreRegistry;
use crate::topology::Topology;

/// Follows the topics of an application's global tables.
pub(crate) struct GlobalThread {
    reader: Option<Box<dyn Reader>>,
    partitions: Vec<Partition>,
    tables: GlobalTables,
    batches: Vec<RecordBatch>,
}

struct Partition {
    table: GlobalPartition,
    position: Offset,
}

impl GlobalThread {
    /// Opens the stores, each where it was left.
    pub(crate) fn open(
        topology: &Topology,
        application: &str,
        log: &dyn Log,
        state: &StateDir,
        registry: &StoreRegistry,
        config: &StreamsConfig,
    ) -> Result<Self, Error> {
        let globals = topology.graph().globals();
        if globals.is_empty() {
            return Ok(Self::with_tables(GlobalTables::default()));
        }
        let topics = log.topics()?;
        let (mut partitions, mut tables) = (Vec::new(), Vec::new());
        for global in globals {
            let found = topics.iter().find(|info| info.name == global.topic);
            let missing = || TopologyError::MissingTopic {
                topic: global.topic.as_ref().into(),
            };
            let mut readers = Vec::new();
            for number in 0..found.ok_or_else(missing)?.partitions {
                let name = &global.store.name;
                let id = StoreId::new(application, format!("global_{number}"), &**name);
                let store = state.open_store(&id, global.store.options())?;
                registry.add(name, number, store.reader());
                readers.push(store.reader());
                let position = store.position().unwrap_or(0);
                let (resources, on_error) = (&config.resources, config.errors.deserialize);
                let table = GlobalPartition::new(global, number, store, resources, on_error)?;
                partitions.push(Partition { table, position });
            }
            tables.push(readers);
        }
        let mut reader = log.reader(Isolation::ReadCommitted)?;
        seek(&mut *reader, &mut partitions)?;
        let tables = GlobalTables::new(tables);
        Ok(Self {
            reader: Some(reader),
            partitions,
            tables,
            batches: Vec::new(),
        })
    }

    /// Follows nothing; hands out `tables`.
    pub(crate) fn with_tables(tables: GlobalTables) -> Self {
        Self {
            reader: None,
            partitions: Vec::new(),
            tables,
            batches: Vec::new(),
        }
    }

    pub(crate) fn tables(&self) -> GlobalTables {
        self.tables.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Reads on to the ends that the topics have now.
    pub(crate) fn catch_up(&mut self) -> Result<(), Error> {
        let Some(reader) = &mut self.reader else {
            return Ok(());
        };
        let topics: Vec<_> = self
            .partitions
            .iter()
            .map(|p| p.table.read.clone())
            .collect();
        let ends: Vec<Offset> = reader
            .bounds(&topics)?
            .iter()
            .map(|bounds| bounds.end)
            .collect();
        while self
            .partitions
            .iter()
            .zip(&ends)
            .any(|(p, end)| p.position < *end)
        {
            self.step(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Applies what has arrived; waits up to `wait` for it. True if there was something.
    pub(crate) fn step(&mut self, wait: Duration) -> Result<bool, Error> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        reader.fetch(wait, &mut self.batches)?;
        let busy = !self.batches.is_empty();
        for batch in self.batches.drain(..) {
            let mine = |p: &&mut Partition| p.table.read == batch.partition;
            let Some(partition) = self.partitions.iter_mut().find(mine) else {
                continue;
            };
            partition.table.apply(&batch)?;
            partition.position = batch.position;
        }
        Ok(busy)
    }
}

/// Begins each partition where its store has come to; a store that does not fit its topic is wiped.
fn seek(reader: &mut dyn Reader, partitions: &mut [Partition]) -> Result<(), Error> {
    let topics: Vec<_> = partitions.iter().map(|p| p.table.read.clone()).collect();
    let bounds = reader.bounds(&topics)?;
    for (partition, bounds) in partitions.iter_mut().zip(bounds) {
        if !(bounds.start..=bounds.end).contains(&partition.position) {
            if partition.table.store.position().is_some() {
                partition.table.store.wipe()?;
            }
            partition.position = bounds.start;
        }
    }
    let positions: Vec<_> = partitions
        .iter()
        .map(|p| (p.table.read.clone(), p.position))
        .collect();
    Ok(reader.assign(&positions)?)
}

//! How a driver comes to its tasks, stores and global tables.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_state::{StateDir, StoreId};

use super::TestDriverOptions;
use crate::catalog::dead_letter_topic;
use crate::error::{Error, TopologyError};
use crate::global::{GlobalPartition, GlobalTables};
use crate::log::{OutputBatch, TaskId, TopicPartition};
use crate::task::{DeadLetters, Handling, Inputs, OnError, Task, TaskContext, TaskStore};
use crate::time::Timestamp;
use crate::topology::{GlobalDefinition, Instance, Places, Subtopology, Topology};

/// What the tasks of a driver are made from.
pub(super) struct TaskParts<'a> {
    pub(super) topology: &'a Topology,
    pub(super) places: &'a Places,
    pub(super) state: &'a StateDir,
    pub(super) options: &'a TestDriverOptions,
}

impl TaskParts<'_> {
    pub(super) fn open(
        &self,
        index: usize,
        globals: GlobalTables,
        outputs: &mut OutputBatch,
    ) -> Result<Task, Error> {
        let id = task_id(index);
        let application = &self.places.application;
        let part = part(self.topology, id)?;
        let mut stores = Vec::new();
        for (defined, changelog) in self.topology.stores_of(part, application) {
            let store = StoreId::new(&**application, id.to_string(), &*defined.name);
            let store = self.state.open_store(&store, defined.options())?;
            stores.push(TaskStore::new(
                defined.name.clone(),
                store,
                TopicPartition::new(changelog, 0),
                outputs,
            ));
        }
        let instance = build(self.topology, id, self.places, outputs)?;
        let mut inputs = Inputs::default();
        for (topic, _) in &instance.sources {
            inputs.add(TopicPartition::new(topic.clone(), 0), 0);
        }
        inputs.set_at_end();
        let handling = Handling {
            errors: self.options.errors,
            timestamps: self.options.timestamps,
            dead_letters: Some(DeadLetters::new(application, 1, outputs)),
        };
        let (bytes_max, clock) = (self.options.record_bytes_max, self.options.wall_clock);
        let cx = TaskContext::new(
            id,
            stores,
            globals,
            bytes_max,
            handling,
            Timestamp::UNKNOWN,
            clock,
        );
        let mut task = Task::new(cx, instance, inputs);
        task.init(outputs)?;
        Ok(task)
    }
}

fn part(topology: &Topology, id: TaskId) -> Result<&Subtopology, Error> {
    let number = usize::try_from(id.subtopology).unwrap_or(usize::MAX);
    let missing = || TopologyError::Empty {
        name: topology.name().into(),
    };
    let parts = topology.subtopologies();
    Ok(parts.get(number).ok_or_else(missing)?)
}

/// Makes the operators of one task.
pub(super) fn build(
    topology: &Topology,
    id: TaskId,
    places: &Places,
    outputs: &mut OutputBatch,
) -> Result<Instance, Error> {
    Instance::build(topology, part(topology, id)?, places, outputs)
        .map_err(|source| Error::Task { task: id, source })
}

fn task_id(subtopology: usize) -> TaskId {
    // A topology has far fewer than 2^32 parts.
    TaskId {
        subtopology: u32::try_from(subtopology).unwrap_or(u32::MAX),
        partition: 0,
    }
}

/// One partition for every topic that the topology writes.
pub(super) fn single_partitions(topology: &Topology, application: &str) -> HashMap<Arc<str>, i32> {
    let dead_letters: Arc<str> = dead_letter_topic(application).into();
    let written = topology.written_topics(application).into_iter();
    written
        .chain([dead_letters])
        .map(|topic| (topic, 1))
        .collect()
}

pub(super) fn open_globals(
    topology: &Topology,
    places: &Places,
    state: &StateDir,
    on_error: OnError,
) -> Result<Vec<GlobalPartition>, Error> {
    let open = |global: &GlobalDefinition| {
        let id = StoreId::new(&*places.application, "global_0", &*global.store.name);
        let store = state.open_store(&id, global.store.options())?;
        let (resources, partition) = (&places.resources, 0);
        let opened = GlobalPartition::new(global, partition, store, resources, on_error);
        Ok(opened?)
    };
    topology.graph().globals().iter().map(open).collect()
}

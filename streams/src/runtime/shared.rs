//! What all threads of an application share, and how tasks are made from it.

use std::sync::Arc;

use millrace_state::{StateDir, StoreId};
use parking_lot::Mutex;

use crate::catalog::dead_letter_topic;
use crate::error::Error;
use crate::global::GlobalTables;
use crate::log::{
    Bounds, CommittedOffset, Log, LogError, Offset, OffsetReset, OutputBatch, TaskId,
    TopicPartition,
};
use crate::runtime::cleanup::Cleanup;
use crate::runtime::clock::Clock;
use crate::runtime::config::StreamsConfig;
use crate::runtime::partitions::Partitions;
use crate::runtime::query::StoreRegistry;
use crate::runtime::thread::Moment;
use crate::task::{
    DeadLetters, Handling, Inputs, Task, TaskContext, TaskStore, catch, decode_stream_time,
};
use crate::time::Timestamp;
use crate::topology::{Instance, Places, Subtopology, Topology};

/// Where a task begins.
#[derive(Debug, Default)]
pub(crate) struct Begin {
    pub(crate) offsets: Vec<(TopicPartition, CommittedOffset)>,
    /// True if some are where a partition ends at the moment.
    pub(crate) at_latest: bool,
}

/// What a task is opened with.
pub(crate) struct OpeningTask {
    pub(crate) id: TaskId,
    pub(crate) instance: Instance,
    /// Restored.
    pub(crate) stores: Vec<TaskStore>,
    pub(crate) globals: GlobalTables,
    /// Where to begin in each input partition.
    pub(crate) begin: Begin,
    pub(crate) wall_clock: Timestamp,
}

/// What all threads of an application share.
pub(crate) struct Shared {
    pub(crate) application: Arc<str>,
    pub(crate) config: StreamsConfig,
    pub(super) topology: Topology,
    pub(super) log: Arc<dyn Log>,
    pub(super) state: StateDir,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Arc<StoreRegistry>,
    pub(super) partitions: Partitions,
    pub(super) cleanup: Mutex<Cleanup>,
}

impl Shared {
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            wall_clock: self.clock.now(),
            elapsed: self.clock.elapsed(),
        }
    }

    pub(crate) fn reset_offset(&self, bounds: Bounds) -> Offset {
        match self.config.offset_reset {
            OffsetReset::Earliest => bounds.start,
            OffsetReset::Latest => bounds.end,
        }
    }

    fn part(&self, id: TaskId) -> Result<&Subtopology, Error> {
        let index = usize::try_from(id.subtopology).unwrap_or(usize::MAX);
        self.topology.subtopologies().get(index).ok_or_else(|| {
            Error::Config(format!(
                "the group assigned task `{id}`, which this topology has not"
            ))
        })
    }

    /// The input partitions of a task: its own partition of every topic that has it.
    pub(crate) fn input_partitions(&self, id: TaskId) -> Vec<TopicPartition> {
        let Ok(part) = self.part(id) else {
            return Vec::new();
        };
        let metadata = self.topology.source_topics_of(part, &self.application);
        let has_it = |topic: &Arc<str>| self.partitions.of(topic).is_none_or(|n| id.partition < n);
        let inputs = metadata.into_iter().filter(has_it);
        inputs
            .map(|topic| TopicPartition::new(topic, id.partition))
            .collect()
    }

    pub(crate) fn open_stores(
        &self,
        id: TaskId,
        outputs: &mut OutputBatch,
    ) -> Result<Vec<TaskStore>, Error> {
        // Now that the group has created the internal topics, their partitions can be known.
        self.places()?;
        self.learn_inputs(id)?;
        let mut stores = Vec::new();
        for (defined, changelog) in self.topology.stores_of(self.part(id)?, &self.application) {
            let store = StoreId::new(&*self.application, id.to_string(), &*defined.name);
            let store = self.state.open_store(&store, defined.options())?;
            let changelog = TopicPartition::new(changelog, id.partition);
            stores.push(TaskStore::new(
                defined.name.clone(),
                store,
                changelog,
                outputs,
            ));
        }
        Ok(stores)
    }

    /// Asks for the number of partitions again if this task's is beyond what is known of its inputs:
    /// they may have grown.
    fn learn_inputs(&self, id: TaskId) -> Result<(), Error> {
        let topics = self
            .topology
            .source_topics_of(self.part(id)?, &self.application);
        let has_it = |topic: &Arc<str>| self.partitions.of(topic).is_some_and(|n| id.partition < n);
        if !topics.iter().all(has_it) {
            self.partitions.learn(&*self.log)?;
        }
        if topics.iter().any(has_it) {
            return Ok(());
        }
        // Whoever has assigned the task knows more than whoever was asked.
        let reason = format!("no input of task `{id}` is known to have its partition");
        Err(LogError::Unavailable(reason).into())
    }

    /// Makes the operators of a task.
    pub(crate) fn build(
        &self,
        id: TaskId,
        places: &Places,
        outputs: &mut OutputBatch,
    ) -> Result<Instance, Error> {
        let part = self.part(id)?;
        let built = catch(|| Instance::build(&self.topology, part, places, outputs));
        let built = built.map_err(|message| Error::Panicked {
            task: id,
            record: None,
            message,
        })?;
        built.map_err(|source| Error::Task { task: id, source })
    }

    pub(crate) fn open_task(
        &self,
        opening: OpeningTask,
        places: &Places,
        outputs: &mut OutputBatch,
    ) -> Task {
        let OpeningTask {
            id,
            instance,
            stores,
            globals,
            begin,
            wall_clock,
        } = opening;
        let mut inputs = Inputs::default();
        let mut stream_time = Timestamp::UNKNOWN;
        for (partition, committed) in begin.offsets {
            stream_time = stream_time.max(decode_stream_time(&committed.metadata));
            inputs.add(partition, committed.offset);
        }
        let dead_letters = dead_letter_topic(&self.application);
        let partitions = places.partitions.get(dead_letters.as_str());
        let dead_letters = partitions.map(|n| DeadLetters::new(&self.application, *n, outputs));
        let limit = self.config.record_bytes_max;
        let handling = Handling {
            errors: self.config.errors,
            timestamps: self.config.timestamps,
            dead_letters,
        };
        let cx = TaskContext::new(
            id,
            stores,
            globals,
            limit,
            handling,
            stream_time,
            wall_clock,
        );
        let mut task = Task::new(cx, instance, inputs);
        if begin.at_latest {
            task.commit_begin();
        }
        task
    }

    /// The number of partitions of every topic: asked for again when one is missing.
    pub(crate) fn places(&self) -> Result<Places, Error> {
        let mut written = self.topology.written_topics(&self.application);
        written.push(dead_letter_topic(&self.application).into());
        let now = self.clock.elapsed();
        Ok(Places {
            application: self.application.clone(),
            resources: self.config.resources.clone(),
            partitions: self.partitions.with(&written, &*self.log, now)?,
        })
    }

    /// Removes what tasks left behind that are long gone. `knows` tells whether the calling thread
    /// knows its tasks.
    pub(crate) fn clean_up(&self, knows: bool, now: Moment) -> Result<(), Error> {
        let mut cleanup = self.cleanup.lock();
        if !knows {
            cleanup.start_over();
            return Ok(());
        }
        let delay = self.config.cleanup_delay;
        Ok(cleanup.step(&self.state, &self.application, delay, now.elapsed)?)
    }

    pub(crate) fn register(&self, id: TaskId, stores: &[TaskStore]) {
        for store in stores {
            self.registry
                .add(store.name(), id.partition, store.store().reader());
        }
    }

    pub(crate) fn unregister(&self, id: TaskId, stores: &[TaskStore]) {
        for store in stores {
            self.registry.remove(store.name(), id.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Topic;
    use crate::log::TopicSpec;
    use crate::log::sim::SimLog;
    use crate::runtime::clock::ManualClock;

    const WORDS: Topic<String, String> = Topic::new("words");
    const COPY: Topic<String, String> = Topic::new("copy");

    fn topic(name: &str, partitions: i32) -> TopicSpec {
        TopicSpec {
            name: name.into(),
            partitions,
            ..WORDS.spec()
        }
    }

    /// Knows of one partition of `words`, which has two by now.
    fn shared() -> Shared {
        let with = |words| {
            let log = SimLog::quiet();
            let topics = [
                topic("words", words),
                topic("copy", 1),
                topic("app-dead-letter", 1),
            ];
            log.create_topics(&topics).expect("topics");
            log
        };
        let (before, log) = (with(1), with(2));
        let topology = Topology::define("copy", |t| t.stream(WORDS).to(COPY));
        let partitions = Partitions::default();
        partitions.learn(&before).expect("told");
        Shared {
            application: "app".into(),
            config: StreamsConfig::default(),
            topology: topology.expect("sound"),
            log: Arc::new(log),
            state: StateDir::in_memory(),
            clock: Arc::new(ManualClock::new(Timestamp::from_millis(0))),
            registry: Arc::default(),
            partitions,
            cleanup: Mutex::default(),
        }
    }

    fn task(partition: i32) -> TaskId {
        TaskId {
            subtopology: 0,
            partition,
        }
    }

    #[test]
    fn a_partition_that_was_added_is_read() {
        let shared = shared();
        let opened = shared.open_stores(task(1), &mut OutputBatch::new());
        opened.expect("the task has its partition");
        let inputs = shared.input_partitions(task(1));
        assert_eq!(inputs, [TopicPartition::new("words", 1)]);
    }

    #[test]
    fn a_task_waits_until_its_partition_is_known() {
        let opened = shared().open_stores(task(2), &mut OutputBatch::new());
        let error = opened.err().expect("there is no such partition");
        assert_eq!(
            error.unavailable(),
            Some("no input of task `0_2` is known to have its partition")
        );
    }
}

//! The test driver: a whole topology in one thread, without a log, record by record.

mod io;
mod open;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub use io::{TestInput, TestOutput, TestStore};
use millrace_state::{StateDir, Store as StateStore};
use open::{TaskParts, build, open_globals, single_partitions};

use crate::catalog::{Store, Topic, changelog_topic, dead_letter_topic};
use crate::codec::serdes;
use crate::error::{Error, TopologyError};
use crate::global::{GlobalPartition, GlobalTables};
use crate::headers::{HeaderList, Headers};
use crate::log::{Offset, OutputBatch, RawRecord, RecordBatch, TopicPartition};
use crate::serde::{Data, Resources};
use crate::task::{ErrorHandling, Task, TimestampPolicy};
use crate::time::Timestamp;
use crate::topology::{Places, StoreDefinition, Topology};

#[doc = include_str!("../../docs/test_driver.md")]
pub struct TopologyTestDriver {
    topology: Topology,
    places: Places,
    /// One per sub-topology.
    tasks: Vec<Task>,
    outputs: OutputBatch,
    globals: Vec<GlobalPartition>,
    wall_clock: Timestamp,
    /// The next offset of every topic.
    offsets: HashMap<Arc<str>, Offset>,
    /// What was written to topics outside, and not read by the test yet.
    written: BTreeMap<Arc<str>, VecDeque<RawTestRecord>>,
}

/// A record as bytes; null is `None`.
type RawTestRecord = TestRecord<Option<Vec<u8>>, Option<Vec<u8>>>;

/// A record that a test reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The headers.
    pub headers: HeaderList,
}

/// What a test may tell the driver besides the topology.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestDriverOptions {
    /// Names internal topics: `<application>-<store>-changelog`.
    pub application: String,
    /// What serdes find by type.
    pub resources: Resources,
    /// What happens to bad records.
    pub errors: ErrorHandling,
    /// How far records may be ahead of the wall clock. Unlimited unless it is set, as the wall clock
    /// of a driver stands where the test has left it.
    pub timestamps: TimestampPolicy,
    /// What the wall clock shows at first.
    pub wall_clock: Timestamp,
    /// The most that key, value and headers of a record may take.
    pub record_bytes_max: usize,
}

impl Default for TestDriverOptions {
    fn default() -> Self {
        Self {
            application: "test".into(),
            resources: Resources::new(),
            errors: ErrorHandling::default(),
            timestamps: TimestampPolicy::UNLIMITED,
            wall_clock: Timestamp::from_millis(0),
            record_bytes_max: 999_000,
        }
    }
}

impl TopologyTestDriver {
    /// A driver with empty stores and the wall clock at 0.
    ///
    /// # Errors
    /// When the topology's serdes cannot be built.
    pub fn new(topology: &Topology) -> Result<Self, Error> {
        Self::with_options(topology, TestDriverOptions::default())
    }

    /// As [`TopologyTestDriver::new`], with options.
    ///
    /// # Errors
    /// As [`TopologyTestDriver::new`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "options are made for one driver"
    )]
    pub fn with_options(topology: &Topology, options: TestDriverOptions) -> Result<Self, Error> {
        let application: Arc<str> = options.application.as_str().into();
        let places = Places {
            partitions: single_partitions(topology, &application),
            resources: options.resources.clone(),
            application,
        };
        let state = StateDir::in_memory();
        let mut outputs = OutputBatch::new();
        let globals = open_globals(topology, &places, &state, options.errors.deserialize)?;
        let readers = globals
            .iter()
            .map(|global| vec![global.store.reader()])
            .collect();
        let tables = GlobalTables::new(readers);
        let mut tasks = Vec::new();
        for index in 0..topology.subtopologies().len() {
            let parts = TaskParts {
                topology,
                places: &places,
                state: &state,
                options: &options,
            };
            tasks.push(parts.open(index, tables.clone(), &mut outputs)?);
        }
        let mut driver = Self {
            topology: topology.clone(),
            places,
            tasks,
            outputs,
            globals,
            wall_clock: options.wall_clock,
            offsets: HashMap::new(),
            written: BTreeMap::new(),
        };
        driver.settle()?;
        Ok(driver)
    }

    /// A way to pipe records into `topic`.
    pub fn input<K: Data, V: Data>(&mut self, topic: Topic<K, V>) -> TestInput<'_, K, V> {
        TestInput {
            driver: self,
            topic,
        }
    }

    /// A way to read what was written to `topic`.
    pub fn output<K: Data, V: Data>(&mut self, topic: Topic<K, V>) -> TestOutput<'_, K, V> {
        TestOutput {
            driver: self,
            topic: topic.name().into(),
            types: PhantomData,
        }
    }

    /// A way to read the dead letters, as bytes.
    pub fn dead_letters(&mut self) -> TestOutput<'_, Option<Vec<u8>>, Option<Vec<u8>>> {
        let topic = dead_letter_topic(&self.places.application).into();
        TestOutput {
            driver: self,
            topic,
            types: PhantomData,
        }
    }

    /// The topics outside to which something was written so far, by name.
    pub fn produced_topics(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(|topic| &**topic)
    }

    /// A way to read a store or a global table, and to write to it.
    ///
    /// # Errors
    /// When the topology has no such store, or one of other types.
    pub fn store<K: Data, V: Data>(
        &mut self,
        store: Store<K, V>,
    ) -> Result<TestStore<'_, K, V>, Error> {
        let defined = StoreDefinition::of(store);
        let graph = self.topology.graph();
        let (topic, global) = match graph.typed_global(&defined)? {
            Some(global) => (global.topic.to_string(), true),
            None => {
                graph.typed_store(&defined)?;
                let topic = changelog_topic(&self.places.application, store.name());
                (topic, false)
            }
        };
        let serdes = serdes::<K, V>(&topic, &self.places.resources).map_err(Error::Query)?;
        let found = if global {
            let mut globals = self.globals.iter_mut();
            let found = globals.find(|global| *global.read.topic == *topic);
            found.map(|global| (&mut global.store, self.wall_clock))
        } else {
            let mut tasks = self.tasks.iter_mut();
            tasks.find_map(|task| store_of(task, store.name()))
        };
        let (store, at) = found.ok_or_else(|| TopologyError::UnconnectedStore {
            store: store.name().into(),
        })?;
        Ok(TestStore { store, serdes, at })
    }

    /// Moves the wall clock on and delivers the tick: wall-clock punctuations and deadlines run.
    ///
    /// # Errors
    /// When a task fails.
    pub fn advance_wall_clock(&mut self, by: Duration) -> Result<(), Error> {
        self.wall_clock = self.wall_clock + by;
        for task in &mut self.tasks {
            task.tick(self.wall_clock, &mut self.outputs)?;
        }
        self.settle()
    }

    /// What the wall clock shows.
    pub fn wall_clock(&self) -> Timestamp {
        self.wall_clock
    }

    /// Pipes a record in as bytes.
    ///
    /// # Errors
    /// When a task fails, or the topology does not read the topic.
    pub fn pipe_raw(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
        timestamp: Timestamp,
    ) -> Result<(), Error> {
        let record = RawRecord {
            offset: self.next_offset(topic),
            timestamp,
            headers,
            key,
            value,
        };
        let mut batch = RecordBatch::default();
        batch.reset(TopicPartition::new(topic, 0));
        batch.push(record);
        batch.at_end = true;
        self.deliver(batch)?;
        self.settle()
    }

    fn next_offset(&mut self, topic: &str) -> Offset {
        let next = self.offsets.entry(topic.into()).or_default();
        *next += 1;
        *next - 1
    }

    /// Hands a batch to whoever reads its topic.
    fn deliver(&mut self, batch: RecordBatch) -> Result<(), Error> {
        if let Some(global) = self
            .globals
            .iter_mut()
            .find(|global| global.read == batch.partition)
        {
            return global.apply(&batch);
        }
        let mut batch = batch;
        for task in &mut self.tasks {
            match task.inputs_mut().push(batch) {
                Ok(_) => return Ok(()),
                Err(refused) => batch = refused,
            }
        }
        Err(TopologyError::UnreadTopic {
            topic: batch.partition.topic.as_ref().into(),
        }
        .into())
    }

    /// Runs all tasks until nothing waits any more, with a commit after each record.
    fn settle(&mut self) -> Result<(), Error> {
        loop {
            let mut progress = 0;
            for index in 0..self.tasks.len() {
                progress += self.turn(index)?;
            }
            if progress == 0 {
                return Ok(());
            }
        }
    }

    /// Runs one record of one task, and commits; answers how many records went in or came out.
    fn turn(&mut self, index: usize) -> Result<usize, Error> {
        let Some(task) = self.tasks.get_mut(index) else {
            return Ok(0);
        };
        let stream_time = task.context().stream_time();
        let mut used = Vec::new();
        let processed = task.process(1, &mut self.outputs, &mut used);
        let failed_at = processed.as_ref().err().and_then(Error::at_record);
        let processed = match failed_at {
            Some((_, record, fault)) => {
                // What a stream thread does: new operators, and the record is not tried again.
                self.outputs.clear();
                let id = task.id();
                let instance = build(&self.topology, id, &self.places, &mut self.outputs)?;
                task.begin_again(instance, stream_time);
                task.init(&mut self.outputs)?;
                task.set_aside(record, fault);
                task.process(1, &mut self.outputs, &mut used)?
            }
            None => processed?,
        };
        task.prepare_commit(&mut self.outputs)?;
        task.committed(&[])?;
        Ok(processed + self.route()?)
    }

    /// Takes what the tasks have written to where it goes; answers how many records.
    fn route(&mut self) -> Result<usize, Error> {
        let outputs = std::mem::take(&mut self.outputs);
        let count = outputs.len();
        for record in outputs.iter() {
            let Some(topic) = outputs.topic_name(record.topic).cloned() else {
                continue;
            };
            if self.is_changelog(&topic) {
                continue;
            }
            let offset = self.next_offset(&topic);
            if self.reads(&topic) {
                let mut batch = RecordBatch::default();
                batch.reset(TopicPartition::new(topic.clone(), 0));
                let (key, value) = (record.key, record.value);
                let (timestamp, headers) = (record.timestamp, record.headers);
                batch.push(RawRecord {
                    offset,
                    timestamp,
                    headers,
                    key,
                    value,
                });
                batch.at_end = true;
                self.deliver(batch)?;
            }
            if !topic.ends_with("-repartition") {
                self.written
                    .entry(topic)
                    .or_default()
                    .push_back(TestRecord {
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                        timestamp: record.timestamp,
                        headers: record.headers.into(),
                    });
            }
        }
        self.outputs = outputs;
        self.outputs.clear();
        Ok(count)
    }

    fn reads(&self, topic: &str) -> bool {
        let by_task = self
            .tasks
            .iter()
            .any(|task| task.inputs().topics().any(|t| &**t == topic));
        by_task
            || self
                .globals
                .iter()
                .any(|global| &*global.read.topic == topic)
    }

    fn is_changelog(&self, topic: &str) -> bool {
        let mut stores = self.tasks.iter().flat_map(Task::stores);
        stores.any(|store| &*store.changelog().topic == topic)
    }
}

/// A task's store, with the timestamp of the record at hand.
fn store_of<'a>(task: &'a mut Task, name: &str) -> Option<(&'a mut StateStore, Timestamp)> {
    let at = task.context().timestamp();
    let mut stores = task.stores_mut().iter_mut();
    let found = stores.find(|store| &**store.name() == name)?;
    Some((found.store_mut(), at))
}

impl std::fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopologyTestDriver({})", self.topology.name())
    }
}

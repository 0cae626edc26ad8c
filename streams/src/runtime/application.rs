//! An application: a topology, a log, a state directory, and the threads that bring them together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millrace_state::StateDir;
use parking_lot::{Condvar, Mutex};

use crate::catalog::{Store, changelog_topic, dead_letter_topic};
use crate::error::{Error, TopologyError};
use crate::log::{Cleanup, Log, Seat, TopicSpec};
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::config::StreamsConfig;
use crate::runtime::global::GlobalThread;
use crate::runtime::partitions::Partitions;
use crate::runtime::query::QueryableStore;
use crate::runtime::shared::Shared;
use crate::runtime::thread::{Progress, StreamThread};
use crate::serde::Data;
use crate::task::catch;
use crate::topology::{StoreDefinition, Topology};

/// The pause after the log did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Prepares an application.
pub struct StreamsBuilder {
    topology: Topology,
    application: Option<String>,
    config: StreamsConfig,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for StreamsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamsBuilder({})", self.topology.name())
    }
}

impl StreamsBuilder {
    /// The application's id: its group, and the prefix of its internal topics. The topology's name
    /// if it is not set.
    #[must_use]
    pub fn application(mut self, id: impl Into<String>) -> Self {
        self.application = Some(id.into());
        self
    }

    /// Sets the configuration.
    #[must_use]
    pub fn config(mut self, config: StreamsConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Creates the dead-letter topic, joins the group and starts the threads.
    ///
    /// # Errors
    /// When the log refuses, or the topology's serdes cannot be built.
    pub fn start(self, log: Arc<dyn Log>, state: StateDir) -> Result<Streams, Error> {
        let application = self.prepare(log, state)?;
        application.start_threads()
    }

    /// Prepares the application without starting a thread: for those who drive
    /// [`StreamThread::step`] themselves, such as a simulation.
    ///
    /// # Errors
    /// As [`StreamsBuilder::start`].
    pub fn prepare(self, log: Arc<dyn Log>, state: StateDir) -> Result<Application, Error> {
        let name = self
            .application
            .unwrap_or_else(|| self.topology.name().into());
        let application: Arc<str> = name.into();
        let dead_letters = TopicSpec {
            name: dead_letter_topic(&application).into(),
            partitions: 1,
            cleanup: Cleanup::Delete { retention: None },
        };
        log.create_topics(&[dead_letters])?;
        let shared = Arc::new(Shared {
            application,
            config: self.config,
            topology: self.topology,
            log,
            state,
            clock: self.clock,
            registry: Arc::default(),
            partitions: Partitions::default(),
            cleanup: Mutex::default(),
        });
        let globals = GlobalThread::open(shared.clone())?;
        Ok(Application { shared, globals })
    }
}

/// An application whose threads are not started.
pub struct Application {
    shared: Arc<Shared>,
    globals: GlobalThread,
}

impl Application {
    /// The member number `index` of this process.
    ///
    /// # Errors
    /// When the log refuses.
    pub fn stream_thread(&self, index: usize) -> Result<StreamThread, Error> {
        let shared = &self.shared;
        let process = shared.state.process_id();
        let seat = Seat {
            application: shared.application.clone(),
            process_id: process.to_owned(),
            member_id: member_id(process, &shared.application, index),
            endpoint: shared.config.endpoint.clone(),
            topology: Arc::new(shared.topology.metadata(&shared.application)),
            offset_reset: shared.config.offset_reset,
            fetch_bytes_max: shared.config.fetch_bytes_max,
            transaction_timeout: shared.config.transaction_timeout,
        };
        let member = shared.log.join(seat)?;
        let reader = shared.log.reader(crate::log::Isolation::ReadCommitted)?;
        Ok(StreamThread::new(
            shared.clone(),
            member,
            reader,
            self.globals.tables(),
        ))
    }

    /// Reads the global tables on; answers true if there was something to read.
    ///
    /// # Errors
    /// When the log does not answer, or a record is not of its table.
    pub fn step_globals(&mut self) -> Result<bool, Error> {
        self.globals.step(Duration::ZERO)
    }

    fn start_threads(mut self) -> Result<Streams, Error> {
        self.globals.catch_up()?;
        let count = self.shared.config.stream_threads.max(1);
        let control = Arc::new(Control::new(count));
        // If a thread does not start, dropping this closes those before it.
        let streams = Streams {
            shared: self.shared.clone(),
            control: control.clone(),
            threads: Mutex::default(),
        };
        for index in 0..count {
            let thread = spawn_stream_thread(&self, index, control.clone())?;
            streams.threads.lock().push(thread);
        }
        let Application { shared, globals } = self;
        if !globals.is_empty() {
            let thread = spawn_global_thread(globals, &shared.application, control)?;
            streams.threads.lock().push(thread);
        }
        Ok(streams)
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Application({})", self.shared.application)
    }
}

/// The same after a restart, another for each thread and application of the process.
fn member_id(process: &str, application: &str, index: usize) -> String {
    format!("{process}-{application}-{index}")
}

/// How an application is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum ApplicationState {
    /// Waiting for an assignment, or restoring.
    #[default]
    Rebalancing,
    /// Every stream thread knows its tasks, and all of them run.
    Running,
    /// Closed as asked.
    Closed,
    /// Stopped by an error.
    Failed(Error),
}

/// What the threads and the handle tell each other.
struct Control {
    closing: AtomicBool,
    status: Mutex<Status>,
    changed: Condvar,
}

struct Status {
    /// Per stream thread, whether the group has told its tasks and all of them run.
    restored: Vec<bool>,
    error: Option<Error>,
    closed: bool,
}

impl Control {
    fn new(stream_threads: usize) -> Self {
        Self {
            closing: AtomicBool::new(false),
            status: Mutex::new(Status {
                restored: vec![false; stream_threads],
                error: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn set_restored(&self, index: usize, restored: bool) {
        let mut status = self.status.lock();
        if let Some(slot) = status
            .restored
            .get_mut(index)
            .filter(|slot| **slot != restored)
        {
            *slot = restored;
            self.changed.notify_all();
        }
    }

    fn fail(&self, error: Error) {
        self.status.lock().error.get_or_insert(error);
        self.closing.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits, but not longer than until the application is closed.
    fn pause(&self, pause: Duration) {
        let mut status = self.status.lock();
        if !self.is_closing() {
            self.changed.wait_for(&mut status, pause);
        }
    }
}

fn spawn_stream_thread(
    application: &Application,
    index: usize,
    control: Arc<Control>,
) -> Result<JoinHandle<()>, Error> {
    let name = format!("{}-stream-{index}", application.shared.application);
    // The thread makes its member itself, because operators stay on their thread; whether the log
    // takes the member is told back before `start` returns.
    let (shared, tables) = (application.shared.clone(), application.globals.tables());
    let globals = GlobalThread::with_tables(shared.clone(), tables);
    let seat = Application { shared, globals };
    let (told, ready) = std::sync::mpsc::sync_channel(1);
    let watch = control.clone();
    let run = move || {
        let mut thread = match seat.stream_thread(index) {
            Ok(thread) => {
                // The receiver waits for this.
                let _ = told.send(Ok(()));
                thread
            }
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
        run_stream_thread(&mut thread, index, &control);
    };
    let thread = spawn(name, watch, run)?;
    match ready.recv() {
        Ok(joined) => joined.map(|()| thread),
        Err(_) => Err(Error::Config(
            "the stream thread ended before it began".into(),
        )),
    }
}

fn run_stream_thread(thread: &mut StreamThread, index: usize, control: &Control) {
    while !control.is_closing() {
        match thread.step() {
            Ok(Progress::Busy | Progress::Idle) => {
                control.set_restored(index, thread.is_restored());
            }
            Ok(Progress::Unavailable) => control.pause(RETRY_PAUSE),
            Err(error) => {
                tracing::error!(%error, "stream thread stops");
                control.fail(error);
            }
        }
    }
    if let Err(error) = thread.close() {
        tracing::warn!(%error, "stream thread closed without its last commit");
    }
}

fn spawn_global_thread(
    mut globals: GlobalThread,
    application: &str,
    control: Arc<Control>,
) -> Result<JoinHandle<()>, Error> {
    let watch = control.clone();
    spawn(format!("{application}-global"), watch, move || {
        while !control.is_closing() {
            match globals.step(Duration::from_millis(50)) {
                Ok(_) => {}
                Err(error) if error.unavailable().is_some() => {
                    tracing::warn!(%error, "global tables wait");
                    control.pause(RETRY_PAUSE);
                }
                Err(error) => control.fail(error),
            }
        }
        if let Err(error) = globals.close() {
            tracing::warn!(%error, "global tables closed without their last flush");
        }
    })
}

/// Starts a thread; a panic that gets out of it stops the application.
fn spawn(
    name: String,
    control: Arc<Control>,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let thread = name.clone();
    let run = move || {
        if let Err(message) = catch(run) {
            tracing::error!(%thread, %message, "thread panicked");
            control.fail(Error::ThreadPanicked { thread, message });
        }
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(|error| Error::Config(format!("cannot start a thread: {error}")))
}

/// A running application. Dropping it closes it.
pub struct Streams {
    shared: Arc<Shared>,
    control: Arc<Control>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Streams {
    /// Prepares an application that runs `topology`.
    pub fn builder(topology: &Topology) -> StreamsBuilder {
        StreamsBuilder {
            topology: topology.clone(),
            application: None,
            config: StreamsConfig::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// How it is.
    pub fn state(&self) -> ApplicationState {
        state_of(&self.control.status.lock())
    }

    /// Waits until it is [`ApplicationState::Running`], or has stopped, or the time is over; answers
    /// the state then.
    pub fn wait_until_running(&self, timeout: Duration) -> ApplicationState {
        let mut status = self.control.status.lock();
        let waiting =
            |status: &mut Status| matches!(state_of(status), ApplicationState::Rebalancing);
        self.control
            .changed
            .wait_while_for(&mut status, waiting, timeout);
        state_of(&status)
    }

    /// The application's id.
    pub fn application(&self) -> &str {
        &self.shared.application
    }

    /// A store or global table, for reading its committed state from any thread.
    ///
    /// # Errors
    /// When the topology has no such store, or its serdes cannot be built.
    pub fn store<K: Data, V: Data>(
        &self,
        store: Store<K, V>,
    ) -> Result<QueryableStore<K, V>, Error> {
        let shared = &self.shared;
        let graph = shared.topology.graph();
        let topic: Arc<str> = match graph.typed_global(&StoreDefinition::of(store))? {
            Some(global) => global.topic.clone(),
            None => {
                graph.typed_store(&StoreDefinition::of(store))?;
                changelog_topic(&shared.application, store.name()).into()
            }
        };
        let topics = shared.log.topics()?;
        let found = topics.iter().find(|info| info.name == topic);
        let partitions = found
            .ok_or_else(|| TopologyError::MissingTopic {
                topic: topic.as_ref().into(),
            })?
            .partitions;
        let (registry, resources) = (shared.registry.clone(), &shared.config.resources);
        QueryableStore::new(store, registry, partitions, &topic, resources).map_err(Error::Query)
    }

    /// Commits what is processed, closes all tasks, leaves the group, and waits for the threads.
    pub fn close(&self) {
        self.control.closing.store(true, Ordering::SeqCst);
        self.control.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the application has panicked");
            }
        }
        self.control.status.lock().closed = true;
        self.control.changed.notify_all();
    }
}

fn state_of(status: &Status) -> ApplicationState {
    if let Some(error) = &status.error {
        return ApplicationState::Failed(error.clone());
    }
    if status.closed {
        return ApplicationState::Closed;
    }
    if status.restored.iter().all(|restored| *restored) {
        ApplicationState::Running
    } else {
        ApplicationState::Rebalancing
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({})", self.shared.application)
    }
}

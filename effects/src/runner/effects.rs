//! An application of effects: which topics are read, by which handlers, and its thread.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use millrace_streams::log::{Cleanup, Log, LogError, TopicSpec};
use millrace_streams::serde::Data;
use millrace_streams::{Clock, SystemClock, Topic};
use tokio::runtime::Handle;

use super::config::EffectsConfig;
use super::handler::Handler;
use super::lane::{Lane, TypedLane};
use super::worker::{EffectsError, Progress, Worker, dead_letter_topic};

/// How long to wait when the log does not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// An application of effects: its id, and a handler for each topic that it reads.
///
/// Its group is its id, so all instances of it share the partitions. The topics are to exist; the
/// dead-letter topic is made.
#[derive(Debug)]
pub struct Effects {
    application: Arc<str>,
    lanes: Vec<Box<dyn Lane>>,
}

impl Effects {
    /// An application that reads nothing yet.
    pub fn new(application: impl Into<Arc<str>>) -> Self {
        Self {
            application: application.into(),
            lanes: Vec::new(),
        }
    }

    /// The same, which hands each event of `input` to `handler`, and writes the results to `output`.
    ///
    /// All instances have to name the same inputs in the same order.
    #[must_use]
    pub fn on<K: Data, V: Data, H: Handler<K, V>>(
        mut self,
        input: Topic<K, V>,
        output: Topic<H::Key, H::Value>,
        handler: H,
    ) -> Self {
        let handler = Arc::new(handler);
        self.lanes.push(Box::new(TypedLane {
            input,
            output,
            handler,
        }));
        self
    }

    /// Every name under which the application keeps data: for a golden file of durable names, as
    /// [`Topology::durable_names`](millrace_streams::Topology::durable_names). Sorted.
    pub fn durable_names(&self) -> Vec<String> {
        let application = &self.application;
        vec![
            format!("group {application}"),
            format!("topic {}", dead_letter_topic(application)),
        ]
    }

    /// Takes a seat in the group, and answers the worker that it is for: for tests and simulation,
    /// which drive it step by step. `instance` tells this process apart from the others, and is the
    /// same after a restart.
    ///
    /// # Errors
    /// When a topic does not exist, a serde cannot be built, or the log cannot be reached.
    pub fn worker(
        &self,
        log: &dyn Log,
        config: EffectsConfig,
        instance: &str,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Worker, EffectsError> {
        let application = &self.application;
        log.create_topics(&[TopicSpec {
            name: dead_letter_topic(application).into(),
            partitions: 1,
            cleanup: Cleanup::Delete { retention: None },
        }])?;
        Worker::join(
            log,
            application,
            &self.lanes,
            config,
            instance,
            runtime,
            clock,
        )
    }

    /// Runs on a thread of its own; calls run on `runtime`. `instance` as in [`Effects::worker`].
    ///
    /// # Errors
    /// As [`Effects::worker`]; or when no thread can be made.
    pub fn start(
        &self,
        log: &dyn Log,
        config: EffectsConfig,
        instance: &str,
        runtime: Handle,
    ) -> Result<Running, EffectsError> {
        let clock = Arc::new(SystemClock::default());
        let worker = self.worker(log, config, instance, runtime, clock)?;
        Running::spawn(&self.application, worker).map_err(|error| {
            let text = format!("no thread for `{}`: {error}", self.application);
            EffectsError::Log(LogError::Unavailable(text))
        })
    }
}

/// An application of effects that runs. Dropping it asks it to stop, and does not wait.
pub struct Running {
    stop: Sender<()>,
    thread: Option<JoinHandle<Result<(), EffectsError>>>,
}

impl Running {
    fn spawn(application: &str, worker: Worker) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = Builder::new()
            .name(application.to_owned())
            .spawn(move || run(worker, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// False when it has ended by itself; [`Running::stop`] tells why.
    pub fn is_running(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    /// Starts no further call, waits for those that run, commits their results and leaves the
    /// group. Blocks for [`EffectsConfig::drain`] and a commit at most.
    ///
    /// # Errors
    /// What has ended it, if it had ended before; why the last commit failed.
    pub fn stop(mut self) -> Result<(), EffectsError> {
        // It may have ended already: then nobody listens.
        self.stop.send(()).ok();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread.join().unwrap_or(Err(EffectsError::Panicked))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("is_running", &self.is_running())
            .finish()
    }
}

fn run(mut worker: Worker, stopped: &Receiver<()>) -> Result<(), EffectsError> {
    loop {
        let wait = match worker.step() {
            Ok(Progress::Unavailable) => Some(PAUSE),
            Ok(Progress::Busy | Progress::Idle) => None,
            Err(error) => {
                tracing::error!(%error, ?worker, "effects stop");
                worker.close().ok();
                return Err(error);
            }
        };
        if is_stopped(stopped, wait) {
            return worker.close();
        }
    }
}

fn is_stopped(stopped: &Receiver<()>, wait: Option<Duration>) -> bool {
    match wait {
        Some(wait) => stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout),
        None => stopped.try_recv() != Err(TryRecvError::Empty),
    }
}

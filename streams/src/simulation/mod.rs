//! Deterministic simulation: whole applications on a simulated log, in one thread, from one seed.
//!
//! Instances run the real stream threads, tasks and stores. The seed decides who takes the next
//! step, how long it lasts, who crashes and for how long, and which fault the log injects: so a
//! failing seed replays, byte for byte. [`Seeds`] runs many of them, and names the one that fails.
//!
//! ```
//! use millrace_streams::log::sim::SimOptions;
//! use millrace_streams::{Simulation, Store, StreamsConfig, Topic, Topology};
//!
//! const CLICKS: Topic<String, String> = Topic::new("clicks");
//! const COUNT: Store<String, u64> = Store::new("click-count");
//!
//! let topology = Topology::define("clicks", |t| {
//!     t.stream(CLICKS).count(COUNT);
//! })?;
//! let mut simulation = Simulation::new(7, SimOptions::default());
//! simulation.create_topics(&[CLICKS.spec()])?;
//! simulation.add_application(&topology, StreamsConfig::default());
//! simulation.start_instances(2)?;
//! simulation.run(200)?;
//! simulation.settle()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod random;
mod seeds;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millrace_state::{MemoryDisk, StateDir, StateOptions};

use crate::error::Error;
use crate::log::sim::{SimLog, SimOptions};
use crate::log::{Log, LogError, NewRecord, TopicSpec};
use crate::runtime::{
    Application, Clock, ManualClock, Progress, StreamThread, Streams, StreamsConfig,
};
use crate::time::Timestamp;
use crate::topology::Topology;

use random::Random;
pub use seeds::Seeds;

/// How likely an instance is to crash at a step, beside the deaths that the log deals.
const CRASHES: f64 = 0.002;
/// The longest that an instance stays down where sessions do not end.
const DOWN_MAX: Duration = Duration::from_secs(60);
/// Steps after which a simulation that does not come to rest is given up.
const SETTLE_STEPS: usize = 200_000;
/// How long a simulation at rest must stay quiet: time enough for lost members to lose their seats.
const SETTLE_QUIET: Duration = Duration::from_secs(5);
/// When a simulation begins: 2025-01-01T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// A simulated cluster with instances of one or more applications.
pub struct Simulation {
    seed: u64,
    random: Random,
    log: SimLog,
    clock: ManualClock,
    applications: Vec<(Topology, StreamsConfig)>,
    instances: Vec<Instance>,
    state: StateOptions,
    /// The longest that a crashed instance stays down: several sessions, so that others take its
    /// tasks over.
    down_max: Duration,
    crashes: u64,
    crashes_after_flush: u64,
}

/// How a simulation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Instances crash, and some steps take long.
    Rough,
    /// Nobody crashes, and no step takes long.
    Calm,
}

/// One process: what survives its crash, and what does not.
struct Instance {
    disk: MemoryDisk,
    running: Option<Vec<Running>>,
    /// When it is started again, if it is down.
    down_until: Timestamp,
}

struct Running {
    application: Application,
    threads: Vec<StreamThread>,
}

impl Simulation {
    /// A simulation whose chance follows from `seed`.
    pub fn new(seed: u64, options: SimOptions) -> Self {
        Self {
            seed,
            random: Random(seed),
            state: StateOptions::default(),
            down_max: options.session_timeout.saturating_mul(3).min(DOWN_MAX),
            log: SimLog::new(seed, options),
            clock: ManualClock::new(BEGINNING),
            applications: Vec::new(),
            instances: Vec::new(),
            crashes: 0,
            crashes_after_flush: 0,
        }
    }

    /// The simulated log.
    pub fn log(&self) -> &SimLog {
        &self.log
    }

    /// What the simulated clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How often an instance has crashed.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// How often an instance has crashed whose disk held what stores had flushed.
    pub fn crashes_after_flush(&self) -> u64 {
        self.crashes_after_flush
    }

    /// Sets the limits of the stores, for instances that start from now on. With small ones, a
    /// short simulation flushes, evicts and reads from disk as a long one does.
    pub fn set_state_options(&mut self, options: StateOptions) {
        self.state = options;
    }

    /// Creates topics; tries again while the simulated log is unavailable.
    ///
    /// # Errors
    /// When a topic exists with another number of partitions.
    pub fn create_topics(&mut self, topics: &[TopicSpec]) -> Result<(), Error> {
        retry(|| self.log.create_topics(topics))
    }

    /// Adds an application that every instance runs; its id is the topology's name.
    pub fn add_application(&mut self, topology: &Topology, config: StreamsConfig) {
        self.applications.push((topology.clone(), config));
    }

    /// Starts instances, each with a disk of its own.
    ///
    /// # Errors
    /// When an application cannot start.
    pub fn start_instances(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            let process = format!("process-{}", self.instances.len());
            let disk = MemoryDisk::with_process_id(&process);
            self.instances.push(Instance {
                disk,
                running: None,
                down_until: self.now(),
            });
            self.start(self.instances.len() - 1)?;
        }
        Ok(())
    }

    /// Appends a record, again and again until the log acknowledges it. Under faults it may be
    /// there more than once, as with any writer that retries: give records an id.
    ///
    /// # Errors
    /// When the log refuses the record.
    pub fn append(&mut self, record: &NewRecord) -> Result<(), Error> {
        let writer = retry(|| self.log.writer("simulation"))?;
        retry(|| futures::executor::block_on(writer.append(record.clone())).map(|_| ()))
    }

    /// Takes `steps` random steps, with crashes. An instance crashes between two rounds of its
    /// threads, or where the log has one of its members die; it stays down for a while, often for
    /// longer than its session.
    ///
    /// # Errors
    /// When an application fails.
    pub fn run(&mut self, steps: usize) -> Result<(), Error> {
        for _ in 0..steps {
            self.step(Pace::Rough)?;
        }
        Ok(())
    }

    /// Ends all faults, and steps until whatever is down is up again and nothing is left to do.
    ///
    /// # Errors
    /// When an application fails, or does not come to rest.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.log.stop_faults();
        let mut quiet_since = self.now();
        for _ in 0..SETTLE_STEPS {
            if self.step(Pace::Calm)? {
                quiet_since = self.now();
            } else if self.now().since(quiet_since) > SETTLE_QUIET {
                return Ok(());
            }
        }
        Err(Error::Config(format!(
            "seed {} does not come to rest",
            self.seed
        )))
    }

    /// Lets time pass for everybody.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.log.advance(by);
    }

    /// Kills an instance: its memory is gone, its disk stays, the log learns nothing. It is started
    /// again by a later step.
    pub fn crash(&mut self, instance: usize) {
        let millis = usize::try_from(self.down_max.as_millis()).unwrap_or(usize::MAX);
        let down = Duration::from_millis(self.random.below(millis) as u64);
        let until = self.now() + down;
        let Some(instance) = self.instances.get_mut(instance) else {
            return;
        };
        if instance.running.take().is_none() {
            return;
        }
        instance.down_until = until;
        self.crashes += 1;
        let flushed = state_of(&instance.disk, &self.state).stores();
        self.crashes_after_flush += u64::from(flushed.is_ok_and(|stores| !stores.is_empty()));
    }

    /// One step of one instance; true if there was something to do.
    fn step(&mut self, pace: Pace) -> Result<bool, Error> {
        let by = self.pause(pace);
        self.advance(by);
        let number = self.random.below(self.instances.len());
        let Some(instance) = self.instances.get(number) else {
            return Ok(false);
        };
        if instance.running.is_none() {
            if instance.down_until <= self.now() {
                self.start(number)?;
            }
            return Ok(true);
        }
        if pace == Pace::Rough && self.random.chance(CRASHES) {
            self.crash(number);
            return Ok(true);
        }
        let killed = self.log.counters().members_killed;
        let busy = self.step_instance(number)?;
        if self.log.counters().members_killed > killed {
            self.crash(number);
        }
        Ok(busy)
    }

    /// How long the next step takes: most take a moment, a few take long.
    fn pause(&mut self, pace: Pace) -> Duration {
        let longest = match (pace, self.random.below(16)) {
            // Short beside any session: nobody waits so long for a turn that its seat is lost.
            (Pace::Calm, _) => 10,
            (Pace::Rough, 0) => 250,
            (Pace::Rough, 1..4) => 40,
            (Pace::Rough, _) => 4,
        };
        Duration::from_millis(self.random.below(longest) as u64)
    }

    /// One round of one thread of an instance; true if there was something to do.
    fn step_instance(&mut self, number: usize) -> Result<bool, Error> {
        let instance = self.instances.get_mut(number);
        let Some(running) = instance.and_then(|instance| instance.running.as_mut()) else {
            return Ok(false);
        };
        let application = self.random.below(running.len());
        let Some(running) = running.get_mut(application) else {
            return Ok(false);
        };
        let mut busy = match running.application.step_globals() {
            Ok(busy) => busy,
            Err(Error::Log(LogError::Unavailable(_))) => true,
            Err(error) => return Err(error),
        };
        let thread = self.random.below(running.threads.len());
        if let Some(thread) = running.threads.get_mut(thread) {
            busy |= thread.step()? != Progress::Idle || !thread.is_settled();
        }
        Ok(busy)
    }

    /// Starts an instance; if the log is unavailable, it stays down until its next turn.
    fn start(&mut self, number: usize) -> Result<(), Error> {
        let Some(instance) = self.instances.get(number) else {
            return Ok(());
        };
        let mut started = Vec::new();
        for (topology, config) in &self.applications {
            let state = state_of(&instance.disk, &self.state);
            match start_application(topology, config, &self.log, &self.clock, state) {
                Ok(running) => started.push(running),
                Err(Error::Log(LogError::Unavailable(_))) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if let Some(instance) = self.instances.get_mut(number) {
            instance.running = Some(started);
        }
        Ok(())
    }
}

fn start_application(
    topology: &Topology,
    config: &StreamsConfig,
    log: &SimLog,
    clock: &ManualClock,
    state: StateDir,
) -> Result<Running, Error> {
    let application = Streams::builder(topology)
        .config(config.clone())
        .clock(Arc::new(clock.clone()))
        .prepare(Arc::new(log.clone()), state)?;
    let threads = (0..config.stream_threads.max(1))
        .map(|index| application.stream_thread(index))
        .collect::<Result<_, _>>()?;
    Ok(Running {
        application,
        threads,
    })
}

fn state_of(disk: &MemoryDisk, options: &StateOptions) -> StateDir {
    StateDir::in_memory_shared(disk, options.clone())
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self
            .instances
            .iter()
            .map(|instance| instance.running.as_ref());
        let threads: Vec<_> = running
            .map(|running| running.map(|r| r.iter().flat_map(|r| &r.threads).collect::<Vec<_>>()))
            .collect();
        f.debug_struct("Simulation")
            .field("seed", &self.seed)
            .field("threads", &threads)
            .finish()
    }
}

/// Tries again while the simulated log is unavailable; its faults come by chance, so they pass.
fn retry<T>(mut run: impl FnMut() -> Result<T, LogError>) -> Result<T, Error> {
    loop {
        match run() {
            Err(LogError::Unavailable(_)) => {}
            other => return Ok(other?),
        }
    }
}

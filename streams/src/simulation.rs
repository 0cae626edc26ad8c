//! Deterministic simulation: whole applications on a simulated log, in one thread, from one seed.
//!
//! Instances run the real stream threads, tasks and stores. The seed decides who takes the next
//! step, how long it lasts, who crashes, and which fault the log injects: so a failing seed replays,
//! byte for byte.
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

/// How likely an instance is to crash at a step.
const CRASHES: f64 = 0.002;
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
    crashes: u64,
}

/// One process: what survives its crash, and what does not.
struct Instance {
    disk: MemoryDisk,
    running: Option<Vec<Running>>,
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
            log: SimLog::new(seed, options),
            clock: ManualClock::new(BEGINNING),
            applications: Vec::new(),
            instances: Vec::new(),
            crashes: 0,
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

    /// Takes `steps` random steps, with crashes.
    ///
    /// # Errors
    /// When an application fails.
    pub fn run(&mut self, steps: usize) -> Result<(), Error> {
        for _ in 0..steps {
            self.step(CRASHES)?;
        }
        Ok(())
    }

    /// Ends all faults, starts what is down, and steps until nothing is left to do.
    ///
    /// # Errors
    /// When an application fails, or does not come to rest.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.log.stop_faults();
        let mut quiet_since = self.now();
        for _ in 0..SETTLE_STEPS {
            if self.step(0.0)? {
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

    /// Kills an instance: its memory is gone, its disk stays, the log learns nothing.
    pub fn crash(&mut self, instance: usize) {
        let Some(instance) = self.instances.get_mut(instance) else {
            return;
        };
        instance.running = None;
        self.crashes += 1;
    }

    /// One step of one instance; true if there was something to do.
    fn step(&mut self, crashes: f64) -> Result<bool, Error> {
        if self.instances.is_empty() {
            return Ok(false);
        }
        let by = Duration::from_millis(self.random.below(4) as u64);
        self.advance(by);
        let number = self.random.below(self.instances.len());
        if self
            .instances
            .get(number)
            .is_some_and(|instance| instance.running.is_none())
        {
            self.start(number)?;
            return Ok(true);
        }
        if self.random.chance(crashes) {
            self.crash(number);
            return Ok(true);
        }
        let Some(running) = self
            .instances
            .get_mut(number)
            .and_then(|i| i.running.as_mut())
        else {
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
            match start_application(topology, config, &self.log, &self.clock, &instance.disk) {
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
    disk: &MemoryDisk,
) -> Result<Running, Error> {
    let application = Streams::builder(topology)
        .config(config.clone())
        .clock(Arc::new(clock.clone()))
        .prepare(Arc::new(log.clone()), state_of(disk))?;
    let threads = (0..config.stream_threads.max(1))
        .map(|index| application.stream_thread(index))
        .collect::<Result<_, _>>()?;
    Ok(Running {
        application,
        threads,
    })
}

fn state_of(disk: &MemoryDisk) -> StateDir {
    StateDir::in_memory_shared(disk, StateOptions::default())
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

/// Sebastiano Vigna's splitmix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn chance(&mut self, probability: f64) -> bool {
        // 53 random bits are an exact double in [0, 1).
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

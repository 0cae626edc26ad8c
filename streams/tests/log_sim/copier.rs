//! A seeded run of a small application on the simulated log: stream threads that copy one topic to
//! another under faults, kills, freezes and rebalances.
//!
//! The threads do what the port's documentation tells them to do, and no more. The model is the
//! plainest: at every moment what is committed of an output partition is the beginning of its input
//! partition, and in the end it is all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_streams::log::sim::{Fault, FaultRates, SimCounters, SimLog, SimOptions};
use millrace_streams::log::{
    Assignment, Bounds, CommitError, CommittedOffset, HeldTasks, Isolation, Log, LogError, Member,
    Offset, OffsetReset, OutputBatch, OutputRecord, RecordBatch, Seat, SubtopologyMetadata,
    TopicPartition, TopicSpec, TopologyMetadata, Writer,
};

use crate::contract::kit::{record, spec};

const INPUT: &str = "input";
const OUTPUT: &str = "output";
const PARTITIONS: i32 = 4;
const THREADS: usize = 3;
const STEPS: usize = 600;
/// Longer than a session: a thread has every third step, of 100 ms, or less.
const STALL: usize = 40;

/// What a run has come to.
pub(crate) struct Run {
    pub(crate) digest: u64,
    pub(crate) fired: BTreeMap<Fault, u64>,
    pub(crate) counters: SimCounters,
    pub(crate) commits: u64,
    pub(crate) failures: u64,
}

/// Runs the application with everything decided by `seed`, and checks the model.
pub(crate) fn run(seed: u64) -> Run {
    let mut world = World::new(seed);
    for step in 0..STEPS {
        world.step();
        if step % 50 == 0 {
            world.check(|output, input| input.starts_with(output));
        }
    }
    world.come_to_rest();
    world.check(|output, input| input == output);
    assert_eq!(world.log.open_transactions(), [""; 0]);
    Run {
        digest: world.log.digest(),
        fired: world.log.faults_fired(),
        counters: world.log.counters(),
        commits: world.threads.iter().map(|thread| thread.commits).sum(),
        failures: world.threads.iter().map(|thread| thread.failures).sum(),
    }
}

/// The log, the threads, and who is frozen until when.
struct World {
    log: SimLog,
    dice: Dice,
    threads: Vec<Thread>,
    frozen: BTreeMap<usize, usize>,
    writer: Arc<dyn Writer>,
    appended: usize,
    steps: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let options = SimOptions {
            session_timeout: Duration::from_secs(6),
            standby_replicas: 1,
            faults: FaultRates::all(0.01).with(Fault::AdminUnavailable, 0.2),
            ..SimOptions::default()
        };
        let log = SimLog::new(seed, options);
        let topics: [TopicSpec; 2] = [spec(INPUT, PARTITIONS), spec(OUTPUT, PARTITIONS)];
        while log.create_topics(&topics).is_err() {}
        let threads = (0..THREADS).map(|index| Thread::start(&log, index));
        Self {
            dice: Dice(seed),
            threads: threads.collect(),
            frozen: BTreeMap::new(),
            writer: log.writer("outside").expect("a writer"),
            appended: 0,
            steps: 0,
            log,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        let index = self.dice.below(THREADS);
        match self.dice.below(100) {
            0 => self.kill(index),
            1 => drop(self.frozen.insert(index, self.steps + 80)),
            2 => self.leave(index),
            3..30 => self.append(),
            _ => {}
        }
        self.log.advance(Duration::from_millis(100));
        let is_frozen = self
            .frozen
            .get(&index)
            .is_some_and(|till| *till > self.steps);
        if is_frozen {
            return;
        }
        let killed = self.log.counters().members_killed;
        self.threads[index].step();
        if self.log.counters().members_killed > killed {
            self.restart(index);
        }
    }

    /// The process dies, and comes back with the same member id.
    fn kill(&mut self, index: usize) {
        self.log.kill_member(&self.threads[index].seat.member_id);
        self.restart(index);
    }

    fn restart(&mut self, index: usize) {
        let (commits, failures) = (self.threads[index].commits, self.threads[index].failures);
        self.threads[index] = Thread {
            commits,
            failures,
            ..Thread::start(&self.log, index)
        };
    }

    fn leave(&mut self, index: usize) {
        if self.threads[index].member.leave().is_ok() {
            self.threads[index].phase = Phase::Lost;
        }
    }

    fn append(&mut self) {
        let text = self.appended.to_string();
        let record = record(&INPUT.into(), &text, &text);
        // A caller that gets no answer does not know; here it need not.
        if futures::executor::block_on(self.writer.append(record)).is_ok() {
            self.appended += 1;
        }
    }

    fn come_to_rest(&mut self) {
        self.log.stop_faults();
        for _ in 0..200 {
            self.log.advance(Duration::from_millis(100));
            self.threads.iter_mut().for_each(Thread::step);
        }
    }

    /// Checks what is committed of each output partition against its input partition.
    fn check(&self, holds: impl Fn(&[Vec<u8>], &[Vec<u8>]) -> bool) {
        let (input, output) = (self.values(INPUT), self.values(OUTPUT));
        for partition in 0..PARTITIONS {
            let of = |values: &BTreeMap<i32, Vec<Vec<u8>>>| {
                values.get(&partition).cloned().unwrap_or_default()
            };
            let (input, output) = (of(&input), of(&output));
            assert!(
                holds(&output, &input),
                "partition {partition}: {} in, {} out",
                input.len(),
                output.len()
            );
        }
    }

    fn values(&self, topic: &str) -> BTreeMap<i32, Vec<Vec<u8>>> {
        let mut values = BTreeMap::<_, Vec<_>>::new();
        for record in self.log.dump(topic, Isolation::ReadCommitted) {
            let of = values.entry(record.partition).or_default();
            of.push(record.value.unwrap_or_default());
        }
        values
    }
}

/// Where a thread is on its way back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its tasks are open.
    Running,
    /// Its tasks have to be opened at the committed offsets.
    Opening,
    /// A transaction has failed.
    Recovering,
    /// Its seat is gone.
    Lost,
}

/// A stream thread that copies.
struct Thread {
    seat: Seat,
    member: Box<dyn Member>,
    phase: Phase,
    active: BTreeSet<i32>,
    standby: Assignment,
    /// Where each partition's copy has come to.
    positions: BTreeMap<i32, Offset>,
    outputs: OutputBatch,
    steps: usize,
    /// For how many steps it does nothing. An unknown outcome is worst when its owner falls silent
    /// and somebody else has to go on from it.
    stalled: usize,
    commits: u64,
    failures: u64,
}

impl Thread {
    fn start(log: &SimLog, index: usize) -> Self {
        let seat = seat(index);
        Self {
            member: log.join(seat.clone()).expect("joined"),
            seat,
            phase: Phase::Opening,
            active: BTreeSet::new(),
            standby: Assignment::default(),
            positions: BTreeMap::new(),
            outputs: OutputBatch::new(),
            steps: index,
            stalled: 0,
            commits: 0,
            failures: 0,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        if self.stalled > 0 {
            self.stalled -= 1;
            return;
        }
        match self.phase {
            Phase::Running => self.run(),
            Phase::Opening => self.open(),
            Phase::Recovering => self.recover(),
            Phase::Lost => self.rejoin(),
        }
    }

    fn run(&mut self) {
        // The news of a removal or a revocation may come after the work that it forbids.
        if !self.steps.is_multiple_of(4) {
            return self.copy();
        }
        match self.member.poll_assignment() {
            Ok(Some(assignment)) => self.take(assignment),
            Ok(None) => self.copy(),
            Err(error) => self.fail(&error),
        }
    }

    /// Commits what is done, then opens the new tasks.
    fn take(&mut self, assignment: Assignment) {
        let committed = self.commit();
        self.active = assignment.active.iter().map(|t| t.partition).collect();
        self.standby = assignment;
        if committed {
            self.phase = Phase::Opening;
        }
    }

    fn open(&mut self) {
        // Before its first assignment a thread has nothing to open, and asks.
        if self.standby == Assignment::default() {
            self.phase = Phase::Running;
            return;
        }
        let partitions: Vec<_> = self.active.iter().map(|n| at(INPUT, *n)).collect();
        let opened = self.member.committed(&partitions).and_then(|committed| {
            let offsets = committed.iter().map(|c| c.as_ref().map_or(0, |c| c.offset));
            let from: Vec<_> = partitions.into_iter().zip(offsets).collect();
            self.positions = from.iter().map(|(p, o)| (p.partition, *o)).collect();
            let ends = self.member.bounds(&partitions_of(&from))?;
            let within = |((_, offset), end): (&(_, Offset), &Bounds)| *offset <= end.end;
            assert!(from.iter().zip(&ends).all(within), "{from:?} {ends:?}");
            self.member.assign(&from)?;
            self.member.confirm(&HeldTasks {
                active: self.standby.active.clone(),
                standby: self.standby.standby.clone(),
            })
        });
        match opened {
            Ok(()) => self.phase = Phase::Running,
            Err(error) => self.fail(&error),
        }
    }

    fn copy(&mut self) {
        let mut batches = Vec::new();
        if let Err(error) = self.member.fetch(Duration::ZERO, &mut batches) {
            return self.fail(&error);
        }
        for batch in batches {
            self.push(&batch);
            self.member.recycle(batch);
        }
        if self.member.send(&mut self.outputs).is_err() {
            self.phase = Phase::Recovering;
        } else if self.steps.is_multiple_of(3) {
            self.commit();
        }
    }

    fn push(&mut self, batch: &RecordBatch) {
        let topic = self.outputs.slot(OUTPUT);
        for record in batch.iter() {
            self.outputs.push(OutputRecord {
                topic,
                partition: batch.partition.partition,
                timestamp: record.timestamp,
                headers: record.headers,
                key: record.key,
                value: record.value,
            });
        }
        self.positions
            .insert(batch.partition.partition, batch.position);
    }

    fn commit(&mut self) -> bool {
        let offset = |(partition, offset): (&i32, &Offset)| {
            let metadata = String::new();
            let offset = *offset;
            (at(INPUT, *partition), CommittedOffset { offset, metadata })
        };
        let offsets: Vec<_> = self.positions.iter().map(offset).collect();
        let committed = self.member.commit(&offsets);
        if committed.is_ok() {
            self.commits += 1;
            return true;
        }
        self.failures += 1;
        self.phase = Phase::Recovering;
        if matches!(committed, Err(CommitError::Unknown(_))) && self.failures.is_multiple_of(2) {
            self.stalled = STALL;
        }
        false
    }

    fn recover(&mut self) {
        self.outputs.clear();
        match self.member.recover() {
            Ok(()) => self.phase = Phase::Opening,
            Err(error) => self.fail(&error),
        }
    }

    fn rejoin(&mut self) {
        self.outputs.clear();
        self.active.clear();
        self.positions.clear();
        self.standby = Assignment::default();
        let nothing = self.member.assign(&[]);
        if nothing.and_then(|()| self.member.rejoin()).is_ok() {
            self.phase = Phase::Opening;
        }
    }

    fn fail(&mut self, error: &LogError) {
        match error {
            LogError::MemberLost(_) => self.phase = Phase::Lost,
            LogError::Unavailable(_) => {}
            other => panic!("{other}"),
        }
    }
}

fn partitions_of(from: &[(TopicPartition, Offset)]) -> Vec<TopicPartition> {
    from.iter()
        .map(|(partition, _)| partition.clone())
        .collect()
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn seat(index: usize) -> Seat {
    let subtopology = SubtopologyMetadata {
        sources: vec![INPUT.into()],
        ..SubtopologyMetadata::default()
    };
    Seat {
        application: "copier".into(),
        process_id: format!("process-{index}"),
        member_id: format!("member-{index}"),
        endpoint: None,
        topology: Arc::new(TopologyMetadata {
            subtopologies: vec![subtopology],
        }),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: 1 << 10,
        transaction_timeout: Duration::from_secs(10),
    }
}

/// The scheduler's own chance: a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

/// Adds the counters of a run to a sum.
pub(crate) fn add(sum: &mut SimCounters, run: SimCounters) {
    sum.sessions_expired += run.sessions_expired;
    sum.members_killed += run.members_killed;
    sum.transactions_timed_out += run.transactions_timed_out;
    sum.late_ends_applied += run.late_ends_applied;
    sum.late_ends_fenced += run.late_ends_fenced;
    sum.producers_fenced += run.producers_fenced;
    sum.offset_commits_refused += run.offset_commits_refused;
}

/// True if nothing that faults can lead to is missing.
pub(crate) fn all_happened(sum: SimCounters) -> bool {
    [
        sum.sessions_expired,
        sum.members_killed,
        sum.transactions_timed_out,
        sum.late_ends_applied,
        sum.late_ends_fenced,
        sum.producers_fenced,
        sum.offset_commits_refused,
    ]
    .iter()
    .all(|count| *count > 0)
}

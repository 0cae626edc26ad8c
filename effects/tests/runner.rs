//! The effect runner on the simulated log: order, retries, dead letters, and faults from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millrace_effects::runner::{
    Effects, EffectsConfig, Failure, Handled, Handler, Input, Output, RetryPolicy, Worker,
};
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{DumpedRecord, Fault, FaultRates, SimLog, SimOptions};
use millrace_streams::log::{Isolation, Log, NewRecord};
use millrace_streams::partitioner::partition_of;
use millrace_streams::{ManualClock, Timestamp, Topic};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{advance, sleep};

const CALLS: Topic<String, u64> = Topic::new("calls").partitions(2);
const RESULTS: Topic<String, u64> = Topic::new("results").partitions(3);
const EPOCH: Timestamp = Timestamp::from_millis(0);

/// Notes what it is asked, and answers with the same number.
#[derive(Clone, Default)]
struct Echo {
    calls: Arc<Mutex<Vec<(String, u64, u32)>>>,
    /// Calls that run, by key, and the most that ran at once.
    running: Arc<Mutex<BTreeMap<String, usize>>>,
    most: Arc<AtomicUsize>,
    /// How often each call fails at first.
    failures: u32,
    takes: Duration,
    /// Only this event takes that long, if there is one.
    slow: Option<u64>,
}

impl Handler<String, u64> for Echo {
    type Key = String;
    type Value = u64;

    async fn handle(&self, event: &Input<String, u64>) -> Handled<String, u64> {
        self.calls
            .lock()
            .push((event.key.clone(), event.value, event.attempt));
        {
            let mut running = self.running.lock();
            let mine = running.entry(event.key.clone()).or_default();
            assert_eq!(*mine, 0, "two calls of `{}` at once", event.key);
            *mine += 1;
            self.most
                .fetch_max(running.values().sum(), Ordering::Relaxed);
        }
        // A dropped call has to be forgotten as well.
        let _done = Done(self, &event.key);
        if self.slow.is_none_or(|slow| slow == event.value) {
            // The pause is the fault: the call is slow.
            sleep(self.takes).await;
        }
        match event.value {
            666 => return Err(Failure::reject("never")),
            667 => panic!("the handler's own fault"),
            _ if event.attempt <= self.failures => return Err(Failure::retry("not yet")),
            _ => {}
        }
        Ok(vec![Output::new(event.key.clone(), event.value, EPOCH)])
    }
}

struct Done<'a>(&'a Echo, &'a String);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().entry(self.1.clone()).or_default() -= 1;
    }
}

struct World {
    log: SimLog,
    clock: ManualClock,
    runtime: Runtime,
    effects: Effects,
    workers: BTreeMap<String, Worker>,
}

impl World {
    fn new(log: SimLog, echo: Echo) -> Self {
        while log.create_topics(&[CALLS.spec(), RESULTS.spec()]).is_err() {}
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        Self {
            log,
            clock: ManualClock::new(EPOCH),
            runtime: runtime.unwrap(),
            effects: Effects::new("echo").on(CALLS, RESULTS, echo),
            workers: BTreeMap::new(),
        }
    }

    fn start(&mut self, instance: &str) {
        assert!(self.try_start(instance), "`{instance}` does not start");
    }

    fn try_start(&mut self, instance: &str) -> bool {
        let mut config = EffectsConfig::default();
        config.idle_wait = Duration::ZERO;
        config.busy_wait = Duration::ZERO;
        config.drain = Duration::from_secs(1);
        config.window = 8;
        config.retry = RetryPolicy {
            attempts_max: 4,
            ..RetryPolicy::default()
        };
        let (runtime, clock) = (self.runtime.handle().clone(), Arc::new(self.clock.clone()));
        let worker = self
            .effects
            .worker(&self.log, config, instance, runtime, clock);
        let Ok(worker) = worker else { return false };
        self.workers.insert(instance.to_owned(), worker);
        true
    }

    /// Kills an instance: its calls end, its seat stays until its session has ended.
    fn kill(&mut self, instance: &str) {
        self.log.kill_member(&format!("echo-{instance}"));
        self.workers.remove(instance);
    }

    fn append(&self, key: &str, number: u64) {
        assert!(self.append_bytes(key, &number.to_be_bytes()));
    }

    fn append_bytes(&self, key: &str, value: &[u8]) -> bool {
        let record = NewRecord {
            topic: CALLS.name().into(),
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.to_vec()),
            headers: HeaderList::new(),
            timestamp: EPOCH,
        };
        let writer = self.log.writer("test").unwrap();
        futures::executor::block_on(writer.append(record)).is_ok()
    }

    /// A round of every instance, and 20 ms for their calls. The log may have one die.
    fn round(&mut self) {
        let mut dead = Vec::new();
        for (instance, worker) in &mut self.workers {
            let killed = self.log.counters().members_killed;
            worker.step().unwrap();
            if self.log.counters().members_killed > killed {
                dead.push(instance.clone());
            }
        }
        dead.iter().for_each(|instance| self.kill(instance));
        let step = Duration::from_millis(20);
        self.clock.advance(step);
        self.log.advance(step);
        self.runtime.block_on(async {
            advance(step).await;
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn rounds(&mut self, rounds: usize) {
        (0..rounds).for_each(|_| self.round());
    }

    fn results(&self) -> Vec<(String, u64)> {
        let records = self.log.dump(RESULTS.name(), Isolation::ReadCommitted);
        records
            .iter()
            .map(|record| (text(record), number(record)))
            .collect()
    }

    /// The numbers of all results, in their own order.
    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<_> = self.results().into_iter().map(|(_, n)| n).collect();
        numbers.sort_unstable();
        numbers
    }

    fn dead_letters(&self) -> Vec<DumpedRecord> {
        self.log.dump("echo-dead-letter", Isolation::ReadCommitted)
    }
}

fn text(record: &DumpedRecord) -> String {
    String::from_utf8(record.key.clone().unwrap()).unwrap()
}

fn number(record: &DumpedRecord) -> u64 {
    u64::from_be_bytes(record.value.clone().unwrap().try_into().unwrap())
}

fn by_key(results: &[(String, u64)]) -> BTreeMap<String, Vec<u64>> {
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (key, number) in results {
        by_key.entry(key.clone()).or_default().push(*number);
    }
    by_key
}

#[test]
fn each_event_is_called_for_and_its_result_written_in_the_order_of_its_key() {
    let echo = Echo {
        takes: Duration::from_millis(30),
        ..Echo::default()
    };
    let mut world = World::new(SimLog::quiet(), echo.clone());
    (0..40).for_each(|n| world.append(&format!("k{}", n % 4), n));
    world.start("a");
    world.rounds(100);
    for (key, numbers) in by_key(&world.results()) {
        assert_eq!(numbers.len(), 10, "{key}");
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    assert_eq!(echo.calls.lock().len(), 40);
    assert!(
        echo.most.load(Ordering::Relaxed) > 1,
        "calls of different keys run side by side"
    );
    assert!(world.workers["a"].is_settled());
}

#[test]
fn a_failed_call_is_made_again_until_it_succeeds() {
    let mut world = World::new(
        SimLog::quiet(),
        Echo {
            failures: 2,
            ..Echo::default()
        },
    );
    world.append("k", 1);
    world.start("a");
    world.rounds(100);
    assert_eq!(world.results(), [("k".to_owned(), 1)]);
}

#[test]
fn what_cannot_be_read_or_done_goes_to_the_dead_letters_and_holds_up_nobody() {
    let echo = Echo::default();
    let mut world = World::new(SimLog::quiet(), echo.clone());
    world.append_bytes("k", b"poison");
    world.append("k", 666);
    world.append("k", 667);
    world.append("k", 1);
    world.start("a");
    world.rounds(300);
    assert_eq!(world.results(), [("k".to_owned(), 1)]);
    let dead = world.dead_letters();
    let header = |name| {
        dead.iter()
            .map(|d| d.headers.view().text(name).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        header("__streams.errors.exception"),
        ["deserialize", "rejected", "exhausted"]
    );
    assert_eq!(header("__streams.errors.offset"), ["0", "1", "2"]);
    assert_eq!(
        header("__streams.errors.message")[2],
        "the handler panicked"
    );
    assert_eq!(dead[0].value.as_deref(), Some(&b"poison"[..]));
    let tries = echo
        .calls
        .lock()
        .iter()
        .filter(|(_, n, _)| *n == 667)
        .count();
    assert_eq!(tries, 4);
}

#[test]
fn a_slow_event_holds_back_the_results_of_its_partition_and_no_other_call() {
    let echo = Echo {
        slow: Some(0),
        takes: Duration::from_secs(10),
        ..Echo::default()
    };
    let mut world = World::new(SimLog::quiet(), echo.clone());
    (0..40).for_each(|n| world.append(&format!("k{n}"), n));
    world.start("a");
    world.rounds(100);
    assert_eq!(echo.calls.lock().len(), 40);
    let behind = partition_of(b"k0", 2);
    let elsewhere = (0..40).filter(|n| partition_of(format!("k{n}").as_bytes(), 2) != behind);
    assert_eq!(world.numbers(), elsewhere.collect::<Vec<_>>());
    world.rounds(500);
    assert_eq!(world.numbers(), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_crash_repeats_calls_but_no_result() {
    let echo = Echo {
        takes: Duration::from_millis(50),
        ..Echo::default()
    };
    let mut world = World::new(SimLog::quiet(), echo);
    (0..30).for_each(|n| world.append(&format!("k{}", n % 5), n));
    world.start("a");
    world.rounds(6);
    world.kill("a");
    world.start("a");
    world.rounds(200);
    assert_eq!(world.numbers(), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_commit_of_unknown_outcome_writes_each_result_once_and_repeats_no_call() {
    for fault in [
        Fault::EndLost,
        Fault::EndReplyLost,
        Fault::EndLate,
        Fault::CutBeforeOffsets,
    ] {
        let echo = Echo::default();
        let mut world = World::new(SimLog::quiet(), echo.clone());
        (0..6).for_each(|n| world.append("k", n));
        world.log.inject(fault);
        world.start("a");
        world.rounds(100);
        let numbers: Vec<_> = world.results().into_iter().map(|(_, n)| n).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5], "{fault:?}");
        assert_eq!(echo.calls.lock().len(), 6, "{fault:?}");
        assert_eq!(world.log.faults_fired()[&fault], 1);
    }
}

#[test]
fn partitions_that_go_to_another_instance_finish_their_calls_first() {
    let echo = Echo {
        takes: Duration::from_millis(100),
        ..Echo::default()
    };
    let mut world = World::new(SimLog::quiet(), echo.clone());
    (0..40).for_each(|n| world.append(&format!("k{n}"), n));
    world.start("a");
    world.rounds(4);
    world.start("b");
    world.rounds(200);
    assert_eq!(world.results().len(), 40);
    assert_eq!(echo.calls.lock().len(), 40);
}

#[test]
fn while_the_last_commit_of_a_dead_instance_is_pending_the_other_partitions_go_on() {
    let options = SimOptions {
        session_timeout: Duration::from_secs(1),
        ..SimOptions::default()
    };
    let mut world = World::new(SimLog::new(0, options), Echo::default());
    world.start("a");
    world.start("b");
    world.rounds(20);
    let keys = ["k0", "k1", "k2", "k3"];
    let is_elsewhere = |key: &&&str| partition_of(key.as_bytes(), 2) != partition_of(b"k0", 2);
    let elsewhere = *keys.iter().find(is_elsewhere).unwrap();
    world.log.inject(Fault::DiesBeforeEnd);
    world.append("k0", 0);
    // The owner of that partition dies, its session ends, and its transaction stays open.
    world.rounds(100);
    assert_eq!(world.workers.len(), 1);
    for number in 1..4 {
        world.append(elsewhere, number);
        world.rounds(5);
        let survivor = world.workers.values().next().unwrap();
        assert!(!survivor.is_settled(), "it waits for the other partition");
        assert_eq!(world.numbers(), (1..=number).collect::<Vec<_>>());
    }
    // Until the log aborts the transaction.
    world.rounds(600);
    assert_eq!(world.numbers(), [0, 1, 2, 3]);
}

/// Two instances under faults of every kind and crashes; then all comes to rest.
fn run_seed(seed: u64) -> u64 {
    let faults = FaultRates::all(0.02);
    let log = SimLog::new(
        seed,
        SimOptions {
            faults,
            ..SimOptions::default()
        },
    );
    let echo = Echo {
        takes: Duration::from_millis(30),
        ..Echo::default()
    };
    let mut world = World::new(log, echo);
    for round in 0..400 {
        if round % 4 == 0 {
            world.append_bytes(&format!("k{}", round % 7), &u64::to_be_bytes(round));
        }
        let victim = ["a", "b"][usize::from(round % 2 == 0)];
        match (seed + round) % 97 {
            13 | 28 => world.kill(victim),
            _ if world.workers.contains_key(victim) || round % 11 != 0 => {}
            _ => drop(world.try_start(victim)),
        }
        world.round();
    }
    world.log.stop_faults();
    world.try_start("a");
    world.try_start("b");
    // Longer than the session of a seat whose instance was killed.
    world.rounds(3_000);
    let called = world.log.dump(CALLS.name(), Isolation::ReadCommitted);
    let called: Vec<_> = called
        .iter()
        .map(|record| (text(record), number(record)))
        .collect();
    assert_eq!(by_key(&world.results()), by_key(&called), "seed {seed}");
    assert!(world.log.open_transactions().is_empty(), "seed {seed}");
    assert!(world.dead_letters().is_empty(), "seed {seed}");
    world.log.digest()
}

#[test]
fn under_faults_of_every_kind_each_result_is_written_once_and_in_order() {
    for seed in 0..200 {
        run_seed(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(run_seed(7), run_seed(7));
}

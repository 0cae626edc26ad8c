//! Exactly once, under every fault that the simulated log knows, from many seeds.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_state::StateOptions;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{Fault, FaultRates, SimOptions};
use millrace_streams::log::{Isolation, NewRecord};
use millrace_streams::{Seeds, Simulation, Store, StreamsConfig, Topic, Topology};

const AMOUNTS: Topic<String, i64> = Topic::new("amounts");
const TOTALS: Topic<String, i64> = Topic::new("totals");
const SUMS: Store<String, i64> = Store::new("sums");
const COUNTS: Store<String, u64> = Store::new("counts");
const GROUPS: Topic<String, u64> = Topic::new("groups");

/// The faults that cut a commit off somewhere, or delay its markers.
const COMMIT_FAULTS: [Fault; 12] = [
    Fault::SendCutOff,
    Fault::SendLost,
    Fault::CutBeforeOffsets,
    Fault::CutBeforeEnd,
    Fault::EndLost,
    Fault::EndLate,
    Fault::EndReplyLost,
    Fault::DiesBeforeSend,
    Fault::DiesAfterSend,
    Fault::DiesBeforeEnd,
    Fault::DiesAfterEnd,
    Fault::MarkerLate,
];

/// amounts -> [sums] -> totals
/// amounts -> (by-group) -> [counts] -> groups
fn topology() -> Topology {
    Topology::define("sums", |t| {
        let amounts = t.stream(AMOUNTS);
        amounts
            .aggregate(SUMS, || 0, |_, amount, sum| sum + amount)
            .to(TOTALS);
        amounts
            .select_key(|key, _| key[..1].to_owned())
            .repartition("by-group")
            .count(COUNTS)
            .to(GROUPS);
    })
    .expect("the topology is sound")
}

/// What a simulation has come to, and what it met.
#[derive(Default)]
struct Outcome {
    digest: u64,
    fired: BTreeMap<Fault, u64>,
    crashes: u64,
    crashes_after_flush: u64,
    sessions_expired: u64,
    transactions_timed_out: u64,
}

impl Outcome {
    fn of(simulation: &Simulation) -> Self {
        let counters = simulation.log().counters();
        Self {
            digest: simulation.log().digest(),
            fired: simulation.log().faults_fired(),
            crashes: simulation.crashes(),
            crashes_after_flush: simulation.crashes_after_flush(),
            sessions_expired: counters.sessions_expired,
            transactions_timed_out: counters.transactions_timed_out,
        }
    }

    fn add(&mut self, other: &Self) {
        for (fault, count) in &other.fired {
            *self.fired.entry(*fault).or_default() += count;
        }
        self.crashes += other.crashes;
        self.crashes_after_flush += other.crashes_after_flush;
        self.sessions_expired += other.sessions_expired;
        self.transactions_timed_out += other.transactions_timed_out;
    }
}

/// Times and sizes so small that a short simulation sees sessions end, transactions time out, and
/// stores flush and evict.
fn simulation(seed: u64) -> Simulation {
    let options = SimOptions {
        faults: FaultRates::all(0.01).with(Fault::MarkerLate, 0.1),
        standby_replicas: 1,
        // Every other seed is in such a hurry that members lose their seats while they live.
        session_timeout: Duration::from_millis(if seed % 4 < 2 { 1_000 } else { 200 }),
        ..SimOptions::default()
    };
    let mut simulation = Simulation::new(seed, options);
    simulation.set_state_options(StateOptions {
        memory_bytes_max: 2_000,
        flush_interval: Duration::from_millis(200),
        flush_bytes: 500,
    });
    simulation
}

fn simulate(seed: u64) -> Outcome {
    let mut simulation = simulation(seed);
    simulation
        .create_topics(&[AMOUNTS.spec(), TOTALS.spec(), GROUPS.spec()])
        .expect("topics can be created");
    let mut config = StreamsConfig::default();
    config.transaction_timeout = Duration::from_secs(2);
    // Threads of one process share a disk: a task that moves between them finds its stores held.
    config.stream_threads = 1 + (seed % 2) as usize;
    simulation.add_application(&topology(), config);
    simulation.start_instances(2).expect("instances start");
    for n in 0..60_i64 {
        let record = NewRecord {
            topic: AMOUNTS.name().into(),
            key: Some(format!("{}-{}", n % 3, n % 7).into_bytes()),
            value: Some(n.to_be_bytes().to_vec()),
            headers: HeaderList::new(),
            timestamp: simulation.now(),
        };
        simulation.append(&record).expect("appended");
        simulation.run(10).expect("it runs");
    }
    simulation.settle().expect("it comes to rest");
    check(&simulation);
    Outcome::of(&simulation)
}

/// What was read must equal the fold of what was written, key by key.
fn check(simulation: &Simulation) {
    let (mut sums, mut counts) = (BTreeMap::<_, i64>::new(), BTreeMap::<_, i64>::new());
    for record in simulation
        .log()
        .dump(AMOUNTS.name(), Isolation::ReadCommitted)
    {
        let key = String::from_utf8(record.key.expect("a key")).expect("text");
        let amount = i64::from_be_bytes(record.value.expect("a value").try_into().expect("i64"));
        *counts.entry(key[..1].to_owned()).or_default() += 1;
        *sums.entry(key).or_default() += amount;
    }
    assert_eq!(last(simulation, TOTALS.name()), sums, "totals");
    assert_eq!(last(simulation, GROUPS.name()), counts, "groups");
}

/// The last committed value of each key.
fn last(simulation: &Simulation, topic: &str) -> BTreeMap<String, i64> {
    let mut last = BTreeMap::new();
    for record in simulation.log().dump(topic, Isolation::ReadCommitted) {
        let key = String::from_utf8(record.key.expect("a key")).expect("text");
        let value = i64::from_be_bytes(record.value.expect("a value").try_into().expect("i64"));
        last.insert(key, value);
    }
    last
}

#[test]
fn totals_equal_the_fold_of_the_input_whatever_fails() {
    let seeds = Seeds::of(0..200);
    let mut sum = Outcome::default();
    for outcome in seeds.simulate(simulate) {
        sum.add(&outcome);
    }
    if !seeds.are_default() {
        return;
    }
    for fault in COMMIT_FAULTS {
        let count = sum.fired.get(&fault).copied().unwrap_or(0);
        assert!(count > 5, "{fault:?} struck {count} times");
    }
    assert!(sum.crashes > 100, "only {} crashes", sum.crashes);
    let flushed = sum.crashes_after_flush;
    assert!(flushed > 20, "only {flushed} crashes after a flush");
    let expired = sum.sessions_expired;
    assert!(expired > 20, "only {expired} sessions expired");
    let timed_out = sum.transactions_timed_out;
    assert!(timed_out > 20, "only {timed_out} transactions timed out");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [1, 2, 3] {
        assert_eq!(simulate(seed).digest, simulate(seed).digest, "seed {seed}");
    }
}

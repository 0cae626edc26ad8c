//! Exactly once, under every fault that the simulated log knows, from many seeds.

use std::collections::BTreeMap;

use millrace_streams::headers::HeaderList;
use millrace_streams::log::sim::{FaultRates, SimOptions};
use millrace_streams::log::{Isolation, NewRecord};
use millrace_streams::{Simulation, Store, StreamsConfig, Topic, Topology};

const AMOUNTS: Topic<String, i64> = Topic::new("amounts");
const TOTALS: Topic<String, i64> = Topic::new("totals");
const SUMS: Store<String, i64> = Store::new("sums");
const COUNTS: Store<String, u64> = Store::new("counts");
const GROUPS: Topic<String, u64> = Topic::new("groups");

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

struct Outcome {
    digest: u64,
    faults: u64,
    crashes: u64,
}

fn simulate(seed: u64) -> Outcome {
    let faults = FaultRates::all(0.01);
    let options = SimOptions {
        faults,
        standby_replicas: 1,
        session_timeout: std::time::Duration::from_secs(2),
        ..SimOptions::default()
    };
    let mut simulation = Simulation::new(seed, options);
    simulation
        .create_topics(&[AMOUNTS.spec(), TOTALS.spec(), GROUPS.spec()])
        .expect("topics can be created");
    simulation.add_application(&topology(), StreamsConfig::default());
    simulation.start_instances(2).expect("instances start");
    for n in 0..60_i64 {
        let record = NewRecord {
            topic: AMOUNTS.name().into(),
            key: Some(format!("{}-{}", n % 3, n % 7).into_bytes()),
            value: Some(n.to_be_bytes().to_vec()),
            headers: HeaderList::new(),
            timestamp: simulation.now(),
        };
        simulation
            .append(&record)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        simulation
            .run(10)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    simulation
        .settle()
        .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    check(&simulation, seed);
    Outcome {
        digest: simulation.log().digest(),
        faults: simulation.log().faults_fired().values().sum(),
        crashes: simulation.crashes(),
    }
}

/// What was read must equal the fold of what was written, key by key.
fn check(simulation: &Simulation, seed: u64) {
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
    assert_eq!(last(simulation, TOTALS.name()), sums, "seed {seed}: totals");
    assert_eq!(
        last(simulation, GROUPS.name()),
        counts,
        "seed {seed}: groups"
    );
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
    let (mut faults, mut crashes) = (0, 0);
    for seed in 0..200 {
        let outcome = simulate(seed);
        faults += outcome.faults;
        crashes += outcome.crashes;
    }
    assert!(faults > 1_000, "only {faults} faults fired");
    assert!(crashes > 20, "only {crashes} crashes");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [1, 2, 3] {
        assert_eq!(simulate(seed).digest, simulate(seed).digest, "seed {seed}");
    }
}

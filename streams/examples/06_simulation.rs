//! Lesson 6, a cluster from one seed: two instances, crashes, rebalances, aborted transactions and
//! lost replies, in one thread. What comes out is what comes out without any of it.
//!
//! `cargo run -p millrace-streams --example 06_simulation`

use std::error::Error;

use millrace_streams::log::sim::{FaultRates, SimOptions};
use millrace_streams::serde::Resources;
use millrace_streams::{RecordCodec, Simulation, Store, StreamsConfig, Topic, Topology};

const AMOUNTS: Topic<String, i64> = Topic::new("amounts");
const TOTALS: Topic<String, i64> = Topic::new("totals");
const TOTAL: Store<String, i64> = Store::new("total");

/// The digest of all that lies in the log at the end, and how often an instance has crashed.
fn simulate(seed: u64) -> Result<(u64, u64), Box<dyn Error>> {
    let topology = Topology::define("totals", |t| {
        t.stream(AMOUNTS)
            .aggregate(TOTAL, || 0, |_, amount, total| total + amount)
            .to(TOTALS);
    })?;
    let options = SimOptions {
        faults: FaultRates::all(0.01),
        standby_replicas: 1,
        ..SimOptions::default()
    };
    let mut simulation = Simulation::new(seed, options);
    simulation.create_topics(&[AMOUNTS.spec(), TOTALS.spec()])?;
    simulation.add_application(&topology, StreamsConfig::default());
    simulation.start_instances(2)?;
    let mut codec = RecordCodec::new(AMOUNTS, &Resources::new())?;
    for n in 0..50 {
        let record = codec.encode(&format!("key-{}", n % 5), &n, simulation.now())?;
        simulation.append(&record)?;
        simulation.run(20)?;
    }
    simulation.settle()?;
    Ok((simulation.log().digest(), simulation.crashes()))
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let mut crashes = 0;
    for seed in 0..20 {
        let (digest, crashed) = simulate(seed)?;
        assert_eq!(
            simulate(seed)?.0,
            digest,
            "the same seed gives the same bytes"
        );
        println!("seed {seed}: {crashed} crashes, log {digest:016x}");
        crashes += crashed;
    }
    assert!(crashes > 0, "a simulation without a crash shows nothing");
    Ok(())
}

//! The whole market under simulation: whatever fails, no unit is sold twice, nobody pays for what
//! does not come, and no order hangs.
//!
//! Customers order, cancel and fill carts, operators ship and refund, a gateway declines, is silent
//! and loses its answers, while instances die, log and group misbehave, and time passes in jumps.

mod check;
mod gateway;
mod market;

use std::collections::{BTreeMap, BTreeSet};

use millrace_avro::events::orders::OrderStatus;
use millrace_streams::Seeds;
use millrace_streams::log::sim::Fault;

use market::{Dice, Market};

/// Simulated markets per run.
const SEEDS: u64 = 1_000;
/// Orders per simulation, for a stock of a few units: some must be rejected.
const ORDERS: usize = 8;
/// Steps between two things that people do.
const STEPS: usize = 60;
/// How often people look at what has become of their orders, once all are placed.
const ROUNDS: usize = 8;
/// By when a market must have come to rest, in rounds of at least 5 s.
const ROUNDS_MAX: usize = 60;

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

/// What a market has come to, and what it met.
#[derive(Default)]
struct Outcome {
    digest: u64,
    ends: BTreeSet<OrderStatus>,
    fired: BTreeMap<Fault, u64>,
    refunds: usize,
    crashes: u64,
    crashes_after_flush: u64,
    sessions_expired: u64,
    transactions_timed_out: u64,
}

impl Outcome {
    fn of(market: &Market) -> Self {
        let simulation = &market.simulation;
        let counters = simulation.log().counters();
        let orders = market.orders();
        Self {
            digest: simulation.log().digest(),
            ends: orders.values().map(|order| order.status).collect(),
            fired: simulation.log().faults_fired(),
            refunds: market.gateway.refunds(),
            crashes: simulation.crashes(),
            crashes_after_flush: simulation.crashes_after_flush(),
            sessions_expired: counters.sessions_expired,
            transactions_timed_out: counters.transactions_timed_out,
        }
    }

    fn add(&mut self, other: Self) {
        for (fault, count) in other.fired {
            *self.fired.entry(fault).or_default() += count;
        }
        self.ends.extend(other.ends);
        self.refunds += other.refunds;
        self.crashes += other.crashes;
        self.crashes_after_flush += other.crashes_after_flush;
        self.sessions_expired += other.sessions_expired;
        self.transactions_timed_out += other.transactions_timed_out;
    }
}

/// Runs one market to its rest and checks the invariants.
fn simulate(seed: u64, faults: f64) -> Outcome {
    let mut market = Market::open(seed, faults);
    let mut dice = Dice::new(seed);
    market.stock_up(&mut dice);
    for number in 0..ORDERS {
        market.place(number, &mut dice);
        market.run(STEPS);
        market.somebody_acts(&mut dice);
        market.answer_calls(&mut dice);
    }
    for _ in 0..ROUNDS {
        market.run(2 * STEPS);
        market.somebody_acts(&mut dice);
        market.somebody_acts(&mut dice);
        market.answer_calls(&mut dice);
    }
    come_to_rest(&mut market);
    check::at_rest(&market);
    Outcome::of(&market)
}

/// Nobody wants anything new, and the gateway answers: every order reaches its end.
fn come_to_rest(market: &mut Market) {
    for _ in 0..ROUNDS_MAX {
        market.settle();
        if !market.answer_all_calls() && market.rests() {
            return market.audit();
        }
    }
    panic!("orders hang: {:?}", market.orders());
}

/// The markets of every `every`th seed, and what they must have met.
fn simulate_seeds(at: u64, every: u64) {
    let seeds = Seeds::of(0..SEEDS).share(at, every);
    let mut sum = Outcome::default();
    for outcome in seeds.simulate(|seed| simulate(seed, 0.003)) {
        sum.add(outcome);
    }
    if seeds.are_default() {
        check_what_was_met(&sum);
    }
}

fn check_what_was_met(sum: &Outcome) {
    use OrderStatus as S;
    let ends = [
        S::Confirmed,
        S::PartiallyShipped,
        S::Shipped,
        S::Delivered,
        S::Cancelled,
        S::Rejected,
        S::Expired,
        S::PaymentFailed,
    ];
    assert_eq!(sum.ends, BTreeSet::from(ends));
    for fault in COMMIT_FAULTS {
        assert!(sum.fired.contains_key(&fault), "{fault:?} never struck");
    }
    for (count, what) in [
        (sum.refunds as u64, "refunds"),
        (sum.crashes, "crashes"),
        (sum.crashes_after_flush, "crashes after a flush"),
        (sum.sessions_expired, "sessions expired"),
        (sum.transactions_timed_out, "transactions timed out"),
    ] {
        assert!(count > 20, "only {count} {what}");
    }
}

#[test]
fn without_faults_the_market_keeps_the_invariants() {
    Seeds::of(0..10).simulate(|seed| simulate(seed, 0.0));
}

#[test]
fn first_half_of_the_seeds_keeps_the_invariants() {
    simulate_seeds(0, 2);
}

#[test]
fn second_half_of_the_seeds_keeps_the_invariants() {
    simulate_seeds(1, 2);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..3 {
        let digest = |seed| simulate(seed, 0.003).digest;
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
}

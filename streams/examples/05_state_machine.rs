//! Lesson 5, a saga as a pure state machine: (state, event, time) -> (state, effects, deadline).
//!
//! The rule knows the trait [`Transition`] and no more of the engine. `transition` gives it a store, delivers its deadlines, and makes its
//! effects a stream, all in the transaction of the event that caused them.
//!
//! `cargo run -p millrace-streams --example 05_state_machine`

use std::error::Error;
use std::time::Duration;

use millrace_streams::{Step, Store, Timestamp, Topic, Topology, TopologyTestDriver, Transition};

const EVENTS: Topic<u64, String> = Topic::new("booking-events");
const ANSWERS: Topic<u64, String> = Topic::new("booking-answers");
const BOOKINGS: Store<u64, String> = Store::new("booking");
const DEADLINES: Store<u64, i64> = Store::new("booking-deadlines");

/// A booking that is not paid within a minute is given free.
struct Booking;

impl Transition for Booking {
    type Key = u64;
    type State = String;
    type Event = String;
    type Effect = String;

    fn on_event(
        &self,
        _: &u64,
        state: Option<String>,
        event: &String,
        at: Timestamp,
    ) -> Step<String, String> {
        let was = state.unwrap_or_else(|| "free".to_owned());
        match (was.as_str(), event.as_str()) {
            ("free", "book") => step(
                "held",
                &["hold the seat"],
                Some(at + Duration::from_secs(60)),
            ),
            ("held", "pay") => step("booked", &["send the ticket"], None),
            // Everything else is no news: the state stays, and so does its deadline.
            ("held", _) => step("held", &[], Some(at + Duration::from_secs(60))),
            (was, _) => step(was, &[], None),
        }
    }

    fn on_deadline(&self, _: &u64, _: String, _: Timestamp) -> Step<String, String> {
        step("free", &["release the seat"], None)
    }
}

fn step(state: &str, effects: &[&str], deadline: Option<Timestamp>) -> Step<String, String> {
    Step {
        state: Some(state.to_owned()),
        effects: effects.iter().copied().map(str::to_owned).collect(),
        deadline,
    }
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::define("bookings", |t| {
        t.stream(EVENTS)
            .transition(BOOKINGS, DEADLINES, Booking)
            .to(ANSWERS);
    })?;
    let mut driver = TopologyTestDriver::new(&topology)?;
    let at = Timestamp::from_millis(0);
    for (seat, event) in [(1, "book"), (2, "book"), (1, "pay"), (1, "pay")] {
        driver.input(EVENTS).pipe(&seat, &event.to_owned(), at)?;
    }
    driver.advance_wall_clock(Duration::from_secs(61))?;

    let answers = driver.output(ANSWERS).read_key_values()?;
    for (seat, answer) in &answers {
        println!("seat {seat}: {answer}");
    }
    let expected = [
        (1, "hold the seat"),
        (2, "hold the seat"),
        (1, "send the ticket"),
        (2, "release the seat"),
    ];
    assert_eq!(
        answers,
        expected.map(|(seat, text)| (seat, text.to_owned()))
    );
    Ok(())
}

//! Records and ticks that fail half way: nothing of a failed record stays, and time goes on as if it
//! had not been there.

use std::time::Duration;

use millrace_streams::headers::Headers;
use millrace_streams::{
    InitContext, KeyValueStore, ProcessError, ProcessResult, Processor, ProcessorContext,
    Punctuation, PunctuationKind, Record, Step, Store, TestDriverOptions, Timestamp, Topic,
    Topology, TopologyTestDriver, Transition,
};

const EVENTS: Topic<String, i64> = Topic::new("events");
const EFFECTS: Topic<String, String> = Topic::new("effects");
const SUMS: Store<String, i64> = Store::new("sums");
const DEADLINES: Store<String, i64> = Store::new("sums-deadlines");

/// An effect that the operator behind the state machine refuses.
const REFUSED: i64 = -13;
/// An effect of which too large a record is made.
const LONG: i64 = 600;
const BYTES_MAX: usize = 500;

/// Sums the events; each has two effects, itself last. A sum's deadline is a second away.
struct Summing;

impl Transition for Summing {
    type Key = String;
    type State = i64;
    type Event = i64;
    type Effect = i64;

    fn on_event(&self, _: &String, sum: Option<i64>, event: &i64, at: Timestamp) -> Step<i64, i64> {
        let sum = sum.unwrap_or(0) + event;
        Step {
            state: Some(sum),
            effects: vec![sum, *event],
            deadline: Some(at + Duration::from_secs(1)),
        }
    }

    fn on_deadline(&self, _: &String, sum: i64, _: Timestamp) -> Step<i64, i64> {
        Step {
            state: None,
            effects: vec![sum],
            deadline: None,
        }
    }
}

/// Passes all on but what it refuses.
struct Refusing;

impl Processor<String, i64, String, i64> for Refusing {
    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        if *record.value == REFUSED {
            return Err(ProcessError::Rejected("unlucky".into()));
        }
        cx.forward(record)
    }
}

fn sums() -> TopologyTestDriver {
    let topology = Topology::define("sums", |t| {
        t.stream(EVENTS)
            .transition(SUMS, DEADLINES, Summing)
            .process((), |()| Refusing)
            .map_values(|_, effect| match *effect {
                LONG => "-".repeat(BYTES_MAX),
                effect => effect.to_string(),
            })
            .to(EFFECTS);
    });
    let mut options = TestDriverOptions::default();
    options.record_bytes_max = BYTES_MAX;
    let topology = topology.expect("the topology is sound");
    TopologyTestDriver::with_options(&topology, options).expect("a driver")
}

fn pipe(driver: &mut TopologyTestDriver, key: &str, value: i64) {
    let piped = driver
        .input(EVENTS)
        .pipe(&key.to_owned(), &value, Timestamp::from_millis(5));
    piped.expect("the task goes on");
}

fn effects(driver: &mut TopologyTestDriver) -> Vec<String> {
    driver.output(EFFECTS).read_values().expect("effects")
}

#[test]
fn an_event_whose_effect_is_refused_changes_no_state_and_has_no_effect() {
    let mut driver = sums();
    pipe(&mut driver, "a", 1);
    pipe(&mut driver, "a", REFUSED);
    let letter = driver.dead_letters().read().expect("bytes");
    let letter = letter.expect("the event is a dead letter");
    let says = |name| letter.headers.view().text(name);
    assert_eq!(says("__streams.errors.exception"), Some("rejected"));
    assert_eq!(says("__streams.errors.offset"), Some("1"));
    assert_eq!(says("__streams.errors.output"), None);
    pipe(&mut driver, "a", 2);
    assert_eq!(effects(&mut driver), ["1", "1", "3", "2"]);
    assert!(driver.dead_letters().is_empty());
}

/// Tells the stream time at every punctuation.
struct Clockwork {
    last: KeyValueStore<String, i64>,
}

impl Processor<String, i64, String, i64> for Clockwork {
    fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
        cx.schedule(PunctuationKind::StreamTime, Duration::from_secs(10));
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        self.last.put(cx, record.key, record.value)
    }

    fn punctuate(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        punctuation: Punctuation,
    ) -> ProcessResult {
        let (key, at) = ("punctuated".to_owned(), punctuation.at);
        cx.forward(Record::new(&key, &at.as_millis(), at))
    }
}

fn clockwork() -> TopologyTestDriver {
    let topology = Topology::define("clockwork", |t| {
        let events = t.stream(EVENTS);
        events
            .process(SUMS, |last| Clockwork { last })
            .map_values(|_, at| at.to_string())
            .to(EFFECTS);
    });
    TopologyTestDriver::new(&topology.expect("the topology is sound")).expect("a driver")
}

/// Pipes a value as bytes, at this second.
fn pipe_at(driver: &mut TopologyTestDriver, value: &[u8], second: i64) {
    let at = Timestamp::from_millis(second * 1_000);
    let piped = driver.pipe_raw(EVENTS.name(), Some(b"a"), Some(value), Headers::EMPTY, at);
    piped.expect("the task goes on");
}

#[test]
fn a_stream_time_punctuation_runs_at_the_first_record_and_keeps_step() {
    let mut driver = clockwork();
    let value = 1_i64.to_be_bytes();
    for second in [3, 9, 10, 14, 35, 39, 40] {
        pipe_at(&mut driver, &value, second);
    }
    assert_eq!(effects(&mut driver), ["3000", "10000", "35000", "40000"]);
}

#[test]
fn a_record_that_cannot_be_read_does_not_move_stream_time() {
    let mut driver = clockwork();
    pipe_at(&mut driver, &1_i64.to_be_bytes(), 3);
    pipe_at(&mut driver, b"no number", 3_600);
    assert_eq!(effects(&mut driver), ["3000"]);
    pipe_at(&mut driver, &1_i64.to_be_bytes(), 11);
    assert_eq!(effects(&mut driver), ["11000"]);
}

#[test]
fn an_output_of_a_deadline_that_is_too_large_is_set_aside_alone() {
    let mut driver = sums();
    for _ in 0..2 {
        pipe(&mut driver, "a", LONG / 2);
    }
    let of_record = driver.dead_letters().read().expect("bytes");
    let of_record = of_record.expect("the second sum is too long");
    assert_eq!(of_record.value, Some((LONG / 2).to_be_bytes().into()));
    let ticked = driver.advance_wall_clock(Duration::from_secs(2));
    ticked.expect("the task goes on");
    let letter = driver.dead_letters().read().expect("bytes");
    let letter = letter.expect("the sum is told again at its deadline");
    let says = |name| letter.headers.view().text(name);
    assert_eq!(says("__streams.errors.output"), Some("effects"));
    assert_eq!(says("__streams.errors.offset"), Some("-1"));
    assert_eq!((letter.key, letter.value), (Some(b"a".to_vec()), None));
    assert_eq!(effects(&mut driver), ["300", "300", "300"]);
    let mut sums = driver.store(SUMS).expect("a store");
    assert_eq!(sums.all().expect("readable"), [], "the deadline is done");
}

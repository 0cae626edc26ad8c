//! Lesson 4, the Processor API: an operator of one's own, with a store and a timer.
//!
//! It holds a reading back until the sensor has been quiet for a minute of stream time, and then
//! tells the last one. Time comes with the records, so a replay tells the same.
//!
//! `cargo run -p millrace-streams --example 04_processor`

use std::error::Error;
use std::time::Duration;

use millrace_streams::{
    InitContext, KeyValueStore, ProcessResult, Processor, ProcessorContext, Punctuation,
    PunctuationKind, Record, Store, Timestamp, Topic, Topology, TopologyTestDriver,
};

const READINGS: Topic<String, i64> = Topic::new("readings");
const SETTLED: Topic<String, i64> = Topic::new("settled-readings");
const LAST: Store<String, i64> = Store::new("last-reading");

struct Debounce {
    last: KeyValueStore<String, i64>,
    quiet: Duration,
}

impl Processor<String, i64, String, i64> for Debounce {
    fn init(&mut self, cx: &mut InitContext<'_>) -> ProcessResult {
        cx.schedule(PunctuationKind::StreamTime, Duration::from_secs(10));
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        record: Record<'_, String, i64>,
    ) -> ProcessResult {
        // The store keeps the time of the record beside the value.
        self.last.put(cx, record.key, record.value)
    }

    fn punctuate(
        &mut self,
        cx: &mut ProcessorContext<'_, String, i64>,
        due: Punctuation,
    ) -> ProcessResult {
        for (sensor, _) in self.last.all(cx)? {
            let Some(reading) = self.last.get_timestamped(cx, &sensor)? else {
                continue;
            };
            if due.at.since(reading.timestamp) >= self.quiet {
                cx.forward(Record::new(&sensor, &reading.value, reading.timestamp))?;
                self.last.delete(cx, &sensor)?;
            }
        }
        Ok(())
    }
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let quiet = Duration::from_secs(60);
    let topology = Topology::define("debounce", |t| {
        t.stream(READINGS)
            .process(LAST, move |last| Debounce { last, quiet })
            .to(SETTLED);
    })?;
    let mut driver = TopologyTestDriver::new(&topology)?;
    let second = |n: i64| Timestamp::from_millis(n * 1_000);
    for (sensor, value, at) in [("a", 1, 0), ("a", 2, 5), ("b", 7, 40), ("b", 8, 80)] {
        driver
            .input(READINGS)
            .pipe(&sensor.to_owned(), &value, second(at))?;
    }
    let settled = driver.output(SETTLED).read_all()?;
    for reading in &settled {
        println!(
            "{}: {} at {}",
            reading.key, reading.value, reading.timestamp
        );
    }
    assert_eq!(settled.len(), 1, "only `a` has been quiet for a minute");
    assert_eq!((settled[0].value, settled[0].timestamp), (2, second(5)));
    Ok(())
}

//! What the micro benches share: they measure processor time, which other processes on the machine
//! disturb far less than they disturb the clock on the wall.

#![allow(dead_code, reason = "each bench takes what it needs")]

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// The processor time of all threads of this process.
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        spent()
    }

    fn end(&self, start: Duration) -> Duration {
        // The harness divides by what a sample took.
        spent().saturating_sub(start).max(Duration::from_nanos(1))
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn spent() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or(0),
    )
}

/// Measures for about three seconds each.
pub(crate) fn brief<M: Measurement>(harness: Criterion<M>) -> Criterion<M> {
    harness
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
}

/// A harness that measures processor time.
pub(crate) fn harness() -> Criterion<CpuTime> {
    brief(Criterion::default().with_measurement(CpuTime))
}

/// True if each bench is only to be shown to run, as `cargo test --benches` does.
pub(crate) fn is_test() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

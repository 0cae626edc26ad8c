//! The clock of the measurements.

use std::time::{Duration, Instant};

/// The moment of the call.
#[expect(clippy::disallowed_methods, reason = "measuring needs a clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits.
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured shall not be disturbed by looking at it"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

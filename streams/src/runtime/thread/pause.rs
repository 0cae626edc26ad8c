//! How long to wait before something that has failed is tried again.

use std::time::Duration;

/// The first pause; it doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The pause after so many others: twice the one before, and at most `longest`.
pub(super) fn doubled(times: u32, longest: Duration) -> Duration {
    PAUSE_MIN.saturating_mul(1 << times.min(16)).min(longest)
}

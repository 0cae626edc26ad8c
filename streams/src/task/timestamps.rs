//! Timestamps that cannot be true: records from a far future, or from before 1970.

use std::time::Duration;

use crate::error::ProcessError;
use crate::serde::SerdeError;
use crate::time::Timestamp;

/// How far records may be ahead of the wall clock, and what happens to those that are further.
///
/// Stream time is the largest timestamp that a task has seen. A single record from the year 2036
/// would move it there, close every window and fire every stream-time punctuation at once; so such
/// a record does not move it. The wall clock is the one that ticks deliver, so the limit is as
/// exact as the ticks are frequent: 10 ms on a stream thread. A record that is not ahead of stream
/// time is never touched, whatever the wall clock shows.
///
/// A record with a negative timestamp has none: it goes to the deserialization handler, under every
/// policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampPolicy {
    /// How far a timestamp may be ahead of the wall clock: a day by default. A Kafka broker itself
    /// refuses what is more than an hour ahead, unless it is told otherwise.
    pub skew_max: Duration,
    /// What happens to records that are further ahead.
    pub beyond: BeyondSkew,
}

/// What to do with a record whose timestamp is too far in the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeyondSkew {
    /// Process it as if it were from now, by the wall clock; count it in
    /// `clamped_timestamps_total`. What follows from it carries that time too.
    #[default]
    Clamp,
    /// Hand it to the deserialization handler, which sets it aside by default.
    Refuse,
}

impl TimestampPolicy {
    /// Takes every timestamp from 0 on as it is.
    pub const UNLIMITED: Self = Self {
        skew_max: Duration::MAX,
        beyond: BeyondSkew::Clamp,
    };

    /// The latest timestamp that is taken as it is while the wall clock shows `now`.
    pub(crate) fn latest(&self, now: Timestamp) -> Timestamp {
        now + self.skew_max
    }

    /// What a record counts as whose timestamp is negative or later than the latest.
    pub(crate) fn correct(
        &self,
        timestamp: Timestamp,
        now: Timestamp,
    ) -> Result<Timestamp, ProcessError> {
        let reason = if timestamp < Timestamp::from_millis(0) {
            format!("timestamp {timestamp}")
        } else if self.beyond == BeyondSkew::Clamp {
            metrics::counter!("clamped_timestamps_total").increment(1);
            return Ok(now);
        } else {
            format!("timestamp {timestamp} is too far ahead of the wall clock, which shows {now}")
        };
        let what = "record";
        Err(ProcessError::Input(SerdeError::Malformed { what, reason }))
    }
}

impl Default for TimestampPolicy {
    fn default() -> Self {
        Self {
            skew_max: Duration::from_secs(24 * 60 * 60),
            beyond: BeyondSkew::default(),
        }
    }
}

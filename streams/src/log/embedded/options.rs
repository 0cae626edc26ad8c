//! The limits and periods of an embedded log.

use std::time::{Duration, SystemTime};

use crate::time::Timestamp;

/// How an embedded log behaves. The defaults suit a server with a few hundred partitions.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// A journal file is closed and the next one begun at this size.
    pub segment_bytes: u64,
    /// The largest record that is taken: key, value and encoded headers together.
    pub record_bytes_max: usize,
    /// The largest transaction; a member that sends more must commit more often.
    pub transaction_bytes_max: usize,
    /// What may wait to be written, of all members and writers; members wait when it is full, and
    /// writers are told that the log is unavailable.
    pub queue_bytes_max: usize,
    /// The newest records that are kept in memory, of all partitions.
    pub cache_bytes_max: usize,
    /// What one fetch of a [`crate::log::Reader`] brings at most, but always a whole record. A
    /// member's limit is in its seat.
    pub reader_fetch_bytes_max: usize,
    /// How long a compacted topic keeps a tombstone after it was appended, so that a slow reader
    /// still sees it.
    pub delete_retention: Duration,
    /// How often the cleaner looks for work; `None` leaves it to
    /// [`EmbeddedLog::clean`](super::EmbeddedLog::clean).
    pub clean_interval: Option<Duration>,
    /// A compacted partition is cleaned when this part of its closed segments, in percent of
    /// bytes, has not been cleaned yet.
    pub dirty_percent_min: u8,
    /// The memory that one run of the cleaner takes for keys; what does not fit waits for the
    /// next run.
    pub cleaner_bytes_max: usize,
    /// Whether opening the log checks every record of every segment. Otherwise it checks the last
    /// segment and the directories of the others, and reading checks the rest.
    pub verify_on_open: bool,
    /// The clock by which records grow old.
    pub clock: fn() -> Timestamp,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            record_bytes_max: 1 << 20,
            transaction_bytes_max: 256 << 20,
            queue_bytes_max: 64 << 20,
            cache_bytes_max: 64 << 20,
            reader_fetch_bytes_max: 4 << 20,
            delete_retention: Duration::from_hours(24),
            clean_interval: Some(Duration::from_secs(15)),
            dirty_percent_min: 50,
            cleaner_bytes_max: 64 << 20,
            verify_on_open: false,
            clock: wall_clock,
        }
    }
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

//! An application's configuration.

use std::time::Duration;

use crate::log::OffsetReset;
use crate::serde::Resources;
use crate::task::{ErrorHandling, TimestampPolicy};

/// What an application may be told besides its topology. Every limit has a default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamsConfig {
    /// The number of stream threads (`num.stream.threads`).
    pub stream_threads: usize,
    /// The longest that something processed stays uncommitted under load (`commit.interval.ms`).
    pub commit_interval: Duration,
    /// The shortest time between two commits for the sake of latency alone.
    pub early_commit_interval: Duration,
    /// The bytes of output and store writes of a stream thread that force a commit.
    pub commit_bytes_max: usize,
    /// The most that key, value and headers of a record may take: 999 000 bytes by default, what a
    /// Kafka client sends at most, less a record's frame.
    pub record_bytes_max: usize,
    /// The bytes that may wait in the client's fetch queues, per stream thread.
    pub fetch_bytes_max: usize,
    /// The bytes that may wait in one input queue of a task before its partition is paused.
    pub queue_bytes_max: usize,
    /// How long a transaction may stay open before the log aborts it.
    pub transaction_timeout: Duration,
    /// Where to begin in a source partition with no committed offset.
    pub offset_reset: OffsetReset,
    /// What to do with bad records.
    pub errors: ErrorHandling,
    /// How far records may be ahead of the wall clock.
    pub timestamps: TimestampPolicy,
    /// How often a task that panics, or fails in a punctuation, is made anew and tried again before
    /// the application stops; with a pause that doubles each time. A panic at a record does not
    /// count, unless the process handler fails: the record is set aside.
    pub panic_retries: u32,
    /// How long the store of a task that is not held here any more is kept, in case the task comes
    /// back (`state.cleanup.delay.ms`): 10 minutes by default. [`Duration::MAX`]: for ever.
    pub cleanup_delay: Duration,
    /// What serdes find by type: a schema registry's client, for instance.
    pub resources: Resources,
    /// Where other instances reach this one's queries, if it serves any.
    pub endpoint: Option<(String, u16)>,
}

impl Default for StreamsConfig {
    fn default() -> Self {
        Self {
            stream_threads: 1,
            commit_interval: Duration::from_millis(100),
            early_commit_interval: Duration::from_millis(2),
            commit_bytes_max: 16 << 20,
            record_bytes_max: 999_000,
            fetch_bytes_max: 16 << 20,
            queue_bytes_max: 2 << 20,
            transaction_timeout: Duration::from_secs(10),
            offset_reset: OffsetReset::Earliest,
            errors: ErrorHandling::default(),
            timestamps: TimestampPolicy::default(),
            panic_retries: 5,
            cleanup_delay: Duration::from_secs(600),
            resources: Resources::new(),
            endpoint: None,
        }
    }
}

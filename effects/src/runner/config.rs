//! The runner's configuration.

use std::time::Duration;

use millrace_streams::serde::Resources;

use super::RetryPolicy;

/// What an effect runner may be told. Every limit has a default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EffectsConfig {
    /// How many calls run at once, in this instance.
    pub concurrency: usize,
    /// How many events of one partition wait or run before it is paused.
    pub window: usize,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How often, and how soon, a failed call is made again.
    pub retry: RetryPolicy,
    /// The shortest time between two commits.
    pub commit_interval: Duration,
    /// How long calls may go on when their partition goes to another instance, or at the end.
    pub drain: Duration,
    /// The longest wait for events when no call runs.
    pub idle_wait: Duration,
    /// The longest wait for a call to end before looking for events again.
    pub busy_wait: Duration,
    /// The most that key, value and headers of a result may take.
    pub record_bytes_max: usize,
    /// The bytes that may wait in the log's fetch queues.
    pub fetch_bytes_max: usize,
    /// How long a transaction may stay open before the log aborts it.
    pub transaction_timeout: Duration,
    /// What serdes find by type: a schema registry's client, for instance.
    pub resources: Resources,
}

impl Default for EffectsConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            window: 1_000,
            attempt_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            commit_interval: Duration::from_millis(5),
            drain: Duration::from_secs(5),
            idle_wait: Duration::from_millis(50),
            busy_wait: Duration::from_millis(5),
            record_bytes_max: 1_000_000,
            fetch_bytes_max: 4 << 20,
            transaction_timeout: Duration::from_secs(10),
            resources: Resources::new(),
        }
    }
}

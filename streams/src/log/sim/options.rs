//! What a simulated cluster is set to, and what it counts.

use std::time::Duration;

use super::faults::FaultRates;

/// The settings of a simulated cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct SimOptions {
    /// A member that calls nothing for longer than this loses its seat.
    pub session_timeout: Duration,
    /// How many warm copies of each task the group keeps, as far as there are other processes.
    pub standby_replicas: usize,
    /// The largest record, in bytes of key, value and headers, that a topic takes.
    pub record_bytes_max: usize,
    /// How often faults strike.
    pub faults: FaultRates,
}

impl Default for SimOptions {
    /// Kafka's own defaults: a session of 45 s, no standbys, records up to 1 MiB; and no faults.
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            standby_replicas: 0,
            record_bytes_max: 1 << 20,
            faults: FaultRates::none(),
        }
    }
}

/// What faults and time have led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimCounters {
    /// Members that lost their seat because they were silent for too long.
    pub sessions_expired: u64,
    /// Members whose process was killed, by a fault or from outside.
    pub members_killed: u64,
    /// Transactions that the broker aborted because they took too long.
    pub transactions_timed_out: u64,
    /// Late commits that came before a recovery, and took effect.
    pub late_ends_applied: u64,
    /// Late commits that came after a recovery, and were refused.
    pub late_ends_fenced: u64,
    /// Writes and commits of a producer whose epoch was an old one.
    pub producers_fenced: u64,
    /// Commits of offsets by a member that did not own the partition.
    pub offset_commits_refused: u64,
}

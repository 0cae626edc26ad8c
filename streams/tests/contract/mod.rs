//! The contract of the log port: one suite that every implementation passes.
//!
//! Each function of the modules below tests one sentence of the port's documentation. A test file
//! per implementation implements [`Harness`] and calls [`contract_suite!`], which makes one test of
//! each function:
//!
//! ```ignore
//! #[macro_use]
//! mod contract;
//! contract_suite!(MyHarness);
//! ```
//!
//! Logs may answer at once or block, and run threads: the suite polls with a deadline, and calls
//! [`Harness::settle`] in between.

#![allow(
    clippy::disallowed_methods,
    reason = "logs with threads are polled, up to a deadline"
)]

pub(crate) mod fetching;
pub(crate) mod groups;
pub(crate) mod kit;
pub(crate) mod records;
pub(crate) mod topics;
pub(crate) mod transactions;

use std::time::Duration;

use millrace_streams::log::{Log, Offset, TopicPartition};

/// A log under test, and what it can do.
pub(crate) trait Harness: Sized {
    /// Whether members lose their seats when they are silent.
    const HAS_SESSIONS: bool = false;
    /// Whether records can be deleted from outside.
    const DELETES_RECORDS: bool = false;

    /// Makes a fresh log, or connects to one. `Err` says which server is not installed here, and
    /// nothing else: what goes wrong with one that is there is a failure.
    fn start() -> Result<Self, String>;

    /// The log.
    fn log(&self) -> &dyn Log;

    /// A name that no other test uses on this log.
    fn unique(&self, name: &str) -> String {
        name.to_owned()
    }

    /// What to do between two polls: a short sleep, or a step of virtual time.
    fn settle(&self);

    /// How long to poll for something that must come.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// The largest record that the log takes, in bytes.
    fn record_bytes_max(&self) -> usize {
        1 << 20
    }

    /// The earliest timestamp that the log keeps as it is, in milliseconds.
    fn timestamp_min_ms(&self) -> i64 {
        0
    }

    /// How many bytes a fetch may bring beyond `fetch_bytes_max`, apart from its last record.
    fn fetch_bytes_slack(&self) -> usize {
        0
    }

    /// How many standbys the group keeps of each task.
    fn standby_replicas(&self) -> usize {
        0
    }

    /// Whether records of an open transaction take offsets already.
    fn writes_before_commit(&self) -> bool {
        true
    }

    /// Lets the session of this member end while it is silent.
    fn end_session(&self, member_id: &str) {
        unimplemented_capability("sessions", member_id);
    }

    /// Deletes the records of a partition before `before`.
    fn delete_records(&self, partition: &TopicPartition, _before: Offset) {
        unimplemented_capability("deletion of records", &partition.to_string());
    }
}

fn unimplemented_capability(what: &str, of: &str) {
    panic!("the harness says nothing of {what} ({of})");
}

/// Runs one function of the suite on a fresh log.
pub(crate) fn run<H: Harness>(test: fn(&H)) {
    match H::start() {
        Ok(harness) => test(&harness),
        Err(reason) => eprintln!("SKIPPED: {reason}"),
    }
}

/// Makes one test of each function of the suite, for a type that implements [`Harness`].
macro_rules! contract_suite {
    ($harness:ty) => {
        contract_suite! { @tests $harness;
            topics {
                creating_topics_again_changes_nothing
                another_number_of_partitions_is_refused
                topics_are_listed_with_their_partitions
                deleted_topics_are_gone_with_their_records
                internal_topics_are_created_with_the_right_partitions
                missing_source_topic_is_reported_by_name
                joined_topics_with_unequal_partitions_are_refused
            }
            records {
                appended_records_are_read_back_at_their_positions
                records_of_a_key_keep_their_order
                null_and_empty_are_told_apart
                headers_and_timestamps_survive
                keys_go_where_the_java_client_puts_them
                a_record_that_is_too_large_is_refused
                an_output_that_is_too_large_is_refused
                fifty_thousand_records_are_one_commit
            }
            transactions {
                a_commit_shows_all_partitions_and_tells_their_last_offsets
                nothing_is_visible_before_the_commit
                recovered_output_is_never_visible
                an_open_transaction_is_recovered_from_without_effect
                offsets_and_metadata_are_read_back_by_the_next_owner
                offsets_of_an_aborted_transaction_are_not_committed
                a_second_commit_goes_on_from_the_first
                a_commit_of_nothing_succeeds
                a_commit_of_offsets_alone_is_kept
                nothing_is_committed_where_nobody_has_committed
            }
            groups {
                one_member_gets_every_task
                two_members_share_the_tasks
                a_member_without_tasks_is_told_so
                topics_that_are_read_together_go_to_the_same_member
                a_revoked_task_goes_over_only_when_it_is_confirmed
                a_task_can_be_committed_until_its_revocation_is_confirmed
                a_leaving_member_hands_its_tasks_over
                the_same_member_id_gets_its_tasks_back_at_once
                the_same_member_id_fences_the_incarnation_before
                offsets_of_a_task_of_somebody_else_are_refused
                a_silent_member_loses_its_tasks_and_can_rejoin
                standbys_are_kept_in_other_processes
                applications_do_not_see_each_other
            }
            fetching {
                a_paused_partition_brings_nothing_until_it_is_resumed
                a_fetch_is_bounded_in_bytes
                a_fetch_brings_one_batch_per_partition
                the_end_is_told_with_and_without_records
                the_position_jumps_over_markers_and_aborted_records
                bounds_tell_the_start_and_the_end
                the_position_reaches_the_high_watermark_when_what_was_open_has_ended
                fetching_goes_on_from_the_offset_assigned
                reading_what_is_gone_is_out_of_range
                recycled_batches_carry_nothing_over
                assigning_a_missing_partition_is_refused
            }
        }
    };
    (@tests $harness:ty; $($module:ident { $($test:ident)+ })+) => {
        $($(
            #[test]
            fn $test() {
                crate::contract::run::<$harness>(crate::contract::$module::$test);
            }
        )+)+
    };
}

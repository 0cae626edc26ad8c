//! The simulated log: the contract of the port, and what only a simulation can show.

#[macro_use]
mod contract;
#[path = "log_sim/commits.rs"]
mod commits;
#[path = "log_sim/copier.rs"]
mod copier;

use std::collections::BTreeMap;
use std::time::Duration;

use contract::Harness;
use contract::kit::{App, Client, append, offset, partition, record, task, topic};
use copier::{Run, run};
use millrace_streams::log::sim::{Fault, FaultRates, SimCounters, SimLog, SimOptions};
use millrace_streams::log::{
    Cleanup, CommitError, Isolation, Log, LogError, Offset, TopicPartition, TopicSpec,
};

struct Sim {
    log: SimLog,
}

impl Harness for Sim {
    const HAS_SESSIONS: bool = true;
    const DELETES_RECORDS: bool = true;

    fn start() -> Result<Self, String> {
        let options = SimOptions {
            standby_replicas: 1,
            ..SimOptions::default()
        };
        let log = SimLog::new(1, options);
        Ok(Self { log })
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn settle(&self) {
        self.log.advance(Duration::from_millis(10));
    }

    // Nothing has to be waited for in a simulation: what does not come soon never comes.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn standby_replicas(&self) -> usize {
        1
    }

    fn end_session(&self, member_id: &str) {
        assert!(self.log.remove_member(member_id), "it had a seat");
    }

    fn deletes_consumed(&self) -> bool {
        false
    }

    fn delete_records(&self, partition: &TopicPartition, before: Offset) {
        let deleted = self.log.delete_records(partition, before);
        deleted.expect("the partition exists");
    }
}

contract_suite!(Sim);

/// A member with one task that copies `input` to `output`.
struct Copy {
    h: Sim,
    app: App,
    client: Client,
    input: TopicPartition,
    output: TopicPartition,
}

impl Copy {
    fn start() -> Self {
        let h = Sim::start().expect("it always starts");
        let (input, output) = (topic(&h, "input", 1), topic(&h, "output", 1));
        let app = App::reading(&h, &[&input]);
        let client = app.join_alone(&h, "a", 1);
        Self {
            client,
            app,
            input: partition(&input, 0),
            output: partition(&output, 0),
            h,
        }
    }

    /// Sends `value` and commits it with the input offset `at`.
    fn copy(&mut self, value: &str, at: Offset) -> Result<(), CommitError> {
        // A send that is cut off at once is told by the commit again.
        let _told_twice = self.client.try_send(&self.output, "k", value.as_bytes());
        let offsets = [(self.input.clone(), offset(at, ""))];
        self.client.member.commit(&offsets).map(drop)
    }

    fn committed(&mut self) -> Option<Offset> {
        let committed = self.client.committed(&self.input);
        committed.map(|committed| committed.offset)
    }

    fn visible(&self) -> Vec<String> {
        visible(&self.h.log, &self.output.topic)
    }
}

fn visible(log: &SimLog, topic: &str) -> Vec<String> {
    let dumped = log.dump(topic, Isolation::ReadCommitted).into_iter();
    let values = dumped.map(|record| record.value.unwrap_or_default());
    values
        .map(|value| String::from_utf8(value).expect("text"))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let digests: Vec<u64> = (0..5).map(|seed| run(seed).digest).collect();
    let again: Vec<u64> = (0..5).map(|seed| run(seed).digest).collect();
    assert_eq!(digests, again);
    assert!(digests.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn every_fault_strikes_and_every_record_is_copied_exactly_once() {
    const SEEDS: u64 = 300;
    let mut fired = BTreeMap::<Fault, u64>::new();
    let mut sum = SimCounters::default();
    let (mut commits, mut failures) = (0, 0);
    for seed in 0..SEEDS {
        let outcome: Run = run(seed);
        commits += outcome.commits;
        failures += outcome.failures;
        for (fault, count) in outcome.fired {
            *fired.entry(fault).or_default() += count;
        }
        copier::add(&mut sum, outcome.counters);
    }
    for fault in Fault::ALL {
        let count = fired.get(fault).copied().unwrap_or(0);
        assert!(count >= 10, "{fault:?} struck {count} times");
    }
    assert!(commits > failures, "{commits} commits, {failures} failures");
    assert!(copier::all_happened(sum), "{sum:?}");
}

#[test]
fn an_unknown_commit_whose_reply_is_lost_has_its_effect() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::EndReplyLost);
    let answer = copy.copy("v", 1);
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    copy.client.recover(&copy.h);
    assert_eq!(copy.committed(), Some(1));
    assert_eq!(copy.visible(), ["v"]);
}

#[test]
fn an_unknown_commit_whose_request_is_lost_has_no_effect() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::EndLost);
    let answer = copy.copy("v", 1);
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    copy.client.recover(&copy.h);
    assert_eq!(copy.committed(), None);
    assert!(copy.visible().is_empty());
}

#[test]
fn a_late_commit_takes_effect_when_it_comes_before_the_recovery() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::EndLate);
    let answer = copy.copy("v", 1);
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    assert!(copy.visible().is_empty(), "not yet");
    copy.h.log.advance(Duration::from_secs(20));
    assert_eq!(copy.visible(), ["v"]);
    copy.client.recover(&copy.h);
    assert_eq!(copy.committed(), Some(1));
    assert_eq!(copy.h.log.counters().late_ends_applied, 1);
}

#[test]
fn a_late_commit_that_comes_after_the_recovery_does_not_touch_the_next_transaction() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::EndLate);
    copy.copy("lost", 1).expect_err("unknown");
    copy.client.recover(&copy.h);
    copy.client.send(&copy.output, "k", "next");
    copy.h.log.advance(Duration::from_secs(20));
    assert_eq!(copy.h.log.counters().late_ends_fenced, 1);
    assert!(copy.visible().is_empty(), "the next one is still open");
    copy.client.commit();
    assert_eq!(copy.visible(), ["next"]);
    assert_eq!(copy.committed(), None);
}

#[test]
fn a_commit_that_is_cut_off_anywhere_before_its_end_has_no_effect() {
    for fault in [
        Fault::SendCutOff,
        Fault::SendLost,
        Fault::CutBeforeOffsets,
        Fault::CutBeforeEnd,
        Fault::TransactionTimeout,
    ] {
        let mut copy = Copy::start();
        copy.h.log.inject(fault);
        let answer = copy.copy("lost", 1);
        assert!(
            matches!(
                answer,
                Err(CommitError::Aborted(_) | CommitError::Fenced(_))
            ),
            "{fault:?}: {answer:?}"
        );
        copy.client.recover(&copy.h);
        assert_eq!(copy.committed(), None, "{fault:?}");
        copy.copy("kept", 1).expect("committed");
        assert_eq!(copy.visible(), ["kept"], "{fault:?}");
        assert_eq!(copy.h.log.faults_fired(), BTreeMap::from([(fault, 1)]));
    }
}

#[test]
fn nothing_is_sent_or_committed_between_a_failed_commit_and_the_recovery() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::EndLost);
    copy.copy("lost", 1).expect_err("unknown");
    copy.client
        .try_send(&copy.output, "k", b"too soon")
        .expect_err("recover first");
    copy.client.member.commit(&[]).expect_err("recover first");
    copy.client.recover(&copy.h);
    assert!(copy.visible().is_empty());
}

#[test]
fn a_hanging_transaction_holds_back_readers_until_the_same_member_joins_again() {
    let mut copy = Copy::start();
    copy.client.send(&copy.output, "k", "hanging");
    copy.h.log.kill_member(&copy.client.id);
    append(&copy.h, vec![record(&copy.output.topic, "k", "behind")]);
    assert!(copy.visible().is_empty());
    let ends = copy.h.log.bounds(&copy.output, Isolation::ReadCommitted);
    assert_eq!(ends.map(|bounds| bounds.end), Ok(0));
    assert_eq!(copy.h.log.open_transactions().len(), 1);

    copy.client = copy.app.join_alone(&copy.h, "a", 1);
    assert_eq!(copy.visible(), ["behind"]);
    assert!(copy.h.log.open_transactions().is_empty());
}

#[test]
fn a_hanging_transaction_is_aborted_when_it_has_been_open_for_too_long() {
    let mut copy = Copy::start();
    copy.client.send(&copy.output, "k", "hanging");
    append(&copy.h, vec![record(&copy.output.topic, "k", "behind")]);
    copy.h.log.advance(Duration::from_secs(29));
    assert!(copy.visible().is_empty());
    copy.h.log.advance(Duration::from_secs(2));
    assert_eq!(copy.visible(), ["behind"]);
    assert_eq!(copy.h.log.counters().transactions_timed_out, 1);
    let answer = copy.client.member.commit(&[]);
    assert!(matches!(answer, Err(CommitError::Fenced(_))), "{answer:?}");
    copy.client.recover(&copy.h);
    copy.copy("next", 1).expect("it still has its seat");
}

#[test]
fn pending_offsets_of_a_dead_member_are_waited_for() {
    let mut copy = Copy::start();
    copy.h.log.inject(Fault::CutBeforeEnd);
    copy.copy("v", 1).expect_err("cut off");
    copy.h.log.kill_member(&copy.client.id);
    copy.h.log.remove_member(&copy.client.id);
    copy.client = copy.app.join_alone(&copy.h, "b", 1);
    let input = std::slice::from_ref(&copy.input);
    let answer = copy.client.member.committed(input);
    assert!(
        matches!(answer, Err(LogError::Unavailable(_))),
        "{answer:?}"
    );
    copy.h.log.advance(Duration::from_secs(31));
    assert_eq!(copy.committed(), None);
}

#[test]
fn a_zombie_writes_nothing_that_a_reader_of_committed_records_sees() {
    let mut copy = Copy::start();
    let mut heir = copy.app.join(&copy.h, "b");
    copy.client.send(&copy.output, "k", "zombie");
    copy.h.log.advance(Duration::from_secs(44));
    heir.poll();
    copy.h.log.advance(Duration::from_secs(2));
    assert_eq!(copy.h.log.counters().sessions_expired, 1);
    heir.await_active(&copy.h, 1);
    let answer = copy.copy("zombie", 1);
    assert!(matches!(answer, Err(CommitError::Fenced(_))), "{answer:?}");
    heir.send(&copy.output, "k", "heir");
    heir.commit_at(&copy.input, offset(1, ""));
    copy.client.member.recover().expect_err("its seat is gone");
    assert_eq!(copy.visible(), ["heir"]);
    let all = copy.h.log.dump("output", Isolation::ReadUncommitted);
    assert!(all.len() > 1, "the zombie did write");
}

#[test]
fn a_member_that_lost_its_seat_ends_its_transaction_when_it_recovers() {
    let mut copy = Copy::start();
    copy.client.send(&copy.output, "k", "open");
    copy.h.log.inject(Fault::MemberRemoved);
    let lost = copy.client.member.poll_assignment();
    assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
    assert_eq!(copy.h.log.open_transactions().len(), 1);
    let lost = copy.client.member.recover();
    assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
    assert!(copy.h.log.open_transactions().is_empty());
}

#[test]
fn a_zombie_without_input_offsets_is_not_stopped_by_the_group() {
    // As with a real cluster: the group sees only commits of offsets. The transactional id is
    // another one, so an engine must never commit outputs without the offsets they come from.
    let mut copy = Copy::start();
    copy.client.send(&copy.output, "k", "zombie");
    copy.h.log.remove_member(&copy.client.id);
    copy.client.commit();
    assert_eq!(copy.visible(), ["zombie"]);
}

#[test]
fn an_older_incarnation_cannot_take_its_seat_back() {
    let mut copy = Copy::start();
    let _new = copy.app.join_alone(&copy.h, "a", 1);
    let lost = copy.client.member.recover();
    assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
    let refused = copy.client.member.rejoin();
    assert!(matches!(refused, Err(LogError::Config(_))), "{refused:?}");
}

#[test]
fn a_killed_member_changes_nothing_any_more() {
    let mut copy = Copy::start();
    let before = copy.h.log.digest();
    copy.h.log.kill_member(&copy.client.id);
    copy.copy("dead", 1).expect_err("it is dead");
    copy.client.member.leave().expect_err("it is dead");
    assert_eq!(copy.h.log.digest(), before);
    assert_eq!(copy.h.log.members(&copy.app.id), [copy.client.id.as_str()]);
}

#[test]
fn a_forced_rebalance_moves_one_task_and_loses_none() {
    let h = Sim::start().expect("it always starts");
    let input = topic(&h, "input", 4);
    let app = App::reading(&h, &[&input]);
    let (mut a, mut b) = (app.join(&h, "a"), app.join(&h, "b"));
    contract::kit::share(&h, 4, &mut a, &mut b);
    h.log.rebalance(&app.id);
    contract::kit::poll_until(&h, "three and one", &mut [&mut a, &mut b], |clients| {
        let loads: Vec<_> = clients.iter().map(|c| c.held.active.len()).collect();
        loads.contains(&3) && loads.contains(&1)
    });
    let mut all: Vec<_> = a.active().into_iter().chain(b.active()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..4).map(task).collect::<Vec<_>>());
}

#[test]
fn a_task_that_was_moved_while_its_member_was_dead_is_free_when_the_member_is_back() {
    let mut copy = Copy::start();
    let mut heir = copy.app.join(&copy.h, "b");
    heir.poll();
    copy.h.log.kill_member(&copy.client.id);
    copy.h.log.rebalance(&copy.app.id);
    heir.poll();
    assert!(heir.active().is_empty(), "the dead one has not let go");
    copy.client = copy.app.join(&copy.h, "a");
    contract::kit::poll_until(
        &copy.h,
        "the heir's task",
        &mut [&mut copy.client, &mut heir],
        |clients| {
            clients
                .last()
                .is_some_and(|heir| heir.held.active.len() == 1)
        },
    );
}

#[test]
fn a_topic_that_was_made_anew_is_out_of_range() {
    let mut copy = Copy::start();
    let input = copy.input.topic.clone();
    append(&copy.h, vec![record(&input, "k", "old")]);
    let at_end = [(copy.input.clone(), 1)];
    copy.client.member.assign(&at_end).expect("assigned");
    copy.h.log.delete_topics(&[&input]).expect("deleted");
    topic(&copy.h, "input", 1);
    append(&copy.h, vec![record(&input, "k", "new"); 2]);
    let answer = copy.client.member.fetch(Duration::ZERO, &mut Vec::new());
    let expected = LogError::OffsetOutOfRange {
        partition: copy.input.clone(),
        wanted: 1,
        start: 0,
    };
    assert_eq!(answer, Err(expected));
}

#[test]
fn only_a_compacted_topic_is_compacted() {
    let h = Sim::start().expect("it always starts");
    let changelog = TopicSpec {
        name: "changelog".into(),
        partitions: 1,
        cleanup: Cleanup::Compact,
    };
    h.log.create_topics(&[changelog]).expect("created");
    topic(&h, "events", 1);
    for name in ["changelog", "events"] {
        let text = |value| record(&name.into(), "k", value);
        append(&h, vec![text("1"), text("2")]);
        h.log.compact(name);
    }
    assert_eq!(visible(&h.log, "changelog"), ["2"]);
    assert_eq!(visible(&h.log, "events"), ["1", "2"]);
}

#[test]
fn a_quiet_log_ends_no_session_and_fires_no_fault() {
    let h = Sim {
        log: SimLog::quiet(),
    };
    let input = topic(&h, "input", 1);
    let mut client = App::reading(&h, &[&input]).join_alone(&h, "a", 1);
    h.log.advance(Duration::from_secs(1_000_000));
    client.commit_at(&partition(&input, 0), offset(1, ""));
    assert_eq!(h.log.counters(), SimCounters::default());
    assert!(h.log.faults_fired().is_empty());
}

#[test]
fn a_scripted_fault_waits_for_the_member_it_names() {
    let mut copy = Copy::start();
    copy.h.log.inject_for(Fault::EndLost, "somebody-else");
    copy.copy("v", 1).expect("not meant for this one");
    let id = copy.client.id.clone();
    copy.h.log.inject_for(Fault::EndLost, &id);
    copy.copy("w", 2).expect_err("meant for this one");
    assert_eq!(copy.visible(), ["v"]);
}

#[test]
fn rates_are_probabilities() {
    let faults = FaultRates::none().with(Fault::AppendLost, 1.0);
    let options = SimOptions {
        faults,
        ..SimOptions::default()
    };
    let h = Sim {
        log: SimLog::new(7, options),
    };
    let name = topic(&h, "topic", 1);
    let writer = h.log.writer("w").expect("a writer");
    let answer = futures::executor::block_on(writer.append(record(&name, "k", "v")));
    assert!(
        matches!(answer, Err(LogError::Unavailable(_))),
        "{answer:?}"
    );
    h.log.stop_faults();
    append(&h, vec![record(&name, "k", "w")]);
    assert_eq!(visible(&h.log, "topic"), ["w"]);
}

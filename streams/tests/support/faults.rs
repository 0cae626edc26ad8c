//! What a broker does that fails, restarts, answers late or cannot do what is asked.

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use millrace_deploy::{Kafka, KafkaOptions as BrokerOptions, require_with};
use millrace_streams::log::kafka::{KafkaLog, KafkaOptions};
use millrace_streams::log::{CommitError, HeldTasks, Log, LogError};

use super::proxy::{END_TXN, Fault, Proxy};
use crate::contract::Harness;
use crate::contract::kit::{
    App, Client, assert_shows_nothing, eventually, offset, partition, topic, values,
};

/// A time-out that makes a test of time-outs short.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest that a commit may take then: three calls, and the watchdog's patience.
const COMMIT_LIMIT: Duration = Duration::from_secs(12);

/// A broker of one test's own, to do something to it.
struct Own {
    broker: RefCell<Kafka>,
    log: KafkaLog,
}

impl Own {
    fn start_with(broker: BrokerOptions, proxy: Option<&Proxy>) -> Option<Self> {
        let broker = match proxy {
            None => broker,
            Some(proxy) => {
                let advertised = format!("PLAINTEXT://{}", proxy.address());
                broker.with("advertised.listeners", &advertised)
            }
        };
        let mut broker: Kafka = require_with(broker)?;
        let address = match proxy {
            None => broker.bootstrap(),
            Some(proxy) => {
                proxy.connect_to(broker.broker(0).expect("a broker").address());
                proxy.address().to_owned()
            }
        };
        let options = KafkaOptions {
            transaction_call_timeout: CALL_TIMEOUT,
            ..KafkaOptions::new(address)
        };
        let log = KafkaLog::connect(options).expect("connected");
        let broker = RefCell::new(broker);
        Some(Self { broker, log })
    }
}

impl Harness for Own {
    fn start() -> Result<Self, String> {
        let own = Self::start_with(BrokerOptions::default(), None);
        own.ok_or_else(|| "Kafka is not installed".into())
    }

    fn log(&self) -> &dyn Log {
        &self.log
    }

    fn settle(&self) {
        thread::park_timeout(Duration::from_millis(10));
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// An application with one task, from `input` to `output`, and its member.
fn one_task(h: &Own) -> (App, Client) {
    let input = topic(h, "input", 1);
    topic(h, "output", 1);
    let app = App::reading(h, &[&input]);
    let client = app.join_alone(h, "a", 1);
    (app, client)
}

#[expect(clippy::disallowed_methods, reason = "these tests measure")]
fn now() -> Instant {
    Instant::now()
}

/// Passes time, because the passing of time is what is tested.
fn pass(time: Duration) {
    let end = now() + time;
    while let Some(rest) = end.checked_duration_since(now()) {
        thread::park_timeout(rest);
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_happened_once() {
    let proxy = Proxy::listen().expect("a proxy");
    let Some(h) = Own::start_with(BrokerOptions::default(), Some(&proxy)) else {
        return;
    };
    let (_, mut client) = one_task(&h);
    let (from, to) = (
        partition(&"input".into(), 0),
        partition(&"output".into(), 0),
    );
    client.send(&to, "k", "once");
    proxy.arm(Fault::LoseAnswer(END_TXN));
    let began = now();
    let outcome = client.member.commit(&[(from.clone(), offset(1, "once"))]);
    assert!(
        matches!(outcome, Err(CommitError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(began.elapsed() < COMMIT_LIMIT, "{:?}", began.elapsed());
    assert!(proxy.has_struck());
    proxy.heal();
    client.recover(&h);
    assert_eq!(client.committed(&from), Some(offset(1, "once")));
    client.send(&to, "k", "next");
    client.commit_at(&from, offset(2, "next"));
    assert_eq!(values(&h, &to, 2), ["once", "next"]);
}

#[test]
fn a_late_end_of_an_old_transaction_does_not_end_the_next() {
    let proxy = Proxy::listen().expect("a proxy");
    let Some(h) = Own::start_with(BrokerOptions::default(), Some(&proxy)) else {
        return;
    };
    let (_, mut client) = one_task(&h);
    let (from, to) = (
        partition(&"input".into(), 0),
        partition(&"output".into(), 0),
    );
    client.send(&to, "k", "lost");
    proxy.arm(Fault::Hold(END_TXN));
    let outcome = client.member.commit(&[(from.clone(), offset(1, "lost"))]);
    assert!(
        matches!(outcome, Err(CommitError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(proxy.has_struck());
    client.recover(&h);
    assert_eq!(client.committed(&from), None);
    client.send(&to, "k", "again");
    proxy.release();
    assert_shows_nothing(&h, &to);
    client.commit_at(&from, offset(1, "again"));
    assert_eq!(values(&h, &to, 1), ["again"]);
    assert_eq!(client.committed(&from), Some(offset(1, "again")));
}

#[test]
fn a_commit_at_a_silent_broker_ends_in_time_and_is_made_up_for() {
    let Some(h) = Own::start().ok() else {
        return;
    };
    let (_, mut client) = one_task(&h);
    let (from, to) = (
        partition(&"input".into(), 0),
        partition(&"output".into(), 0),
    );
    client.send(&to, "k", "before");
    client.commit_at(&from, offset(1, ""));
    client.send(&to, "k", "silence");
    h.broker.borrow_mut().pause().expect("paused");
    let began = now();
    let outcome = client.member.commit(&[(from.clone(), offset(2, ""))]);
    outcome.expect_err("no answer");
    assert!(began.elapsed() < COMMIT_LIMIT, "{:?}", began.elapsed());
    let silent = client.member.recover();
    assert!(
        matches!(silent, Err(LogError::Unavailable(_))),
        "{silent:?}"
    );
    h.broker.borrow_mut().resume().expect("resumed");
    resume_after_silence(&h, &mut client);
    if client.committed(&from).expect("an offset").offset == 1 {
        commit_until_done(&h, &mut client, "silence", 2);
    }
    commit_until_done(&h, &mut client, "after", 3);
    assert_eq!(values(&h, &to, 3), ["before", "silence", "after"]);
}

#[test]
fn a_broker_that_restarts_is_found_again() {
    let Some(h) = Own::start().ok() else {
        return;
    };
    let (_, mut client) = one_task(&h);
    let (from, to) = (
        partition(&"input".into(), 0),
        partition(&"output".into(), 0),
    );
    client.send(&to, "k", "1");
    client.commit_at(&from, offset(1, ""));
    // A single broker that is killed before its markers are written may forget to write them.
    assert_eq!(values(&h, &to, 1), ["1"]);
    assert_eq!(client.committed(&from), Some(offset(1, "")));
    h.broker.borrow_mut().kill();
    h.broker.borrow_mut().restart().expect("restarted");
    // Whatever was open is over.
    resume_after_silence(&h, &mut client);
    assert_eq!(client.committed(&from), Some(offset(1, "")));
    commit_until_done(&h, &mut client, "2", 2);
    assert_eq!(values(&h, &to, 2), ["1", "2"]);
}

/// Commits a record and an offset, as a stream thread would: whatever fails is recovered from, and
/// what was not committed is done again.
fn commit_until_done(h: &Own, client: &mut Client, value: &str, next: i64) {
    let (from, to) = (
        partition(&"input".into(), 0),
        partition(&"output".into(), 0),
    );
    eventually(h, "a commit", || {
        client.send(&to, "k", value);
        if client
            .member
            .commit(&[(from.clone(), offset(next, ""))])
            .is_ok()
        {
            return Some(());
        }
        resume_after_silence(h, client);
        let reached = client.committed(&from).expect("an offset").offset;
        (reached == next).then_some(())
    });
}

/// Recovers, and joins again if the group has given the member up meanwhile.
fn resume_after_silence(h: &Own, client: &mut Client) {
    let kept = eventually(h, "a recovery", || match client.member.recover() {
        Ok(()) => Some(true),
        Err(LogError::MemberLost(_)) => Some(false),
        Err(LogError::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    });
    if !kept {
        rejoin(h, client);
    }
    // The next heartbeat may still tell that it was removed.
    eventually(h, "the task", || match client.member.poll_assignment() {
        Ok(_) => Some(()),
        Err(LogError::MemberLost(_)) => {
            rejoin(h, client);
            None
        }
        Err(error) => panic!("{error}"),
    });
}

fn rejoin(h: &Own, client: &mut Client) {
    client.held = HeldTasks::default();
    client.member.rejoin().expect("rejoined");
    client.await_active(h, 1);
}

#[test]
fn heartbeats_go_on_while_the_stream_thread_is_busy() {
    let session = Duration::from_secs(3);
    let broker = BrokerOptions::default().with("group.streams.session.timeout.ms", "3000");
    let Some(h) = Own::start_with(broker, None) else {
        return;
    };
    let (_, mut client) = one_task(&h);
    let from = partition(&"input".into(), 0);
    pass(session + session / 2);
    client.commit_at(&from, offset(1, ""));
    assert!(client.member.poll_assignment().is_ok());
}

#[test]
fn two_processes_with_one_member_id_do_not_fight_for_ever() {
    let Some(h) = Own::start().ok() else {
        return;
    };
    let (app, mut old) = one_task(&h);
    let from = partition(&"input".into(), 0);
    let mut new = app.join_alone(&h, "a", 1);
    new.commit_at(&from, offset(1, "new"));
    // Fenced, the old one comes back, and fences the new one, which does the same.
    for client in [&mut old, &mut new] {
        let fenced = client.member.commit(&[(from.clone(), offset(2, ""))]);
        assert!(matches!(fenced, Err(CommitError::Fenced(_))), "{fenced:?}");
        let lost = client.member.recover();
        assert!(matches!(lost, Err(LogError::MemberLost(_))), "{lost:?}");
        rejoin(&h, client);
        client.commit_at(&from, offset(2, ""));
    }
    let fenced = old.member.commit(&[(from.clone(), offset(3, ""))]);
    assert!(matches!(fenced, Err(CommitError::Fenced(_))), "{fenced:?}");
    match old.member.recover() {
        Err(LogError::Config(text)) => assert!(text.contains("another process"), "{text}"),
        other => panic!("{other:?}"),
    }
    new.commit_at(&from, offset(3, ""));
}

#[test]
fn a_changed_topology_is_refused_with_what_to_do() {
    let Some(h) = Own::start().ok() else {
        return;
    };
    let (app, _client) = one_task(&h);
    let other = topic(&h, "other", 1);
    let changed = App {
        id: app.id.clone(),
        ..App::reading(&h, &[&other])
    };
    let mut member = h.log.join(changed.seat("b")).expect("joined");
    let text = eventually(&h, "a refusal", || match member.poll_assignment() {
        Err(LogError::Config(text)) => Some(text),
        Ok(None) => None,
        other => panic!("{other:?}"),
    });
    assert!(text.contains("delete the group"), "{text}");
}

#[test]
fn a_cluster_without_streams_groups_is_refused_in_one_line() {
    let broker =
        BrokerOptions::default().with("group.coordinator.rebalance.protocols", "classic,consumer");
    let Some(broker) = require_with::<Kafka>(broker) else {
        return;
    };
    let text = match KafkaLog::connect(KafkaOptions::new(broker.bootstrap())) {
        Err(LogError::Config(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("Kafka 4.2 or newer"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_broker_that_is_not_there_is_said_in_one_line() {
    let text = match KafkaLog::connect(KafkaOptions::new("127.0.0.1:1")) {
        Err(LogError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(
        text.contains("127.0.0.1:1") && !text.contains('\n'),
        "{text}"
    );
}

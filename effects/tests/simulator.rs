//! The built-in gateway: every token, its ledger through crashes, its webhooks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{AttemptStatus as Status, GatewayFactKind as Kind};
use millrace_avro::keys::{OrderId, PaymentId, RefundId};
use millrace_avro::money::{Currency, Money};
use millrace_effects::gateway::simulator::{
    Delivery, Incident, Simulator, SimulatorOptions, WebhookSink,
};
use millrace_effects::gateway::webhook::{Notice, Secret, TOLERANCE};
use millrace_effects::gateway::{Answer, Charge, FollowUp, Gateway as _, GatewayError};
use millrace_streams::{Clock as _, SystemClock};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

struct Bench {
    simulator: Simulator,
    path: PathBuf,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        Self {
            simulator: open(&path).unwrap(),
            path,
            _folder: folder,
        }
    }
}

fn open(path: &Path) -> std::io::Result<Simulator> {
    let options = SimulatorOptions {
        secret: Secret::new("whsec"),
        customers_approve_after: None,
    };
    Simulator::open(
        path,
        options,
        Arc::new(SystemClock::default()),
        Handle::current(),
    )
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn payment(id: &str) -> PaymentId {
    PaymentId::new(id).unwrap()
}

fn charge(id: &str, method: &str) -> Charge {
    Charge {
        order_id: OrderId::new("o1").unwrap(),
        payment_id: payment(id),
        idempotency_key: id.to_owned(),
        amount: eur(1_999),
        method: method.to_owned(),
        capture: CaptureMode::Automatic,
    }
}

fn follow_up(id: &str, key: &str, minor: i64) -> FollowUp {
    FollowUp {
        order_id: OrderId::new("o1").unwrap(),
        payment_id: payment(id),
        idempotency_key: key.to_owned(),
        amount: eur(minor),
        reference: None,
        refund_id: Some(RefundId::new(key).unwrap()),
    }
}

fn kinds(answer: &Answer) -> Vec<Kind> {
    answer.facts.iter().map(|fact| fact.kind).collect()
}

fn standing(simulator: &Simulator) -> Vec<(i64, i64, Status)> {
    let items = simulator.ledger().items.into_iter();
    items
        .map(|item| (item.captured.minor, item.refunded.minor, item.status))
        .collect()
}

#[tokio::test]
async fn ok_charges_and_repeats_its_answer() {
    let Bench { simulator, .. } = &Bench::new();
    let answer = simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    assert_eq!(kinds(&answer), [Kind::Authorized, Kind::Captured]);
    assert_eq!(simulator.authorize(charge("p1", "pm_ok")).await, Ok(answer));
    assert_eq!(standing(simulator), [(1_999, 0, Status::Captured)]);
}

#[tokio::test]
async fn a_manual_charge_is_captured_or_voided_by_a_call() {
    let Bench { simulator, .. } = &Bench::new();
    let manual = |id| Charge {
        capture: CaptureMode::Manual,
        ..charge(id, "pm_ok")
    };
    let set_aside = simulator.authorize(manual("p1")).await.unwrap();
    assert_eq!(kinds(&set_aside), [Kind::Authorized]);
    let taken = simulator
        .capture(follow_up("p1", "p1:capture", 1_999))
        .await
        .unwrap();
    assert_eq!(kinds(&taken), [Kind::Authorized, Kind::Captured]);
    assert_eq!(taken.facts[0].reference, taken.facts[1].reference);
    let late = simulator
        .void(follow_up("p1", "p1:void", 1_999))
        .await
        .unwrap();
    assert_eq!(late, taken, "what was taken is not voided");
    simulator.authorize(manual("p2")).await.unwrap();
    let voided = simulator
        .void(follow_up("p2", "p2:void", 1_999))
        .await
        .unwrap();
    assert_eq!(kinds(&voided), [Kind::Authorized, Kind::Voided]);
}

#[tokio::test]
async fn decline_and_unknown_tokens_charge_nothing() {
    let Bench { simulator, .. } = &Bench::new();
    for (id, method, reason) in [
        ("p1", "pm_decline", "card_declined"),
        ("p2", "tok_4242", "unknown_payment_method"),
    ] {
        let answer = simulator.authorize(charge(id, method)).await.unwrap();
        assert_eq!(kinds(&answer), [Kind::Failed]);
        assert_eq!(answer.facts[0].detail.as_deref(), Some(reason));
    }
    assert_eq!(
        standing(simulator),
        [(0, 0, Status::Failed), (0, 0, Status::Failed)]
    );
}

#[tokio::test]
async fn requires_action_waits_for_the_customer() {
    let Bench { simulator, .. } = &Bench::new();
    for (id, incident, kinds_after, taken) in [
        (
            "p1",
            Incident::CustomerApproves,
            &[Kind::Authorized, Kind::Captured][..],
            1_999,
        ),
        ("p2", Incident::CustomerDeclines, &[Kind::Failed][..], 0),
    ] {
        let answer = simulator
            .authorize(charge(id, "pm_requires_action"))
            .await
            .unwrap();
        assert_eq!(kinds(&answer), [Kind::RequiresAction]);
        let answer = simulator
            .happen(&payment(id), incident)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(kinds(&answer)[1..], *kinds_after);
        assert_eq!(simulator.happen(&payment(id), incident).await, Ok(None));
        assert_eq!(standing(simulator).last().map(|last| last.0), Some(taken));
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_after_three_seconds_and_has_charged_before() {
    let Bench { simulator, .. } = &Bench::new();
    let begin = Instant::now();
    let early = timeout(
        Duration::from_secs(1),
        simulator.authorize(charge("p1", "pm_slow")),
    )
    .await;
    assert!(early.is_err());
    let answer = simulator.find("p1").await.unwrap().unwrap();
    assert_eq!(kinds(&answer), [Kind::Authorized, Kind::Captured]);
    simulator.authorize(charge("p2", "pm_slow")).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn drop_reply_charges_and_loses_the_first_answer() {
    let Bench { simulator, .. } = &Bench::new();
    let lost = simulator.authorize(charge("p1", "pm_drop_reply")).await;
    assert!(matches!(lost, Err(GatewayError::Unknown(_))), "{lost:?}");
    let answer = simulator
        .authorize(charge("p1", "pm_drop_reply"))
        .await
        .unwrap();
    assert_eq!(kinds(&answer), [Kind::Authorized, Kind::Captured]);
    assert_eq!(standing(simulator), [(1_999, 0, Status::Captured)]);
}

#[tokio::test]
async fn error_then_ok_charges_nothing_at_first() {
    let Bench { simulator, .. } = &Bench::new();
    let failed = simulator.authorize(charge("p1", "pm_error_then_ok")).await;
    assert!(
        matches!(failed, Err(GatewayError::Unavailable(_))),
        "{failed:?}"
    );
    assert_eq!(simulator.ledger().items, []);
    for _ in 0..2 {
        simulator
            .authorize(charge("p1", "pm_error_then_ok"))
            .await
            .unwrap();
    }
    assert_eq!(standing(simulator), [(1_999, 0, Status::Captured)]);
}

#[tokio::test]
async fn refunds_never_send_back_more_than_was_taken() {
    let Bench { simulator, .. } = &Bench::new();
    simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    for (key, minor, kind) in [
        ("r1", 1_000, Kind::Refunded),
        ("r1", 1_000, Kind::Refunded),
        ("r2", 1_000, Kind::RefundFailed),
        ("r3", 999, Kind::Refunded),
        ("r4", 1, Kind::RefundFailed),
    ] {
        let answer = simulator.refund(follow_up("p1", key, minor)).await.unwrap();
        let fact = answer.facts.last().unwrap();
        assert_eq!(fact.kind, kind, "{key}");
        assert_eq!(fact.refund_id.as_ref().map(RefundId::as_str), Some(key));
    }
    assert_eq!(standing(simulator), [(1_999, 1_999, Status::Refunded)]);
}

#[tokio::test]
async fn a_void_that_comes_before_its_charge_keeps_it_from_being_made() {
    let Bench { simulator, .. } = &Bench::new();
    simulator
        .void(follow_up("p1", "p1:void", 1_999))
        .await
        .unwrap();
    let answer = simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    assert_eq!(kinds(&answer), [Kind::Voided]);
    assert_eq!(standing(simulator), [(0, 0, Status::Voided)]);
}

#[tokio::test]
async fn a_key_that_stands_for_another_call_is_refused() {
    let Bench { simulator, .. } = &Bench::new();
    simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    let other = Charge {
        payment_id: payment("p2"),
        ..charge("p1", "pm_ok")
    };
    let refused = simulator.authorize(other).await;
    assert!(
        matches!(refused, Err(GatewayError::Refused(_))),
        "{refused:?}"
    );
    assert!(simulator.refund(follow_up("p1", "p1", 1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_is_charged_once_however_many_calls_come_at_once() {
    let Bench { simulator, .. } = &Bench::new();
    let calls = (0..400).map(|n| {
        let (simulator, charge) = (simulator.clone(), charge(&format!("p{}", n % 20), "pm_ok"));
        tokio::spawn(async move { simulator.authorize(charge).await.unwrap() })
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.len(), 400);
    assert_eq!(simulator.ledger().items.len(), 20);
}

/// Runs in a runtime of its own, and ends it, so that nothing holds the ledger any more.
fn session<T>(path: &Path, run: impl AsyncFnOnce(Simulator) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { run(open(path).unwrap()).await })
}

#[test]
fn the_ledger_outlives_the_process_and_loses_only_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let before = session(&path, async |simulator| {
        simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
        simulator
            .authorize(charge("p2", "pm_requires_action"))
            .await
            .unwrap();
        simulator.refund(follow_up("p1", "r1", 500)).await.unwrap();
        simulator.ledger()
    });
    let whole = std::fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn.extend_from_slice(&whole[..whole.len() / 5]);
    std::fs::write(&path, torn).unwrap();
    session(&path, async |simulator| {
        assert_eq!(simulator.ledger(), before);
        let again = simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
        assert_eq!(
            kinds(&again),
            [Kind::Authorized, Kind::Captured, Kind::Refunded]
        );
        simulator.authorize(charge("p3", "pm_ok")).await.unwrap();
    });
    session(&path, async |simulator| {
        assert_eq!(simulator.ledger().items.len(), 3);
    });
}

#[test]
fn each_cut_of_the_file_leaves_whole_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    session(&path, async |simulator| {
        for id in ["p1", "p2", "p3"] {
            simulator.authorize(charge(id, "pm_ok")).await.unwrap();
        }
    });
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(37) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let lines = whole[..len].iter().filter(|byte| **byte == b'\n').count();
        let charges = session(&path, async |simulator| simulator.ledger().items.len());
        assert_eq!(charges, lines, "cut at {len}");
    }
}

#[tokio::test]
async fn damage_before_the_end_and_a_second_process_are_refused() {
    let bench = Bench::new();
    for id in ["p1", "p2"] {
        bench
            .simulator
            .authorize(charge(id, "pm_ok"))
            .await
            .unwrap();
    }
    assert_eq!(
        open(&bench.path).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    let mut bytes = std::fs::read(&bench.path).unwrap();
    bytes[10] ^= 0xff;
    let copy = bench.path.with_extension("copy");
    std::fs::write(&copy, bytes).unwrap();
    assert_eq!(
        open(&copy).unwrap_err().kind(),
        std::io::ErrorKind::InvalidData
    );
}

/// Takes webhooks, after a number of failures.
#[derive(Default)]
struct Inbox {
    notices: Mutex<Vec<Notice>>,
    failures: AtomicU32,
}

impl WebhookSink for Inbox {
    fn deliver(&self, body: Vec<u8>, signature: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let left = self.failures.load(Ordering::Relaxed);
            if left > 0 {
                self.failures.store(left - 1, Ordering::Relaxed);
                return Err("503".to_owned());
            }
            let now = SystemClock::default().now();
            let notice = Secret::new("whsec").open(&signature, &body, now, TOLERANCE);
            self.notices
                .lock()
                .push(notice.map_err(|error| error.to_string())?);
            Ok(())
        }
        .boxed()
    }
}

impl Inbox {
    async fn wait(&self, count: usize) -> Vec<Notice> {
        for _ in 0..2_000 {
            if self.notices.lock().len() >= count {
                break;
            }
            // A pause between two looks at the condition.
            sleep(Duration::from_millis(5)).await;
        }
        self.notices.lock().clone()
    }
}

fn ids(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.id.as_str()).collect()
}

#[tokio::test]
async fn a_webhook_is_signed_and_sent_until_it_is_taken() {
    let Bench { simulator, .. } = &Bench::new();
    let inbox = Arc::new(Inbox::default());
    inbox.failures.store(2, Ordering::Relaxed);
    let answer = simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    simulator.deliver_to(Arc::clone(&inbox) as Arc<dyn WebhookSink>);
    let notices = inbox.wait(1).await;
    assert_eq!(ids(&notices), ["evt_1"]);
    assert_eq!(notices[0].answer, answer);
}

#[tokio::test]
async fn webhooks_come_twice_late_and_out_of_order_when_asked() {
    let Bench { simulator, .. } = &Bench::new();
    let inbox = Arc::new(Inbox::default());
    simulator.deliver_to(Arc::clone(&inbox) as Arc<dyn WebhookSink>);
    simulator.set_delivery(Delivery {
        copies: 2,
        delay_ms: 20,
        hold_ms: 3_000,
    });
    simulator
        .authorize(charge("p1", "pm_requires_action"))
        .await
        .unwrap();
    simulator
        .happen(&payment("p1"), Incident::CustomerApproves)
        .await
        .unwrap();
    let notices = inbox.wait(4).await;
    assert_eq!(ids(&notices), ["evt_2", "evt_2", "evt_1", "evt_1"]);
}

#[test]
fn a_webhook_that_nobody_took_is_sent_after_the_next_start_and_then_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    session(&path, async |simulator| {
        simulator.authorize(charge("p1", "pm_ok")).await.unwrap();
    });
    session(&path, async |simulator| {
        let inbox = Arc::new(Inbox::default());
        simulator.deliver_to(Arc::clone(&inbox) as Arc<dyn WebhookSink>);
        assert_eq!(ids(&inbox.wait(1).await), ["evt_1"]);
        until_noted_as_delivered(&path).await;
    });
    session(&path, async |simulator| {
        let inbox = Arc::new(Inbox::default());
        simulator.deliver_to(Arc::clone(&inbox) as Arc<dyn WebhookSink>);
        simulator.authorize(charge("p2", "pm_ok")).await.unwrap();
        assert_eq!(ids(&inbox.wait(1).await), ["evt_2"]);
    });
}

async fn until_noted_as_delivered(path: &Path) {
    let noted = async {
        while !std::fs::read_to_string(path).unwrap().contains("delivered") {
            // A pause between two looks at the condition.
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), noted).await.unwrap();
}

#[test]
fn customers_approve_by_themselves_when_told_so_even_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    session(&path, async |simulator| {
        simulator
            .authorize(charge("p1", "pm_requires_action"))
            .await
            .unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = SimulatorOptions {
            secret: Secret::new("whsec"),
            customers_approve_after: Some(Duration::from_millis(5)),
        };
        let clock = Arc::new(SystemClock::default());
        let simulator = Simulator::open(&path, options, clock, Handle::current()).unwrap();
        for _ in 0..400 {
            if standing(&simulator)[0].2 == Status::Captured {
                return;
            }
            // A pause between two looks at the condition.
            sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", standing(&simulator));
    });
}

//! Payments, in scenes, and the law that the order of facts does not matter.

use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::common::{AuditEvent, ReplyEvent};
use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{
    AttemptStatus, GatewayFact, GatewayFactKind as Kind, GatewayReported, RefundPayment,
    StartPayment, UndoPayments,
};
use millrace_avro::keys::RefundId;
use millrace_avro::money::{Currency, Money};
use proptest::prelude::*;

use super::*;

struct Stage {
    now: Timestamp,
    state: Option<PaymentsState>,
    deadline: Option<Timestamp>,
    events: u64,
}

fn key() -> OrderId {
    OrderId::new("order").unwrap()
}

fn pay(name: &str) -> PaymentId {
    PaymentId::new(name).unwrap()
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

/// A fact in short: when it happened, which reference it speaks of, what it says.
fn fact(at: i64, reference: &str, kind: Kind, minor: i64) -> GatewayFact {
    GatewayFact {
        fact_id: format!("{reference}-{at}"),
        reference: reference.to_owned(),
        kind,
        amount: euro(minor),
        occurred_at_ms: at,
        refund_id: None,
        detail: None,
    }
}

fn refund_fact(at: i64, refund: &str, kind: Kind, minor: i64) -> GatewayFact {
    GatewayFact {
        refund_id: Some(RefundId::new(refund).unwrap()),
        ..fact(at, &format!("re-{refund}"), kind, minor)
    }
}

impl Stage {
    fn new() -> Self {
        Self {
            now: Timestamp::from_millis(1_000),
            state: None,
            deadline: None,
            events: 0,
        }
    }

    /// One attempt over 1000 that was captured.
    fn captured() -> Self {
        let mut stage = Self::new();
        stage.start("p1", 1);
        let facts = [
            fact(1, "auth", Kind::Authorized, 1000),
            fact(2, "cap", Kind::Captured, 1000),
        ];
        stage.report("p1", &facts);
        stage
    }

    fn tell(&mut self, body: impl Into<PaymentCommand>) -> Vec<String> {
        self.events += 1;
        let id = EventId::new(format!("event-{}", self.events));
        let event = Event::new(Meta::new(id, "/test", self.now), body);
        let step = Payments::default().on_event(&key(), self.state.take(), &event, self.now);
        self.take(step)
    }

    fn take(&mut self, step: Step<PaymentsState, PaymentEffect>) -> Vec<String> {
        self.state = step.state;
        self.deadline = step.deadline;
        step.effects.iter().filter_map(name).collect()
    }

    fn pass_deadline(&mut self) -> Vec<String> {
        self.now = self.deadline.unwrap();
        let state = self.state.take().unwrap();
        let step = Payments::default().on_deadline(&key(), state, self.now);
        self.take(step)
    }

    fn start(&mut self, payment: &str, number: i64) -> Vec<String> {
        self.tell(StartPayment {
            order_id: key(),
            payment_id: pay(payment),
            number,
            amount: euro(1000),
            method: "pm_ok".to_owned(),
            capture: CaptureMode::Automatic,
        })
    }

    fn report(&mut self, payment: &str, facts: &[GatewayFact]) -> Vec<String> {
        self.tell(GatewayReported {
            order_id: key(),
            payment_id: pay(payment),
            facts: facts.to_vec(),
        })
    }

    fn undo(&mut self) -> Vec<String> {
        self.tell(UndoPayments {
            order_id: key(),
            reason: "test".to_owned(),
        })
    }

    fn refund(&mut self, refund: &str, minor: i64) -> Vec<String> {
        self.tell(RefundPayment {
            order_id: key(),
            refund_id: RefundId::new(refund).unwrap(),
            payment_id: None,
            amount: euro(minor),
            reason: "returned".to_owned(),
        })
    }

    fn status(&self, index: usize) -> AttemptStatus {
        self.state.as_ref().unwrap().attempts[index].status
    }
}

fn name(effect: &PaymentEffect) -> Option<String> {
    Some(match effect {
        PaymentEffect::Fact(event) => event.body.type_name().to_owned(),
        PaymentEffect::Call(event) => {
            let GatewayEffect::Call(call) = &event.body;
            format!("call {:?} {}", call.action, call.attempt)
        }
        PaymentEffect::Reply(event) => {
            let ReplyEvent::Replied(reply) = &event.body;
            let code = reply.code.as_deref().unwrap_or_default();
            format!("reply {:?} {code}", reply.outcome)
                .trim()
                .to_owned()
        }
        PaymentEffect::Audit(event) => match &event.body {
            AuditEvent::Noted(entry) => format!("audit {}", entry.code),
            AuditEvent::InvariantViolated(_) => "audit violation".to_owned(),
        },
        PaymentEffect::View(..) => return None,
    })
}

#[test]
fn an_attempt_is_authorised_and_captured() {
    let mut stage = Stage::new();
    assert_eq!(
        stage.start("p1", 1),
        ["payment.initiated", "call Authorize 1"]
    );
    let authorized = fact(1, "auth", Kind::Authorized, 1000);
    assert_eq!(
        stage.report("p1", std::slice::from_ref(&authorized)),
        ["payment.authorized", "call Capture 1"]
    );
    assert_eq!(
        stage.report("p1", &[authorized]),
        ["audit duplicate-report"]
    );
    let captured = fact(2, "cap", Kind::Captured, 1000);
    assert_eq!(stage.report("p1", &[captured]), ["payment.captured"]);
    assert_eq!(stage.deadline, None);
    assert_eq!(stage.start("p1", 1), [""; 0]);
}

#[test]
fn the_customer_acts_and_the_gateway_works_on_it() {
    let mut stage = Stage::new();
    stage.start("p1", 1);
    let told = stage.report("p1", &[fact(1, "auth", Kind::RequiresAction, 1000)]);
    assert_eq!(told, ["payment.requires_action"]);
    let told = stage.report("p1", &[fact(2, "auth", Kind::Processing, 1000)]);
    assert_eq!(told, ["payment.processing"]);
    let told = stage.report("p1", &[fact(3, "auth", Kind::Failed, 1000)]);
    assert_eq!(told, ["payment.failed"]);
    assert_eq!(stage.deadline, None);
}

#[test]
fn of_a_success_and_a_failure_with_one_reference_the_newer_wins() {
    for (facts, status) in [
        (
            [(1, Kind::Failed), (2, Kind::Captured)],
            AttemptStatus::Captured,
        ),
        (
            [(2, Kind::Captured), (1, Kind::Failed)],
            AttemptStatus::Captured,
        ),
        (
            [(1, Kind::Captured), (2, Kind::Failed)],
            AttemptStatus::Failed,
        ),
    ] {
        let mut stage = Stage::new();
        stage.start("p1", 1);
        for (at, kind) in facts {
            stage.report("p1", &[fact(at, "charge", kind, 1000)]);
        }
        assert_eq!(stage.status(0), status, "{facts:?}");
    }
}

#[test]
fn a_gateway_that_never_answers_is_asked_again_and_given_up() {
    let mut stage = Stage::new();
    stage.start("p1", 1);
    let tries = PaymentLimits::default().tries_max;
    for attempt in 2..=tries {
        let asked = format!("call Authorize {attempt}");
        assert_eq!(stage.pass_deadline(), [asked]);
    }
    assert_eq!(stage.pass_deadline(), ["payment.failed", "call Void 1"]);
    let late = [
        fact(1, "auth", Kind::Authorized, 1000),
        fact(2, "cap", Kind::Captured, 1000),
    ];
    assert_eq!(
        stage.report("p1", &late),
        [
            "payment.captured",
            "payment.refund_requested",
            "call Refund 1",
            "audit late-capture"
        ]
    );
}

#[test]
fn undoing_voids_what_is_authorised_and_refunds_what_is_captured() {
    let mut stage = Stage::captured();
    assert_eq!(stage.undo(), ["payment.refund_requested", "call Refund 1"]);
    assert_eq!(stage.undo(), [""; 0], "the refund is under way");

    let mut stage = Stage::new();
    stage.start("p1", 1);
    assert_eq!(stage.undo(), ["call Void 1"]);
    let told = stage.report("p1", &[fact(9, "auth", Kind::Voided, 1000)]);
    assert_eq!(told, ["payment.voided"]);
    assert_eq!(stage.deadline, None);
}

#[test]
fn an_order_that_has_ended_begins_no_payment() {
    let mut stage = Stage::new();
    stage.undo();
    assert_eq!(
        stage.start("p1", 1),
        ["payment.initiated", "payment.failed"]
    );
    assert_eq!(stage.deadline, None);
}

#[test]
fn a_new_attempt_ends_the_one_before() {
    let mut stage = Stage::new();
    stage.start("p1", 1);
    stage.report("p1", &[fact(1, "auth", Kind::Failed, 1000)]);
    stage.start("p2", 2);
    let flips = stage.report("p1", &[fact(2, "auth", Kind::Captured, 1000)]);
    assert!(flips.contains(&"call Refund 1".to_owned()), "{flips:?}");
}

#[test]
fn an_order_that_is_paid_after_all_is_not_charged_again() {
    let mut stage = Stage::new();
    stage.start("p1", 1);
    stage.report("p1", &[fact(1, "auth", Kind::Failed, 1000)]);
    stage.report("p1", &[fact(2, "auth", Kind::Captured, 1000)]);
    assert_eq!(
        stage.start("p2", 2),
        ["payment.initiated", "payment.failed"]
    );
}

#[test]
fn refunds_are_held_when_they_are_requested() {
    let mut stage = Stage::captured();
    assert_eq!(stage.refund("r1", 700)[0], "payment.refund_requested");
    let over = "reply Refused refund-exceeds-captured";
    assert_eq!(stage.refund("r2", 301), [over]);
    assert_eq!(stage.refund("r1", 700), ["reply Unchanged"]);
    let told = stage.report("p1", &[refund_fact(3, "r1", Kind::RefundFailed, 700)]);
    assert_eq!(told, ["payment.refund_failed", "audit refund-failed"]);
    assert_eq!(stage.refund("r3", 1000)[0], "payment.refund_requested");
    let told = stage.report("p1", &[refund_fact(4, "r3", Kind::Refunded, 1000)]);
    assert_eq!(told, ["payment.refunded"]);
    assert_eq!(stage.status(0), AttemptStatus::Refunded);
    assert_eq!(stage.refund("r4", 1), [over]);
    assert_eq!(stage.refund("r5", 0), ["reply Refused invalid-amount"]);
}

#[test]
fn a_refund_too_many_is_refused_and_somebody_has_to_look() {
    let mut stage = Stage::captured();
    let refunds_max = PaymentLimits::default().refunds_max;
    for number in 0..refunds_max {
        let told = stage.refund(&format!("r{number}"), 1);
        assert_eq!(told[0], "payment.refund_requested");
    }
    assert_eq!(
        stage.refund("one-more", 1),
        ["audit refund-impossible", "reply Refused too-many-refunds"]
    );
    assert_eq!(stage.refund("r0", 1), ["reply Unchanged"]);
}

#[test]
fn what_was_set_aside_is_what_the_gateway_says_and_not_what_it_took() {
    let sums = |facts: &[GatewayFact]| {
        let sums = fold::sums(facts);
        (sums.authorized, sums.captured)
    };
    let authorized = |at, minor| fact(at, "auth", Kind::Authorized, minor);
    let captured = |reference| fact(9, reference, Kind::Captured, 1000);
    assert_eq!(sums(&[authorized(1, 800), captured("auth")]), (800, 1000));
    assert_eq!(sums(&[authorized(1, 800), captured("cap")]), (800, 1000));
    let raised = [authorized(2, 1000), authorized(1, 800), captured("auth")];
    assert_eq!(sums(&raised), (1000, 1000));
    assert_eq!(sums(&[captured("sale")]), (1000, 1000));
    let voided = [authorized(1, 800), fact(2, "auth", Kind::Voided, 800)];
    assert_eq!(sums(&voided), (0, 0));
}

#[test]
fn a_refund_that_the_gateway_made_by_itself_counts() {
    let mut stage = Stage::captured();
    let told = stage.report("p1", &[fact(3, "re-foreign", Kind::Refunded, 400)]);
    assert_eq!(told, ["payment.refunded"]);
    let told = stage.report("p1", &[fact(4, "re-other", Kind::Refunded, 100)]);
    assert_eq!(told, ["payment.refunded"]);
    let over = "reply Refused refund-exceeds-captured";
    assert_eq!(stage.refund("r1", 501), [over]);
}

#[test]
fn a_charge_is_disputed_and_the_dispute_is_decided() {
    let mut stage = Stage::captured();
    let told = stage.report("p1", &[fact(3, "dp", Kind::Disputed, 1000)]);
    assert_eq!(told, ["payment.disputed"]);
    let told = stage.report("p1", &[fact(4, "dp", Kind::DisputeWon, 1000)]);
    assert_eq!(told, ["payment.dispute_closed"]);
    assert_eq!(stage.status(0), AttemptStatus::Won);
}

#[test]
fn what_speaks_of_an_unknown_payment_alerts() {
    let mut stage = Stage::new();
    let charge = [fact(1, "charge", Kind::Captured, 1000)];
    assert_eq!(stage.report("p9", &charge), ["audit unknown-payment"]);
    assert!(stage.state.is_none());
    stage.start("p1", 1);
    assert_eq!(stage.report("p9", &charge), ["audit unknown-payment"]);
    assert_eq!(
        stage.refund("r1", 1),
        ["reply Refused refund-exceeds-captured"]
    );
}

fn any_fact() -> impl Strategy<Value = GatewayFact> {
    let kinds = prop::sample::select(vec![
        Kind::Authorized,
        Kind::Captured,
        Kind::Failed,
        Kind::Voided,
        Kind::Processing,
        Kind::Refunded,
    ]);
    (0_i64..20, 0_usize..3, kinds, 1_i64..1000)
        .prop_map(|(at, reference, kind, minor)| fact(at, &format!("ref-{reference}"), kind, minor))
}

proptest! {
    #[test]
    fn the_order_in_which_facts_come_does_not_matter(
        facts in prop::collection::vec(any_fact(), 0..12),
        seed in any::<u64>(),
    ) {
        let mut unique: Vec<GatewayFact> = Vec::new();
        for fact in facts {
            if unique.iter().all(|known| known.fact_id != fact.fact_id) {
                unique.push(fact);
            }
        }
        let mut shuffled = unique.clone();
        shuffled.sort_by_key(|fact| seed.rotate_left(fact.occurred_at_ms as u32) ^ fact.amount.minor as u64);
        prop_assert_eq!(fold::sums(&unique), fold::sums(&shuffled));
        prop_assert_eq!(fold::said(&unique), fold::said(&shuffled));
    }
}

//! The auditor finds what is wrong; that it is silent otherwise is shown by the world of rules.

use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::inventory::{InventoryEvent, Movement, StockAdjusted, StockLevel};
use millrace_avro::events::orders::{
    OrderCancelled, OrderCancelling, OrderCreated, OrderDelivered, OrderEvent, OrderLine,
    OrderReserved, OrderRestCancelled, Totals,
};
use millrace_avro::events::payments::{
    AttemptStatus, PaymentCaptured, PaymentEvent, PaymentStanding, PaymentSummary,
};
use millrace_avro::keys::{LocationId, OrderId, PaymentId, ProductId, Sku, UserId};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_streams::Timestamp;

use super::*;
use crate::transition::{Step, Transition};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn event<E: EventSet>(seq: u64, body: impl Into<E>) -> Event<E> {
    let meta = Meta::new(EventId::new(format!("event-{seq}")), "/test", NOW);
    Event::new(meta.with_seq(seq), body)
}

fn invariants(effects: &[Event<AuditEvent>]) -> Vec<i32> {
    let found = effects.iter().filter_map(|effect| match &effect.body {
        AuditEvent::InvariantViolated(violation) => Some(violation.invariant),
        AuditEvent::Noted(_) => None,
    });
    found.collect()
}

fn adjusted(delta: i64, on_hand: i64, reserved: i64) -> InventoryEvent {
    let location = LocationId::new("main").unwrap();
    StockAdjusted {
        sku: Sku::new("mug").unwrap(),
        movement: Movement {
            id: "movement".to_owned(),
            location: location.clone(),
            delta,
            reason: "received".to_owned(),
            actor: "test".to_owned(),
            cause: "test".to_owned(),
            at: String::new(),
        },
        level: StockLevel {
            location,
            on_hand,
            reserved,
            available: on_hand - reserved,
        },
    }
    .into()
}

#[test]
fn stock_that_does_not_add_up_is_found_once_until_it_heals() {
    let key = Sku::new("mug").unwrap();
    let mut state = None;
    let mut hear = |seq, fact| {
        let step = StockAuditor.on_event(&key, state.take(), &event(seq, fact), NOW);
        state = step.state;
        invariants(&step.effects)
    };
    assert_eq!(hear(1, adjusted(5, 5, 0)), [0; 0]);
    assert_eq!(hear(2, adjusted(1, 7, 0)), [2], "6 moved, 7 are there");
    assert_eq!(hear(3, adjusted(1, 8, 0)), [0; 0], "it was reported");
    assert_eq!(hear(4, adjusted(1, 8, 0)), [0; 0], "it has healed");
    assert_eq!(hear(5, adjusted(1, 9, 2)), [1], "nothing is reserved");
    assert_eq!(hear(5, adjusted(9, 9, 2)), [0; 0], "a duplicate");
    assert_eq!(
        hear(7, adjusted(-10, -1, 0)),
        [1, 2][1..],
        "a fact is missing"
    );
}

fn order() -> OrderId {
    OrderId::new("order").unwrap()
}

fn user() -> UserId {
    UserId::new("user").unwrap()
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn created(line_total: i64, total: i64) -> OrderEvent {
    OrderCreated {
        order_id: order(),
        user_id: user(),
        cart_id: None,
        lines: vec![OrderLine {
            sku: Sku::new("mug").unwrap(),
            product_id: ProductId::new("mug").unwrap(),
            name: String::new(),
            quantity: 1,
            unit_price: euro(line_total),
            tax_rate: Rate::ZERO,
            discount: euro(0),
            tax: euro(0),
            line_total: euro(line_total),
            shipped: 0,
            cancelled: 0,
        }],
        totals: Totals {
            subtotal: euro(total),
            discount: euro(0),
            tax: euro(0),
            shipping: euro(0),
            total: euro(total),
        },
    }
    .into()
}

fn payments(revision: i64, captured: i64, refunded: i64) -> PaymentEvent {
    charged(revision, captured, captured, refunded)
}

fn charged(revision: i64, authorized: i64, captured: i64, refunded: i64) -> PaymentEvent {
    let standing = PaymentStanding {
        revision,
        attempts: vec![PaymentSummary {
            id: PaymentId::new("payment").unwrap(),
            status: AttemptStatus::Captured,
            amount: euro(1000),
            authorized: euro(authorized),
            captured: euro(captured),
            refunded: euro(refunded),
            detail: None,
        }],
        captured: euro(captured),
        refunded: euro(refunded),
        refunding: euro(0),
        refunds: Vec::new(),
    };
    PaymentCaptured {
        order_id: order(),
        payment_id: PaymentId::new("payment").unwrap(),
        amount: euro(captured),
        standing,
    }
    .into()
}

/// Plays facts, then lets the time pass twice.
fn audit(facts: &[OrderFact]) -> (Vec<i32>, Vec<Vec<i32>>) {
    let auditor = OrderAuditor::default();
    let (mut state, mut deadline, mut at_once) = (None, None, Vec::new());
    for fact in facts {
        let step: Step<_, _> = auditor.on_event(&order(), state.take(), fact, NOW);
        at_once.extend(invariants(&step.effects));
        (state, deadline) = (step.state, step.deadline);
    }
    let mut in_the_end = Vec::new();
    for _ in 0..2 {
        let due = deadline.unwrap_or(NOW);
        let step = auditor.on_deadline(&order(), state.take().unwrap(), due);
        in_the_end.push(invariants(&step.effects));
        (state, deadline) = (step.state, step.deadline);
    }
    (at_once, in_the_end)
}

#[test]
fn an_order_whose_lines_do_not_sum_to_it_is_found() {
    let (at_once, _) = audit(&[OrderFact::Order(event(1, created(999, 1000)))]);
    assert_eq!(at_once, [8]);
}

#[test]
fn an_order_that_does_not_move_is_found() {
    let reserved = OrderReserved {
        order_id: order(),
        user_id: user(),
    };
    let (at_once, in_the_end) = audit(&[
        OrderFact::Order(event(1, created(1000, 1000))),
        OrderFact::Order(event(2, reserved)),
    ]);
    let once_more = vec![vec![], vec![6]];
    assert_eq!((at_once, in_the_end), (vec![], once_more));
}

#[test]
fn a_cancelling_order_has_the_time_that_its_money_may_take() {
    let limits = AuditLimits::default();
    let cancelling = OrderCancelling {
        order_id: order(),
        user_id: user(),
        reason: String::new(),
    };
    let fact = OrderFact::Order(event(1, cancelling));
    let step = OrderAuditor::default().on_event(&order(), None, &fact, NOW);
    let patience = limits.payments.owed_within() + limits.late_by;
    assert_eq!(step.deadline, Some(NOW + patience));
}

#[test]
fn a_delivered_order_that_keeps_the_money_of_a_cancelled_rest_is_found() {
    let rest = OrderRestCancelled {
        order_id: order(),
        user_id: user(),
        items: Vec::new(),
        refund: euro(300),
    };
    let delivered = OrderDelivered {
        order_id: order(),
        user_id: user(),
    };
    let facts = |refunded| {
        [
            OrderFact::Order(event(1, created(1000, 1000))),
            OrderFact::Order(event(2, rest.clone())),
            OrderFact::Payment(event(1, payments(1, 1000, refunded))),
            OrderFact::Order(event(3, delivered.clone())),
        ]
    };
    assert_eq!(audit(&facts(299)).1[0], [3]);
    assert_eq!(audit(&facts(300)).1[0], [0; 0]);
}

#[test]
fn tax_that_neither_lines_nor_shipping_explain_is_found() {
    let with_tax = |tax| {
        let OrderEvent::Created(mut fact) = created(1000, 1000) else {
            unreachable!("it is created");
        };
        fact.totals.shipping = euro(100);
        fact.totals.tax = euro(tax);
        fact.totals.total = euro(1100 + tax);
        audit(&[OrderFact::Order(event(1, OrderEvent::Created(fact)))]).0
    };
    assert_eq!(with_tax(100), [0; 0]);
    assert_eq!(with_tax(101), [8]);
}

#[test]
fn an_order_that_is_created_twice_is_found() {
    let (at_once, _) = audit(&[
        OrderFact::Order(event(1, created(1000, 1000))),
        OrderFact::Order(event(2, created(1000, 1000))),
    ]);
    assert_eq!(at_once, [7]);
}

#[test]
fn money_that_is_kept_for_nothing_is_found() {
    let cancelled = OrderCancelled {
        order_id: order(),
        user_id: user(),
        reason: String::new(),
    };
    let facts = |refunded| {
        [
            OrderFact::Order(event(1, created(1000, 1000))),
            OrderFact::Payment(event(1, payments(1, 1000, refunded))),
            OrderFact::Order(event(2, cancelled.clone())),
        ]
    };
    assert_eq!(audit(&facts(999)), (vec![], vec![vec![3], vec![]]));
    assert_eq!(audit(&facts(1000)), (vec![], vec![vec![], vec![]]));
}

#[test]
fn a_capture_of_more_than_was_authorised_is_found_once_until_it_heals() {
    let charges = |all: &[(i64, i64)]| {
        let begin = OrderFact::Order(event(1, created(1000, 1000)));
        let facts = all.iter().zip(1..).map(|((authorized, captured), at)| {
            OrderFact::Payment(event(1, charged(at, *authorized, *captured, 0)))
        });
        audit(&std::iter::once(begin).chain(facts).collect::<Vec<_>>()).0
    };
    assert_eq!(charges(&[(1000, 0), (1000, 1000)]), [0; 0]);
    assert_eq!(charges(&[(1000, 0), (999, 1000)]), [4]);
    assert_eq!(charges(&[(999, 1000), (999, 1000)]), [4]);
    let healed = [(999, 1000), (1000, 1000), (999, 1000)];
    assert_eq!(charges(&healed), [4, 4]);
    assert_eq!(
        charges(&[(0, 1000)]),
        [0; 0],
        "it is unwanted, and goes back"
    );
}

#[test]
fn a_second_charge_and_a_refund_of_too_much_are_found_at_once() {
    let begin = OrderFact::Order(event(1, created(1000, 1000)));
    let twice = OrderFact::Payment(event(1, payments(1, 2000, 0)));
    assert_eq!(audit(&[begin.clone(), twice]).0, [7]);
    let too_much = OrderFact::Payment(event(1, payments(1, 1000, 1001)));
    assert_eq!(audit(&[begin.clone(), too_much]).0, [4]);
    let reserved = OrderReserved {
        order_id: order(),
        user_id: user(),
    };
    let gap = OrderFact::Order(event(3, reserved));
    assert_eq!(audit(&[begin, gap]).0, [2]);
}

//! The auditor: silent about facts that fit together, loud about forged ones.

use std::sync::Arc;
use std::time::Duration;

use millrace_avro::catalog::{
    AUDIT_EVENTS, INVENTORY_EVENTS, ORDER_AUDIT, ORDER_EVENTS, PAYMENT_EVENTS, RESERVATION_REPLIES,
    STOCK_AUDIT,
};
use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::inventory::{
    InventoryEvent, Movement, ReservationReleased, StockAdjusted, StockLevel, StockReserved,
};
use millrace_avro::events::orders::{
    OrderCancelled, OrderCreated, OrderEvent, OrderLine, OrderReserved, ReservationPart, Totals,
};
use millrace_avro::events::payments::{
    AttemptStatus, PaymentEvent, PaymentRefunded, PaymentStanding, PaymentSummary,
};
use millrace_avro::keys::{LocationId, OrderId, PaymentId, ProductId, ReservationId, Sku, UserId};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_avro::registry::Registry;
use millrace_processors::audit::AuditLimits;
use millrace_streams::serde::{Data, Resources};
use millrace_streams::{TestDriverOptions, Timestamp, Topic, TopologyTestDriver};
use millrace_topologies::audit;

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// An auditor, and facts for it to hear: about one order for one mug.
struct Audit {
    driver: TopologyTestDriver,
    facts: u64,
}

impl Audit {
    fn new() -> Self {
        let topology = audit(AuditLimits::default()).expect("the topology is sound");
        let registry = Arc::new(Registry::in_memory());
        let mut options = TestDriverOptions::default();
        options.resources = Resources::new().with(Arc::new(SchemaClient::local(registry)));
        let driver = TopologyTestDriver::with_options(&topology, options).expect("a driver");
        Self { driver, facts: 0 }
    }

    fn hear<K: Data, E: EventSet>(
        &mut self,
        topic: Topic<K, Event<E>>,
        key: &K,
        seq: u64,
        body: impl Into<E>,
    ) where
        Event<E>: Data,
    {
        self.facts += 1;
        let id = EventId::new(format!("fact-{}", self.facts));
        let event = Event::new(Meta::new(id, "/test", NOW).with_seq(seq), body);
        let piped = self.driver.input(topic).pipe(key, &event, NOW);
        piped.expect("the auditor takes every fact");
    }

    fn order(&mut self, seq: u64, fact: impl Into<OrderEvent>) {
        self.hear(ORDER_EVENTS, &order(), seq, fact);
    }

    fn payment(&mut self, seq: u64, fact: impl Into<PaymentEvent>) {
        self.hear(PAYMENT_EVENTS, &order(), seq, fact);
    }

    /// A fact of the stock, as the SKU's auditor and as the order's hears it.
    fn stock(&mut self, seq: u64, fact: impl Into<InventoryEvent>) {
        let fact = fact.into();
        if !matches!(fact, InventoryEvent::Adjusted(_)) {
            self.hear(RESERVATION_REPLIES, &order(), seq, fact.clone());
        }
        self.hear(INVENTORY_EVENTS, &sku(), seq, fact);
    }

    /// What was found since the last call: what it is about, and the invariant's number.
    fn found(&mut self) -> Vec<(String, i32)> {
        let entries = self.driver.output(AUDIT_EVENTS).read_key_values();
        let entries = entries.expect("typed entries").into_iter();
        let violations = entries.filter_map(|(about, entry)| match entry.body {
            AuditEvent::InvariantViolated(found) => Some((about.to_string(), found.invariant)),
            AuditEvent::Noted(_) => None,
        });
        violations.collect()
    }

    fn wait(&mut self, time: Duration) {
        let advanced = self.driver.advance_wall_clock(time);
        advanced.expect("deadlines fire");
    }
}

fn order() -> OrderId {
    OrderId::new("order-1").expect("a key")
}

fn sku() -> Sku {
    Sku::new("mug-red").expect("a key")
}

fn user() -> UserId {
    UserId::new("ann").expect("a key")
}

fn main_location() -> LocationId {
    LocationId::new("main").expect("a key")
}

fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn level(on_hand: i64, reserved: i64) -> StockLevel {
    StockLevel {
        location: main_location(),
        on_hand,
        reserved,
        available: on_hand - reserved,
    }
}

fn received(delta: i64, level: StockLevel) -> StockAdjusted {
    StockAdjusted {
        sku: sku(),
        movement: Movement {
            id: "movement".into(),
            location: main_location(),
            delta,
            reason: "received".into(),
            actor: "test".into(),
            cause: "test".into(),
            at: String::new(),
        },
        level,
    }
}

fn one_part() -> Vec<ReservationPart> {
    vec![ReservationPart {
        location: main_location(),
        quantity: 1,
    }]
}

fn reserved() -> StockReserved {
    StockReserved {
        reservation_id: ReservationId::of(&order(), &sku()),
        order_id: order(),
        sku: sku(),
        quantity: 1,
        parts: one_part(),
        hold_until_ms: 60_000,
        levels: vec![level(5, 1)],
    }
}

fn released() -> ReservationReleased {
    ReservationReleased {
        reservation_id: ReservationId::of(&order(), &sku()),
        order_id: order(),
        sku: sku(),
        parts: one_part(),
        reason: "cancelled".into(),
        levels: vec![level(5, 0)],
    }
}

fn created(total: i64) -> OrderCreated {
    let line = OrderLine {
        sku: sku(),
        product_id: ProductId::new("mug").expect("a key"),
        name: "Mug".into(),
        quantity: 1,
        unit_price: euro(1_000),
        tax_rate: Rate::ZERO,
        discount: euro(0),
        tax: euro(0),
        line_total: euro(1_000),
        shipped: 0,
        cancelled: 0,
    };
    OrderCreated {
        order_id: order(),
        user_id: user(),
        cart_id: None,
        lines: vec![line],
        totals: Totals {
            subtotal: euro(total),
            discount: euro(0),
            tax: euro(0),
            shipping: euro(0),
            total: euro(total),
        },
    }
}

fn cancelled() -> OrderCancelled {
    OrderCancelled {
        order_id: order(),
        user_id: user(),
        reason: "changed my mind".into(),
    }
}

/// A refund, after which `refunded` of a captured 1 000 are back.
fn refunded(refunded: i64) -> PaymentRefunded {
    let payment_id = PaymentId::new("payment-1").expect("a key");
    let standing = PaymentStanding {
        revision: 1,
        attempts: vec![PaymentSummary {
            id: payment_id.clone(),
            status: AttemptStatus::Refunded,
            amount: euro(1_000),
            authorized: euro(1_000),
            captured: euro(1_000),
            refunded: euro(refunded),
            detail: None,
        }],
        captured: euro(1_000),
        refunded: euro(refunded),
        refunding: euro(0),
        refunds: Vec::new(),
    };
    PaymentRefunded {
        order_id: order(),
        payment_id,
        refund_id: None,
        amount: euro(refunded),
        standing,
    }
}

/// An order that is placed, reserved, cancelled and paid back.
fn play(audit: &mut Audit, given_back: bool, paid_back: i64) {
    audit.stock(1, received(5, level(5, 0)));
    audit.order(1, created(1_000));
    audit.stock(2, reserved());
    audit.order(
        2,
        OrderReserved {
            order_id: order(),
            user_id: user(),
        },
    );
    audit.order(3, cancelled());
    audit.payment(1, refunded(paid_back));
    if given_back {
        audit.stock(3, released());
    }
    audit.wait(Duration::from_secs(20 * 60));
}

#[test]
fn an_order_whose_facts_fit_together_is_not_reported() {
    let mut audit = Audit::new();
    play(&mut audit, true, 1_000);
    assert_eq!(audit.found(), []);
    let seen = audit
        .driver
        .store(ORDER_AUDIT)
        .expect("a store")
        .get(&order());
    assert_eq!(seen.expect("an answer").map(|seen| seen.last_seq), Some(3));
    let seen = audit
        .driver
        .store(STOCK_AUDIT)
        .expect("a store")
        .get(&sku());
    assert_eq!(seen.expect("an answer").map(|seen| seen.last_seq), Some(3));
}

#[test]
fn stock_that_nobody_moved_is_reported_at_its_location() {
    let mut audit = Audit::new();
    audit.stock(1, received(5, level(6, 0)));
    assert_eq!(audit.found(), [("main/mug-red".to_owned(), 2)]);
}

#[test]
fn stock_that_is_promised_twice_is_reported_at_its_location() {
    let mut audit = Audit::new();
    audit.stock(1, received(1, level(1, 0)));
    audit.stock(
        2,
        StockReserved {
            levels: vec![level(1, 2)],
            ..reserved()
        },
    );
    assert_eq!(audit.found(), [("main/mug-red".to_owned(), 1)]);
}

#[test]
fn an_order_that_costs_more_than_its_lines_is_reported() {
    let mut audit = Audit::new();
    audit.order(1, created(1_001));
    assert_eq!(audit.found(), [("order-1".to_owned(), 8)]);
}

#[test]
fn a_refund_of_more_than_was_captured_is_reported() {
    let mut audit = Audit::new();
    audit.order(1, created(1_000));
    audit.payment(1, refunded(1_001));
    assert_eq!(audit.found(), [("order-1".to_owned(), 4)]);
}

#[test]
fn a_capture_of_more_than_was_authorised_is_reported() {
    let mut audit = Audit::new();
    audit.order(1, created(1_000));
    let mut forged = refunded(0);
    forged.standing.attempts[0].authorized = euro(999);
    audit.payment(1, forged);
    assert_eq!(audit.found(), [("order-1".to_owned(), 4)]);
}

#[test]
fn a_reservation_that_outlives_its_order_is_reported_once() {
    let mut audit = Audit::new();
    play(&mut audit, false, 1_000);
    assert_eq!(audit.found(), [("order-1".to_owned(), 5)]);
    audit.wait(Duration::from_secs(20 * 60));
    assert_eq!(audit.found(), []);
}

#[test]
fn money_that_is_kept_of_a_cancelled_order_is_reported() {
    let mut audit = Audit::new();
    play(&mut audit, true, 900);
    assert_eq!(audit.found(), [("order-1".to_owned(), 3)]);
}

//! A stage for one order: plays its inputs, and notes what it wants done.

use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::common::{AuditEvent, ReplyEvent};
use millrace_avro::events::inventory::{
    InventoryEvent, RejectReason, ReservationCommitFailed, ReservationCommitted,
    ReservationExpired, ReservationRejected, StockReserved,
};
use millrace_avro::events::orders::{
    CaptureMode, OrderCancelRequested, OrderCommand, OrderPlaced, OrderShipmentRequested,
    OrderState, OrderStatus, PlacedLine, ReservationPart, ShippedItem,
};
use millrace_avro::events::payments::{
    AttemptStatus, PaymentCaptured, PaymentCommand, PaymentEvent, PaymentStanding, PaymentSummary,
    RefundPayment, RefundStatus, RefundSummary,
};
use millrace_avro::keys::{
    CartId, LocationId, OrderId, PaymentId, ProductId, ReservationId, ShipmentId, Sku, UserId,
};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_streams::Timestamp;

use crate::emit::Emitter;
use crate::order::{OrderEffect, OrderInput, OrderSaga};
use crate::transition::{Step, Transition};

/// One order, and the clock.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) saga: OrderSaga,
    pub(super) now: Timestamp,
    pub(super) state: Option<OrderState>,
    pub(super) deadline: Option<Timestamp>,
    /// What the payments know of refunds.
    pub(super) refunds: Vec<RefundSummary>,
    events: u64,
    revision: u64,
}

pub(super) fn key() -> OrderId {
    OrderId::new("order").unwrap()
}

pub(super) fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

pub(super) fn euro(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

/// Two of `mug` and one of `lamp`, of which the mugs stand on two lines: 3700 with tax.
pub(super) fn placed() -> OrderPlaced {
    let line = |name: &str, quantity, price| PlacedLine {
        sku: sku(name),
        product_id: ProductId::new(name).unwrap(),
        name: name.to_owned(),
        quantity,
        unit_price: euro(price),
        tax_rate: Rate::ZERO,
    };
    OrderPlaced {
        order_id: key(),
        user_id: UserId::new("user").unwrap(),
        cart_id: Some(CartId::new("cart").unwrap()),
        currency: Currency::EUR,
        lines: vec![
            line("mug", 1, 600),
            line("lamp", 1, 2500),
            line("mug", 1, 600),
        ],
        discounts: Vec::new(),
        shipping: euro(0),
        shipping_tax_rate: Rate::ZERO,
        payment_method: "pm_ok".to_owned(),
        capture: CaptureMode::Automatic,
        shipping_address: None,
        expected_total: Some(euro(3700)),
        near: Vec::new(),
    }
}

pub(super) fn cancel() -> OrderCancelRequested {
    OrderCancelRequested {
        order_id: key(),
        reason: None,
    }
}

pub(super) fn shipment(id: &str, items: &[(&str, i64)]) -> OrderShipmentRequested {
    let item = |(name, quantity): &(&str, i64)| ShippedItem {
        sku: sku(name),
        quantity: *quantity,
    };
    OrderShipmentRequested {
        order_id: key(),
        shipment_id: ShipmentId::new(id).unwrap(),
        items: items.iter().map(item).collect(),
        tracking: None,
    }
}

/// Its goods are reserved, and its payment has begun.
pub(super) fn awaiting_payment() -> Stage {
    let mut stage = Stage::new();
    stage.command(placed());
    stage.reserved("lamp", 1);
    stage.reserved("mug", 2);
    stage
}

/// It is paid, and its goods are its own.
pub(super) fn confirmed() -> Stage {
    let mut stage = awaiting_payment();
    stage.payments(&[(AttemptStatus::Captured, 3700, 0)]);
    stage.committed("lamp", 1);
    stage.committed("mug", 2);
    stage
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            saga: OrderSaga::default(),
            now: Timestamp::from_millis(1_700_000_000_000),
            state: None,
            deadline: None,
            refunds: Vec::new(),
            events: 0,
            revision: 0,
        }
    }

    /// An order that is simply said to be in a state.
    pub(super) fn order_in(&self, status: OrderStatus) -> (OrderState, Emitter) {
        let mut stage = Self::new();
        stage.command(placed());
        let mut order = stage.state.unwrap();
        order.status = status;
        order.deadline_ms = (!crate::order::table::is_terminal(status)).then_some(1);
        let cause = Meta::new(EventId::new("cause"), "/test", self.now);
        (order, Emitter::of(&cause, "test", "/orders", self.now))
    }

    pub(super) fn order(&self) -> &OrderState {
        self.state.as_ref().unwrap()
    }

    pub(super) fn command(&mut self, body: impl Into<OrderCommand>) -> Vec<String> {
        let event = self.event(body);
        self.hear(&OrderInput::Command(event))
    }

    pub(super) fn stock(&mut self, body: impl Into<InventoryEvent>) -> Vec<String> {
        self.revision += 1;
        let mut event = self.event(body);
        event.meta.seq = self.revision;
        self.hear(&OrderInput::Stock(event))
    }

    /// The payments say that the attempts, oldest first, stand so.
    pub(super) fn payments(&mut self, attempts: &[(AttemptStatus, i64, i64)]) -> Vec<String> {
        self.revision += 1;
        let event = self.payment_event(attempts, self.revision);
        self.hear(&OrderInput::Payment(event))
    }

    pub(super) fn payment_event(
        &mut self,
        attempts: &[(AttemptStatus, i64, i64)],
        revision: u64,
    ) -> Event<PaymentEvent> {
        let sum = |of: fn(&(AttemptStatus, i64, i64)) -> i64| euro(attempts.iter().map(of).sum());
        let summary = |(status, captured, refunded): &(AttemptStatus, i64, i64)| PaymentSummary {
            id: PaymentId::new("payment").unwrap(),
            status: *status,
            amount: euro(3700),
            authorized: euro(*captured),
            captured: euro(*captured),
            refunded: euro(*refunded),
            detail: None,
        };
        let standing = PaymentStanding {
            revision: i64::try_from(revision).unwrap(),
            attempts: attempts.iter().map(summary).collect(),
            captured: sum(|attempt| attempt.1),
            refunded: sum(|attempt| attempt.2),
            refunding: self.held(),
            refunds: self.refunds.clone(),
        };
        self.event(PaymentCaptured {
            order_id: key(),
            payment_id: PaymentId::new("payment").unwrap(),
            amount: standing.captured,
            standing,
        })
    }

    fn held(&self) -> Money {
        let open = self.refunds.iter();
        let open = open.filter(|refund| refund.status == RefundStatus::Requested);
        euro(open.map(|refund| refund.amount.minor).sum())
    }

    pub(super) fn hear(&mut self, input: &OrderInput) -> Vec<String> {
        let step = self
            .saga
            .on_event(&key(), self.state.take(), input, self.now);
        self.take(step)
    }

    pub(super) fn pass_deadline(&mut self) -> Vec<String> {
        self.now = self.deadline.expect("the order waits for something");
        let step = self
            .saga
            .on_deadline(&key(), self.state.take().unwrap(), self.now);
        self.take(step)
    }

    pub(super) fn event<E: EventSet>(&mut self, body: impl Into<E>) -> Event<E> {
        self.events += 1;
        let id = EventId::new(format!("event-{}", self.events));
        Event::new(Meta::new(id, "/test", self.now), body)
    }

    fn take(&mut self, step: Step<OrderState, OrderEffect>) -> Vec<String> {
        self.state = step.state;
        self.deadline = step.deadline;
        for refund in step.effects.iter().filter_map(refund) {
            self.hold(refund);
        }
        step.effects.iter().filter_map(name).collect()
    }

    /// The payments know of a refund from now on, unless they did before.
    fn hold(&mut self, refund: &RefundPayment) {
        if self
            .refunds
            .iter()
            .all(|known| known.id != refund.refund_id)
        {
            self.refunds.push(RefundSummary {
                id: refund.refund_id.clone(),
                status: RefundStatus::Requested,
                amount: refund.amount,
            });
        }
    }

    // The answers of the stock.

    pub(super) fn reserved(&mut self, name: &str, quantity: i64) -> Vec<String> {
        self.stock(StockReserved {
            reservation_id: ReservationId::of(&key(), &sku(name)),
            order_id: key(),
            sku: sku(name),
            quantity,
            parts: parts(quantity),
            hold_until_ms: 0,
            levels: Vec::new(),
        })
    }

    pub(super) fn rejected(&mut self, name: &str) -> Vec<String> {
        self.stock(ReservationRejected {
            reservation_id: ReservationId::of(&key(), &sku(name)),
            order_id: key(),
            sku: sku(name),
            quantity: 1,
            reason: RejectReason::InsufficientStock,
            available: 0,
        })
    }

    pub(super) fn committed(&mut self, name: &str, quantity: i64) -> Vec<String> {
        self.stock(ReservationCommitted {
            reservation_id: ReservationId::of(&key(), &sku(name)),
            order_id: key(),
            sku: sku(name),
            parts: parts(quantity),
            reacquired: false,
            levels: Vec::new(),
        })
    }

    pub(super) fn commit_failed(&mut self, name: &str) -> Vec<String> {
        self.stock(ReservationCommitFailed {
            reservation_id: ReservationId::of(&key(), &sku(name)),
            order_id: key(),
            sku: sku(name),
            reason: RejectReason::Expired,
            available: 0,
        })
    }

    pub(super) fn hold_expired(&mut self, name: &str) -> Vec<String> {
        self.stock(ReservationExpired {
            reservation_id: ReservationId::of(&key(), &sku(name)),
            order_id: key(),
            sku: sku(name),
            parts: parts(1),
            levels: Vec::new(),
        })
    }
}

fn parts(quantity: i64) -> Vec<ReservationPart> {
    vec![ReservationPart {
        location: LocationId::new("main").unwrap(),
        quantity,
    }]
}

fn refund(effect: &OrderEffect) -> Option<&RefundPayment> {
    match effect {
        OrderEffect::Payment(event) => match &event.body {
            PaymentCommand::Refund(refund) => Some(refund),
            _ => None,
        },
        _ => None,
    }
}

/// An effect in short; the view is shown after every change and not worth a word.
fn name(effect: &OrderEffect) -> Option<String> {
    Some(match effect {
        OrderEffect::Fact(event) => event.body.type_name().to_owned(),
        OrderEffect::Stock(sku, event) => format!("{} {sku}", event.body.type_name()),
        OrderEffect::Payment(event) => event.body.type_name().to_owned(),
        OrderEffect::Cart(cart, event) => format!("{} {cart}", event.body.type_name()),
        OrderEffect::Reply(event) => {
            let ReplyEvent::Replied(reply) = &event.body;
            let code = reply.code.as_deref().unwrap_or_default();
            format!("reply {:?} {code}", reply.outcome)
                .trim()
                .to_owned()
        }
        OrderEffect::Audit(event) => match &event.body {
            AuditEvent::Noted(entry) => format!("audit {:?} {}", entry.severity, entry.code),
            AuditEvent::InvariantViolated(_) => "audit violation".to_owned(),
        },
        OrderEffect::View(_) => return None,
    })
}

//! The world: three rules, the messages between them, a gateway, a clock, and the auditors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::audit::{OrderAudit, StockAudit};
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::inventory::{AdjustStock, InventoryCommand, StockState};
use millrace_avro::events::orders::{
    CaptureMode, OrderCancelRequested, OrderCommand, OrderDeliveryReported, OrderEvent,
    OrderPlaced, OrderShipmentRequested, OrderState, OrderStatus, PlacedLine, ReservationStatus,
    ShippedItem,
};
use millrace_avro::events::payments::{
    GatewayCall, GatewayEffect, GatewayReported, PaymentCommand, PaymentsState, Refund,
    RefundPayment, RefundStatus,
};
use millrace_avro::keys::{
    LocationId, OrderId, PaymentId, ProductId, RefundId, ShipmentId, Sku, UserId,
};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_processors::audit::{OrderAuditor, OrderFact, StockAuditor};
use millrace_processors::inventory::{Inventory, InventoryEffect};
use millrace_processors::order::table::is_terminal;
use millrace_processors::order::{OrderEffect, OrderInput, OrderSaga};
use millrace_processors::payment::{PaymentEffect, Payments};
use millrace_processors::transition::{Step, Transition};
use millrace_streams::Timestamp;

use crate::gateway::{Gateway, Mood};

const SKUS: [&str; 3] = ["one", "two", "three"];
const ORDERS: i64 = 12;

#[derive(Clone, Debug)]
enum Message {
    Order(OrderId, OrderInput),
    Stock(Sku, Event<InventoryCommand>),
    Payment(OrderId, Event<PaymentCommand>),
    Call(GatewayCall),
}

type Kept<S> = (S, Option<Timestamp>);

pub(crate) struct World {
    dice: u64,
    now: Timestamp,
    commands: u64,
    calm: bool,
    orders: BTreeMap<OrderId, Kept<OrderState>>,
    stock: BTreeMap<Sku, Kept<StockState>>,
    payments: BTreeMap<OrderId, Kept<PaymentsState>>,
    order_audits: BTreeMap<OrderId, Kept<OrderAudit>>,
    stock_audits: BTreeMap<Sku, Kept<StockAudit>>,
    under_way: Vec<Message>,
    delivered: Vec<Message>,
    gateway: Gateway,
    last_seq: BTreeMap<String, u64>,
    /// What customers were told they get back for what will not leave, in minor units.
    promised: BTreeMap<OrderId, i64>,
    story: String,
}

fn saga() -> OrderSaga {
    let mut saga = OrderSaga::default();
    saga.limits.reservation_ttl = Duration::from_secs(60);
    saga
}

/// Impatient: so that calls are given up while their answers are still under way.
fn payments() -> Payments {
    let mut payments = Payments::default();
    payments.limits.answer_within = Duration::from_secs(3);
    payments.limits.tries_max = 2;
    payments.limits.owed_tries_max = 1_000;
    payments.limits.progress_within = Duration::from_secs(20);
    payments
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: seed,
            now: Timestamp::from_millis(1_000_000),
            commands: 0,
            calm: false,
            orders: BTreeMap::new(),
            stock: BTreeMap::new(),
            payments: BTreeMap::new(),
            order_audits: BTreeMap::new(),
            stock_audits: BTreeMap::new(),
            under_way: Vec::new(),
            delivered: Vec::new(),
            gateway: Gateway::default(),
            last_seq: BTreeMap::new(),
            promised: BTreeMap::new(),
            story: String::new(),
        };
        for sku in SKUS {
            for location in ["near", "far"] {
                let delta = 1 + world.roll(6);
                world.adjust(sku, location, delta);
            }
        }
        while let Some(message) = world.under_way.pop() {
            world.deliver(message);
        }
        world
    }

    /// Everything that was told, to compare two runs.
    pub(crate) fn story(&self) -> &str {
        &self.story
    }

    /// The states in which orders have come to rest.
    pub(crate) fn ends(&self) -> Vec<String> {
        let ends = self
            .orders
            .values()
            .map(|(order, _)| format!("{:?}", order.status));
        ends.collect()
    }

    /// One thing happens.
    pub(crate) fn step(&mut self) {
        match self.roll(20) {
            0..2 => self.somebody_asks(),
            2 => self.operator_adjusts(),
            3 => self.time_passes(),
            4 => self.customer_acts(),
            5..7 if !self.delivered.is_empty() => {
                let index = self.pick(self.delivered.len());
                let again = self.delivered[index].clone();
                self.deliver(again);
            }
            _ if !self.under_way.is_empty() => {
                let index = self.pick(self.under_way.len());
                let message = self.under_way.remove(index);
                self.delivered.push(message.clone());
                self.deliver(message);
            }
            _ => self.somebody_asks(),
        }
    }

    /// Everything is delivered, and every deadline passes, but for those of people.
    pub(crate) fn come_to_rest(&mut self) {
        self.calm = true;
        for _ in 0..10_000 {
            if !self.under_way.is_empty() {
                let message = self.under_way.remove(0);
                self.deliver(message);
                continue;
            }
            let Some(due) = self.next_deadline() else {
                return;
            };
            self.now = self.now.max(due);
            self.pass_deadlines();
        }
        panic!("the world does not come to rest");
    }

    // What must hold at every instant.

    pub(crate) fn check_always(&self) {
        for (sku, (stock, _)) in &self.stock {
            for at in &stock.locations {
                let available = at.on_hand - at.held - at.committed;
                assert!(
                    at.on_hand >= 0 && at.held >= 0 && at.committed >= 0,
                    "{sku}: {at:?}"
                );
                assert!(available >= 0, "{sku} is oversold: {at:?}");
                let parts = stock.holds.iter().flat_map(|hold| &hold.parts);
                let here = parts.filter(|part| part.location == at.location);
                assert_eq!(
                    at.held,
                    here.map(|part| part.quantity).sum::<i64>(),
                    "{sku}"
                );
            }
        }
        for (order, deadline) in self.orders.values() {
            assert_eq!(
                order.deadline_ms.is_none(),
                is_terminal(order.status),
                "{order:?}"
            );
            assert_eq!(deadline.map(Timestamp::as_millis), order.deadline_ms);
        }
    }

    // What must hold when nothing is under way.

    pub(crate) fn check_at_rest(&self) {
        for (id, (order, _)) in &self.orders {
            self.check_money(id, order);
            self.check_goods(order);
        }
        for (sku, (stock, _)) in &self.stock {
            assert!(stock.holds.is_empty(), "{sku} has holds at rest");
            for at in &stock.locations {
                let owned = self.owned(sku, &at.location);
                assert_eq!(at.committed, owned, "{sku} at {}", at.location);
            }
        }
    }

    fn check_money(&self, id: &OrderId, order: &OrderState) {
        let attempts = self
            .payments
            .get(id)
            .map(|(payments, _)| &payments.attempts);
        let ids: Vec<PaymentId> = attempts
            .into_iter()
            .flatten()
            .map(|a| a.payment_id.clone())
            .collect();
        let (kept, open, excess) = self.gateway.books(&ids);
        let total = order.totals.total.minor;
        assert!(excess <= 0, "an attempt has taken too much: {order:?}");
        match order.status {
            OrderStatus::Confirmed
            | OrderStatus::PartiallyShipped
            | OrderStatus::Shipped
            | OrderStatus::Delivered => {
                assert!(
                    kept <= total && kept >= 0,
                    "{kept} kept of {total}: {order:?}"
                );
                let refunds = &self.payments[id].0.refunds;
                let refunded: i64 = refunds
                    .iter()
                    .filter(|refund| refund.reason != "payment-undone")
                    .filter(|refund| refund.status == RefundStatus::Succeeded)
                    .map(|refund| refund.amount.minor)
                    .sum();
                let paid = order.capture == CaptureMode::Automatic || !order.shipments.is_empty();
                let given = |r: &&Refund| {
                    r.reason == "rest-cancelled" && r.status == RefundStatus::Succeeded
                };
                let rest = refunds.iter().filter(given);
                let given: i64 = rest.map(|refund| refund.amount.minor).sum();
                let promised = self.promised.get(id).copied().unwrap_or_default();
                assert_eq!(given, promised, "{order:?} {:?}", self.payments[id]);
                if paid {
                    assert_eq!(kept + refunded, total, "{order:?} {:?}", self.payments[id]);
                }
            }
            _ => {
                assert!(
                    is_terminal(order.status),
                    "{order:?} {:?}",
                    self.payments.get(id)
                );
                assert_eq!(
                    (kept, open),
                    (0, 0),
                    "{order:?} {:?}",
                    self.payments.get(id)
                );
            }
        }
    }

    fn check_goods(&self, order: &OrderState) {
        use ReservationStatus as R;
        let kept = matches!(
            order.status,
            OrderStatus::Confirmed | OrderStatus::PartiallyShipped
        );
        for reservation in &order.reservations {
            let holds = matches!(
                reservation.status,
                R::Requested | R::Held | R::Committing | R::Committed
            );
            assert!(kept || !holds, "{order:?}");
        }
    }

    fn owned(&self, sku: &Sku, location: &LocationId) -> i64 {
        let reservations = self
            .orders
            .values()
            .flat_map(|(order, _)| &order.reservations);
        let mine = reservations.filter(|r| r.sku == *sku);
        let committed = mine.filter(|r| r.status == ReservationStatus::Committed);
        let parts = committed.flat_map(|reservation| &reservation.parts);
        let here = parts.filter(|part| part.location == *location);
        here.map(|part| part.quantity).sum()
    }

    // What happens.

    fn somebody_asks(&mut self) {
        let id = order_id(self.roll(ORDERS));
        let known = self.orders.contains_key(&id);
        let body: OrderCommand = match self.roll(24) {
            _ if !known => self.new_order(&id).into(),
            0 => OrderCancelRequested {
                order_id: id.clone(),
                reason: None,
            }
            .into(),
            1..4 => self.shipment(&id).into(),
            4 => OrderDeliveryReported {
                order_id: id.clone(),
            }
            .into(),
            5 => return self.operator_refunds(&id),
            _ => return,
        };
        let event = self.event(body);
        let input = OrderInput::Command(event);
        self.under_way.push(Message::Order(id, input));
    }

    fn new_order(&mut self, id: &OrderId) -> OrderPlaced {
        let lines = 1 + self.roll(3);
        let lines = (0..lines).map(|_| self.line()).collect();
        let capture = match self.roll(4) {
            0 => CaptureMode::Manual,
            _ => CaptureMode::Automatic,
        };
        OrderPlaced {
            order_id: id.clone(),
            user_id: UserId::new("user").unwrap(),
            cart_id: None,
            currency: Currency::EUR,
            lines,
            discounts: Vec::new(),
            shipping: Money::new(390, Currency::EUR),
            shipping_tax_rate: Rate::ZERO,
            payment_method: "pm_ok".to_owned(),
            capture,
            shipping_address: None,
            expected_total: None,
            near: Vec::new(),
        }
    }

    fn line(&mut self) -> PlacedLine {
        let sku = SKUS[self.pick(SKUS.len())];
        PlacedLine {
            sku: Sku::new(sku).unwrap(),
            product_id: ProductId::new(sku).unwrap(),
            name: sku.to_owned(),
            quantity: 1 + self.roll(3),
            unit_price: Money::new(100 + self.roll(900), Currency::EUR),
            tax_rate: Rate::basis_points(1900),
        }
    }

    fn shipment(&mut self, id: &OrderId) -> OrderShipmentRequested {
        let line = {
            let lines = &self.orders[id].0.lines;
            lines[self.dice as usize % lines.len()].clone()
        };
        let some = ShippedItem {
            sku: line.sku,
            quantity: 1,
        };
        let all = self.roll(2) == 0;
        let number = self.commands;
        OrderShipmentRequested {
            order_id: id.clone(),
            shipment_id: ShipmentId::new(&format!("shipment-{number}")).unwrap(),
            items: if all { Vec::new() } else { vec![some] },
            tracking: None,
        }
    }

    fn operator_refunds(&mut self, id: &OrderId) {
        if self.orders[id].0.status != OrderStatus::Delivered {
            return;
        }
        let refund_id = RefundId::new(&format!("refund-{}", self.commands)).unwrap();
        let amount = Money::new(1 + self.roll(300), Currency::EUR);
        let event = self.event(RefundPayment {
            order_id: id.clone(),
            refund_id,
            payment_id: None,
            amount,
            reason: "returned".to_owned(),
        });
        self.under_way.push(Message::Payment(id.clone(), event));
    }

    fn operator_adjusts(&mut self) {
        let sku = SKUS[self.pick(SKUS.len())];
        let delta = self.roll(5) - 2;
        self.adjust(sku, "near", delta);
    }

    fn adjust(&mut self, sku: &str, location: &str, delta: i64) {
        let sku = Sku::new(sku).unwrap();
        let event = self.event(AdjustStock {
            sku: sku.clone(),
            location: LocationId::new(location).unwrap(),
            delta,
            reason: "received".to_owned(),
        });
        self.under_way.push(Message::Stock(sku, event));
    }

    fn customer_acts(&mut self) {
        let mut attempts = Vec::new();
        for (id, (payments, _)) in &self.payments {
            attempts.extend(
                payments
                    .attempts
                    .iter()
                    .map(|a| (id.clone(), a.payment_id.clone())),
            );
        }
        if attempts.is_empty() {
            return;
        }
        let (order_id, payment_id) = attempts.swap_remove(self.pick(attempts.len()));
        let agrees = self.roll(3) > 0;
        if let Some(facts) = self.gateway.customer_acts(&payment_id, agrees) {
            self.report(order_id, payment_id, facts);
        }
    }

    fn time_passes(&mut self) {
        self.now = self.now + Duration::from_millis(self.roll(15_000).unsigned_abs());
        self.pass_deadlines();
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Order(id, input) => {
                let state = self.orders.remove(&id).map(|(state, _)| state);
                let step = saga().on_event(&id, state, &input, self.now);
                self.order_stepped(id, step);
            }
            Message::Stock(sku, event) => {
                let state = self.stock.remove(&sku).map(|(state, _)| state);
                let step = Inventory::default().on_event(&sku, state, &event, self.now);
                self.stock_stepped(sku, step);
            }
            Message::Payment(id, event) => {
                let state = self.payments.remove(&id).map(|(state, _)| state);
                let step = payments().on_event(&id, state, &event, self.now);
                self.payments_stepped(id, step);
            }
            Message::Call(call) => self.call_gateway(&call),
        }
    }

    fn call_gateway(&mut self, call: &GatewayCall) {
        let mood = Mood {
            declines: !self.calm && self.roll(4) == 0,
            wants_action: !self.calm && self.roll(4) == 0,
            refund_fails: !self.calm && self.roll(4) == 0,
        };
        let said = self.gateway.answer(call, &mood);
        let reply_is_lost = !self.calm && self.roll(5) == 0;
        if !reply_is_lost {
            // A gateway tells what has happened in any order, and not all of it every time.
            let some = match self.calm {
                true => said,
                false => said
                    .into_iter()
                    .filter(|_| self.roll(4) > 0)
                    .rev()
                    .collect(),
            };
            self.report(call.order_id.clone(), call.payment_id.clone(), some);
        }
    }

    fn report(
        &mut self,
        order_id: OrderId,
        payment_id: PaymentId,
        facts: Vec<millrace_avro::events::payments::GatewayFact>,
    ) {
        let event = self.event(GatewayReported {
            order_id: order_id.clone(),
            payment_id,
            facts,
        });
        self.under_way.push(Message::Payment(order_id, event));
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let by_itself = |order: &OrderState| {
            !matches!(
                order.status,
                OrderStatus::Confirmed | OrderStatus::PartiallyShipped | OrderStatus::Shipped
            )
        };
        let orders = self.orders.values().filter(|(order, _)| by_itself(order));
        let orders = orders.filter_map(|(_, deadline)| *deadline);
        let stock = self.stock.values().filter_map(|(_, deadline)| *deadline);
        let payments = self.payments.values().filter_map(|(_, deadline)| *deadline);
        let audits = self.order_audits.values().filter_map(|(audit, deadline)| {
            audit
                .status
                .is_some_and(is_terminal)
                .then_some(*deadline)
                .flatten()
        });
        orders.chain(stock).chain(payments).chain(audits).min()
    }

    fn pass_deadlines(&mut self) {
        let now = self.now;
        let is_due = |deadline: &Option<Timestamp>| deadline.is_some_and(|due| due <= now);
        for id in due_keys(&self.orders, is_due) {
            let (state, _) = self.orders.remove(&id).unwrap();
            let step = saga().on_deadline(&id, state, now);
            self.order_stepped(id, step);
        }
        for sku in due_keys(&self.stock, is_due) {
            let (state, _) = self.stock.remove(&sku).unwrap();
            let step = Inventory::default().on_deadline(&sku, state, now);
            self.stock_stepped(sku, step);
        }
        for id in due_keys(&self.payments, is_due) {
            let (state, _) = self.payments.remove(&id).unwrap();
            let step = payments().on_deadline(&id, state, now);
            self.payments_stepped(id, step);
        }
        for id in due_keys(&self.order_audits, is_due) {
            let (state, _) = self.order_audits.remove(&id).unwrap();
            let step = OrderAuditor::default().on_deadline(&id, state, now);
            self.order_audited(id, step);
        }
    }

    // What follows.

    fn order_stepped(&mut self, id: OrderId, step: Step<OrderState, OrderEffect>) {
        for effect in step.effects {
            match effect {
                OrderEffect::Fact(event) => {
                    self.told(&format!("order {id}"), &event);
                    if let OrderEvent::RestCancelled(rest) = &event.body {
                        *self.promised.entry(id.clone()).or_default() += rest.refund.minor;
                    }
                    self.audit_order(&id, &OrderFact::Order(event));
                }
                OrderEffect::Stock(sku, event) => self.under_way.push(Message::Stock(sku, event)),
                OrderEffect::Payment(event) => {
                    self.under_way.push(Message::Payment(id.clone(), event));
                }
                OrderEffect::Cart(..)
                | OrderEffect::Reply(_)
                | OrderEffect::Audit(_)
                | OrderEffect::View(_) => {}
            }
        }
        if let Some(state) = step.state {
            self.orders.insert(id, (state, step.deadline));
        }
    }

    fn stock_stepped(&mut self, sku: Sku, step: Step<StockState, InventoryEffect>) {
        for effect in step.effects {
            match effect {
                InventoryEffect::Fact(event) => {
                    self.told(&format!("stock {sku}"), &event);
                    let state = self.stock_audits.remove(&sku).map(|(state, _)| state);
                    let step = StockAuditor.on_event(&sku, state, &event, self.now);
                    assert_eq!(step.effects, [], "the auditor complains about {sku}");
                    self.stock_audits
                        .insert(sku.clone(), (step.state.unwrap(), None));
                }
                InventoryEffect::Answer(order, event) => {
                    self.audit_order(&order, &OrderFact::Stock(event.clone()));
                    let input = OrderInput::Stock(event);
                    self.under_way.push(Message::Order(order, input));
                }
                InventoryEffect::Audit(event) => self.noted(&event),
                InventoryEffect::Reply(_) | InventoryEffect::View(_) => {}
            }
        }
        if let Some(state) = step.state {
            self.stock.insert(sku, (state, step.deadline));
        }
    }

    fn payments_stepped(&mut self, id: OrderId, step: Step<PaymentsState, PaymentEffect>) {
        for effect in step.effects {
            match effect {
                PaymentEffect::Fact(event) => {
                    self.told(&format!("payments {id}"), &event);
                    self.audit_order(&id, &OrderFact::Payment(event.clone()));
                    let input = OrderInput::Payment(event);
                    self.under_way.push(Message::Order(id.clone(), input));
                }
                PaymentEffect::Call(event) => {
                    let GatewayEffect::Call(call) = event.body;
                    self.under_way.push(Message::Call(call));
                }
                PaymentEffect::Reply(_) | PaymentEffect::Audit(_) | PaymentEffect::View(..) => {}
            }
        }
        if let Some(state) = step.state {
            self.payments.insert(id, (state, step.deadline));
        }
    }

    fn audit_order(&mut self, id: &OrderId, fact: &OrderFact) {
        let state = self.order_audits.remove(id).map(|(state, _)| state);
        let step = OrderAuditor::default().on_event(id, state, fact, self.now);
        self.order_audited(id.clone(), step);
    }

    fn order_audited(&mut self, id: OrderId, step: Step<OrderAudit, Event<AuditEvent>>) {
        // While messages are held up for longer than any deadline, the auditor may well worry.
        if self.calm {
            assert_eq!(step.effects, [], "the auditor complains about {id}");
        }
        self.order_audits
            .insert(id, (step.state.unwrap(), step.deadline));
    }

    /// The stock never hears of a shipment or a release that it cannot account for.
    fn noted(&self, event: &Event<AuditEvent>) {
        let AuditEvent::Noted(entry) = &event.body else {
            return;
        };
        let broken = [
            "shipped-without-stock",
            "release-exceeds-committed",
            "release-without-parts",
        ];
        assert!(!broken.contains(&entry.code.as_str()), "{entry:?}");
    }

    /// Facts of an aggregate are numbered from 1 without gaps.
    fn told<E: EventSet + std::fmt::Debug>(&mut self, aggregate: &str, event: &Event<E>) {
        let last = self.last_seq.entry(aggregate.to_owned()).or_default();
        assert_eq!(event.meta.seq, *last + 1, "{aggregate}");
        *last = event.meta.seq;
        writeln!(self.story, "{aggregate} {event:?}").unwrap();
    }

    fn event<E: EventSet>(&mut self, body: impl Into<E>) -> Event<E> {
        self.commands += 1;
        let id = EventId::new(format!("command-{}", self.commands));
        Event::new(Meta::new(id, "/test", self.now), body)
    }

    fn roll(&mut self, bound: i64) -> i64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.dice >> 33) % bound.unsigned_abs()) as i64
    }

    fn pick(&mut self, len: usize) -> usize {
        self.roll(len as i64) as usize
    }
}

fn due_keys<K: Clone + Ord, S>(
    all: &BTreeMap<K, Kept<S>>,
    is_due: impl Fn(&Option<Timestamp>) -> bool,
) -> Vec<K> {
    let due = all.iter().filter(|(_, (_, deadline))| is_due(deadline));
    due.map(|(key, _)| key.clone()).collect()
}

fn order_id(number: i64) -> OrderId {
    OrderId::new(&format!("order-{number}")).unwrap()
}

//! The world: three rules, the messages between them, a gateway, a clock, and the auditors.
//!
//! Here is what it is made of and how things move on: messages are delivered, time passes. People
//! ask for things in `people`, what a rule has decided goes on its way in `consequences`, and
//! `invariants` says what must hold.

mod consequences;
mod invariants;
mod people;

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::audit::{OrderAudit, StockAudit};
use millrace_avro::events::inventory::{InventoryCommand, StockState};
use millrace_avro::events::orders::{OrderState, OrderStatus};
use millrace_avro::events::payments::{GatewayCall, PaymentCommand, PaymentsState};
use millrace_avro::keys::{OrderId, Sku};
use millrace_processors::audit::OrderAuditor;
use millrace_processors::inventory::Inventory;
use millrace_processors::order::table::is_terminal;
use millrace_processors::order::{OrderInput, OrderSaga};
use millrace_processors::payment::Payments;
use millrace_processors::transition::Transition;
use millrace_streams::Timestamp;

use crate::gateway::Gateway;

const SKUS: [&str; 3] = ["one", "two", "three"];

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

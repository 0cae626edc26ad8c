//! The market on a simulated cluster, and the people who use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_avro::catalog::{
    self, CART_COMMANDS, GATEWAY_CALLS, INVENTORY_COMMANDS, ORDER_COMMANDS, PAYMENT_COMMANDS,
};
use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, EventSet, Meta};
use millrace_avro::events::carts::{AddCartItem, Quote};
use millrace_avro::events::inventory::AdjustStock;
use millrace_avro::events::orders::{
    CaptureMode, OrderCancelRequested, OrderDeliveryReported, OrderPlaced, OrderShipmentRequested,
    OrderState, OrderStatus, PlacedLine, ShippedItem,
};
use millrace_avro::events::payments::{
    GatewayEffect, GatewayReported, PaymentsState, RefundPayment,
};
use millrace_avro::keys::{
    CartId, LocationId, OrderId, ProductId, RefundId, ShipmentId, Sku, UserId,
};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_avro::registry::Registry;
use millrace_processors::payment::fold::is_open;
use millrace_state::StateOptions;
use millrace_streams::log::Isolation;
use millrace_streams::log::sim::{FaultRates, SimOptions};
use millrace_streams::serde::{Data, Resources};
use millrace_streams::{RecordCodec, Simulation, StreamsConfig, Topic};
use millrace_topologies::registry::{ENTRIES, Limits};

use crate::gateway::{DECLINED, Gateway, SILENT};

pub(crate) const SKUS: [&str; 2] = ["mug-red", "mug-blue"];
/// By when the auditor has looked at the end of every order.
const AUDITED_AFTER: Duration = Duration::from_secs(20 * 60);
/// What the orders are, as their task has written it.
const ORDERS: Topic<OrderId, OrderState> = Topic::new("orders-order-saga-changelog");
/// And their payments.
const PAYMENTS: Topic<OrderId, PaymentsState> = Topic::new("payments-payments-by-order-changelog");

pub(crate) struct Market {
    pub(crate) simulation: Simulation,
    pub(crate) gateway: Gateway,
    /// What was put on the shelves, by SKU.
    pub(crate) stocked: BTreeMap<Sku, i64>,
    /// What was put into each order's cart.
    pub(crate) carts: BTreeMap<CartId, i64>,
    resources: Resources,
    placed: Vec<OrderId>,
    answered: BTreeSet<EventId>,
    commands: u64,
}

/// The times of a market in a hurry: what takes minutes elsewhere happens while it is simulated.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.orders.reservation_ttl = Duration::from_secs(15);
    limits.orders.undo_again_after = Duration::from_secs(60);
    limits.payments.answer_within = Duration::from_secs(2);
    limits.payments.answer_within_max = Duration::from_secs(60);
    limits
}

/// Every other seed has two threads in each process, which share its disk.
fn stream_threads(seed: u64) -> usize {
    1 + (seed % 2) as usize
}

/// Sessions, transactions and flushes in a hurry, too: a session ends now and then because a member
/// waits too long for its turn.
fn simulation(seed: u64, faults: f64) -> Simulation {
    let options = SimOptions {
        faults: FaultRates::all(faults),
        standby_replicas: 1,
        session_timeout: Duration::from_millis(800 * stream_threads(seed) as u64),
        ..SimOptions::default()
    };
    let mut simulation = Simulation::new(seed, options);
    simulation.set_state_options(StateOptions {
        memory_bytes_max: 20_000,
        flush_interval: Duration::from_millis(300),
        flush_bytes: 2_000,
    });
    simulation
}

impl Market {
    pub(crate) fn open(seed: u64, faults: f64) -> Self {
        let mut simulation = simulation(seed, faults);
        let registry = Arc::new(Registry::in_memory());
        let resources = Resources::new().with(Arc::new(SchemaClient::local(registry)));
        let topics = catalog::topics().into_iter();
        let specs: Vec<_> = topics.map(|entry| entry.spec).collect();
        simulation.create_topics(&specs).expect("created");
        for entry in ENTRIES {
            let topology = (entry.define)(&limits()).expect("the topology is sound");
            let mut config = StreamsConfig::default();
            (entry.configure)(&mut config);
            config.resources = resources.clone();
            config.transaction_timeout = Duration::from_secs(2);
            config.stream_threads = stream_threads(seed);
            simulation.add_application(&topology, config);
        }
        simulation.start_instances(2).expect("instances start");
        Self {
            simulation,
            gateway: Gateway::default(),
            stocked: BTreeMap::new(),
            carts: BTreeMap::new(),
            resources,
            placed: Vec::new(),
            answered: BTreeSet::new(),
            commands: 0,
        }
    }

    pub(crate) fn run(&mut self, steps: usize) {
        self.simulation.run(steps).expect("the market runs");
    }

    pub(crate) fn settle(&mut self) {
        self.simulation.settle().expect("the market settles");
    }

    /// Goods and money of ended orders must have gone back by then: the auditor looks.
    pub(crate) fn audit(&mut self) {
        self.simulation.advance(AUDITED_AFTER);
        self.settle();
    }

    // --- what lies in the log

    pub(crate) fn read<K: Data, V: Data>(&self, topic: Topic<K, V>) -> Vec<(K, V)> {
        let mut codec = RecordCodec::new(topic, &self.resources).expect("serdes");
        let log = self.simulation.log();
        let records = log.dump(topic.name(), Isolation::ReadCommitted).into_iter();
        let decoded = records.map(|record| {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            codec.decode(key, value, record.headers.view())
        });
        decoded.map(|one| one.expect("a typed record")).collect()
    }

    pub(crate) fn last<K: Data + Ord, V: Data>(&self, topic: Topic<K, V>) -> BTreeMap<K, V> {
        self.read(topic).into_iter().collect()
    }

    pub(crate) fn orders(&self) -> BTreeMap<OrderId, OrderState> {
        self.last(ORDERS)
    }

    pub(crate) fn placed(&self) -> &[OrderId] {
        &self.placed
    }

    pub(crate) fn payments(&self) -> BTreeMap<OrderId, PaymentsState> {
        self.last(PAYMENTS)
    }

    /// True if nothing waits for anybody but a person.
    pub(crate) fn rests(&self) -> bool {
        use OrderStatus as S;
        let asks = |payments: &PaymentsState| {
            let mut refunds = payments.refunds.iter();
            let mut attempts = payments.attempts.iter();
            attempts.any(|attempt| attempt.due_ms.is_some()) || refunds.any(is_open)
        };
        if self.payments().values().any(asks) {
            return false;
        }
        let orders = self.orders();
        let waits = |order: &OrderState| {
            matches!(
                order.status,
                S::Pending | S::AwaitingPayment | S::Cancelling
            )
        };
        orders.len() == self.placed.len() && !orders.values().any(waits)
    }

    // --- what people do

    fn publish<K: Data, E: EventSet>(
        &mut self,
        topic: Topic<K, Event<E>>,
        key: &K,
        body: impl Into<E>,
    ) where
        Event<E>: Data,
    {
        self.commands += 1;
        let id = EventId::new(format!("command-{}", self.commands));
        let event = Event::new(Meta::new(id, "/test", self.simulation.now()), body);
        let mut codec = RecordCodec::new(topic, &self.resources).expect("serdes");
        let record = codec.encode(key, &event, self.simulation.now());
        let record = record.expect("bytes");
        self.simulation.append(&record).expect("the log takes it");
    }

    pub(crate) fn stock_up(&mut self, dice: &mut Dice) {
        for sku in SKUS.map(sku) {
            let delta = 3 + dice.roll(4);
            self.stocked.insert(sku.clone(), delta);
            let adjust = AdjustStock {
                sku: sku.clone(),
                location: LocationId::new("main").expect("a key"),
                delta,
                reason: "delivery".into(),
            };
            self.publish(INVENTORY_COMMANDS, &sku, adjust);
        }
    }

    /// A customer fills a cart with one unit more than is ordered, and orders.
    pub(crate) fn place(&mut self, number: usize, dice: &mut Dice) {
        let order_id = OrderId::new(&format!("order-{number}")).expect("a key");
        let user_id = UserId::new(&format!("user-{number}")).expect("a key");
        let cart_id = CartId::new(&format!("cart-{number}")).expect("a key");
        let lines: Vec<_> = (0..=dice.roll(3)).map(|_| line(dice)).collect();
        let in_cart: i64 = lines.iter().map(|line| line.quantity).sum::<i64>() + 1;
        for (line, more) in lines.iter().zip([1, 0, 0]) {
            self.fill_cart(&cart_id, &user_id, line, more);
        }
        self.carts.insert(cart_id.clone(), in_cart);
        self.placed.push(order_id.clone());
        let placed = OrderPlaced {
            order_id: order_id.clone(),
            user_id,
            cart_id: Some(cart_id),
            currency: Currency::EUR,
            lines,
            discounts: Vec::new(),
            shipping: Money::new(390, Currency::EUR),
            shipping_tax_rate: Rate::ZERO,
            payment_method: dice.one_of(&["pm_ok", "pm_ok", DECLINED, SILENT]).into(),
            capture: dice.one_of(&[CaptureMode::Automatic, CaptureMode::Manual]),
            shipping_address: None,
            expected_total: None,
            near: Vec::new(),
        };
        self.publish(ORDER_COMMANDS, &order_id, placed);
    }

    fn fill_cart(&mut self, cart_id: &CartId, user_id: &UserId, line: &PlacedLine, more: i64) {
        let add = AddCartItem {
            cart_id: cart_id.clone(),
            user_id: Some(user_id.clone()),
            sku: line.sku.clone(),
            quantity: line.quantity + more,
            quote: Quote {
                product_id: line.product_id.clone(),
                name: line.name.clone(),
                unit_price: line.unit_price,
                tax_rate: line.tax_rate,
                available: 1_000,
                on_demand: false,
            },
            expected_version: None,
        };
        self.publish(CART_COMMANDS, cart_id, add);
    }

    /// A customer cancels, or an operator ships, delivers or refunds. The market may refuse.
    pub(crate) fn somebody_acts(&mut self, dice: &mut Dice) {
        let id = self.placed[dice.pick(self.placed.len())].clone();
        match dice.roll(8) {
            0 => {
                let cancel = OrderCancelRequested {
                    order_id: id.clone(),
                    reason: None,
                };
                self.publish(ORDER_COMMANDS, &id, cancel);
            }
            1..4 => self.ship(&id, dice),
            4 => {
                let delivered = OrderDeliveryReported {
                    order_id: id.clone(),
                };
                self.publish(ORDER_COMMANDS, &id, delivered);
            }
            5 => self.refund(&id, dice),
            _ => {}
        }
    }

    fn ship(&mut self, id: &OrderId, dice: &mut Dice) {
        let one = ShippedItem {
            sku: sku(dice.one_of(&SKUS)),
            quantity: 1,
        };
        let shipment = OrderShipmentRequested {
            order_id: id.clone(),
            shipment_id: ShipmentId::new(&format!("shipment-{}", self.commands)).expect("a key"),
            items: if dice.roll(2) == 0 {
                Vec::new()
            } else {
                vec![one]
            },
            tracking: None,
        };
        self.publish(ORDER_COMMANDS, id, shipment);
    }

    /// Something is returned: an operator sends some of the money back. Or all of it, while a part of
    /// the order is still to leave.
    fn refund(&mut self, id: &OrderId, dice: &mut Dice) {
        let Some(order) = self.orders().remove(id) else {
            return;
        };
        let amount = match order.status {
            OrderStatus::Delivered => Money::new(1 + dice.roll(300), Currency::EUR),
            OrderStatus::PartiallyShipped => order.totals.total,
            _ => return,
        };
        let refund = RefundPayment {
            order_id: id.clone(),
            refund_id: RefundId::new(&format!("refund-{}", self.commands)).expect("a key"),
            payment_id: None,
            amount,
            reason: "returned".to_owned(),
        };
        self.publish(PAYMENT_COMMANDS, id, refund);
    }

    // --- what the gateway does

    /// Plays the gateway for the committed calls; one answer in five is lost.
    pub(crate) fn answer_calls(&mut self, dice: &mut Dice) {
        self.answer(|| dice.roll(5) == 0);
    }

    /// Plays the gateway, and loses nothing. True if there was a call to answer.
    pub(crate) fn answer_all_calls(&mut self) -> bool {
        self.answer(|| false)
    }

    fn answer(&mut self, mut is_lost: impl FnMut() -> bool) -> bool {
        let mut answered = false;
        for (order, event) in self.read(GATEWAY_CALLS) {
            if !self.answered.insert(event.meta.id.clone()) {
                continue;
            }
            answered = true;
            let GatewayEffect::Call(call) = event.body;
            let facts = self.gateway.answer(&call);
            if facts.is_empty() || is_lost() {
                continue;
            }
            let reported = GatewayReported {
                order_id: call.order_id,
                payment_id: call.payment_id,
                facts,
            };
            self.publish(PAYMENT_COMMANDS, &order, reported);
        }
        answered
    }
}

fn sku(name: &str) -> Sku {
    Sku::new(name).expect("a key")
}

fn line(dice: &mut Dice) -> PlacedLine {
    let name = dice.one_of(&SKUS);
    PlacedLine {
        sku: sku(name),
        product_id: ProductId::new("mug").expect("a key"),
        name: name.to_owned(),
        quantity: 1,
        unit_price: Money::new(1_000, Currency::EUR),
        tax_rate: Rate::percent("20").expect("a rate"),
    }
}

/// The chance of people and gateway: Sebastiano Vigna's splitmix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn roll(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 33) as i64 % bound
    }

    pub(crate) fn pick(&mut self, len: usize) -> usize {
        self.roll(len as i64) as usize
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.pick(all.len())]
    }
}

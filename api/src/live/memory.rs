//! Views in memory: maps that are told each change, and wake who waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use millrace_avro::event::EventId;
use millrace_avro::events::carts::CartView;
use millrace_avro::events::common::CommandReply;
use millrace_avro::events::inventory::StockView;
use millrace_avro::events::orders::{OrderStatus, OrderView};
use millrace_avro::events::payments::PaymentView;
use millrace_avro::events::products::{CategoryView, ProductView};
use millrace_avro::keys::{CartId, CategoryId, OrderId, PaymentId, ProductId, Sku, UserId};
use millrace_processors::order::status_name;
use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use super::audit::AuditLog;
use super::replies::Replies;
use crate::ports::{Audit, Place, Reply, Seen, ViewKey, Views};

/// How many groups of keys are woken apart: a change wakes those who wait for its group.
const WATCH_GROUPS: usize = 256;

/// A change of a view; `None` when it is gone.
#[derive(Clone, Debug)]
pub enum Change {
    /// Of a product.
    Product(ProductId, Option<ProductView>),
    /// Of a category.
    Category(CategoryId, Option<CategoryView>),
    /// Of a cart.
    Cart(CartId, Option<CartView>),
    /// Of an order.
    Order(OrderId, OrderView),
    /// Of the stock of a SKU.
    Stock(Sku, StockView),
    /// Of a payment attempt.
    Payment(PaymentId, PaymentView),
}

/// Times of creation and ids.
type Orders = BTreeSet<(String, OrderId)>;

type Map<K, V> = RwLock<BTreeMap<K, Seen<V>>>;

/// Views in memory.
#[derive(Debug)]
pub struct MemoryViews {
    products: Map<ProductId, ProductView>,
    product_of_sku: RwLock<HashMap<Sku, ProductId>>,
    categories: Map<CategoryId, CategoryView>,
    carts: Map<CartId, CartView>,
    orders: Map<OrderId, OrderView>,
    /// Orders, by user, and those of everybody.
    orders_of: RwLock<HashMap<Option<UserId>, Orders>>,
    stock: Map<Sku, StockView>,
    payments: Map<PaymentId, PaymentView>,
    /// What the auditor has found.
    pub(super) audit: AuditLog,
    groups: Vec<watch::Sender<u64>>,
    hasher: RandomState,
    replies: Arc<DashMap<EventId, oneshot::Sender<CommandReply>>>,
    answered: RwLock<Replies>,
    caught_up: AtomicBool,
}

impl Default for MemoryViews {
    fn default() -> Self {
        Self {
            products: Map::default(),
            product_of_sku: RwLock::default(),
            categories: Map::default(),
            carts: Map::default(),
            orders: Map::default(),
            orders_of: RwLock::default(),
            stock: Map::default(),
            payments: Map::default(),
            audit: AuditLog::default(),
            groups: (0..WATCH_GROUPS).map(|_| watch::Sender::new(0)).collect(),
            hasher: RandomState::new(),
            replies: Arc::default(),
            answered: RwLock::default(),
            caught_up: AtomicBool::new(false),
        }
    }
}

impl MemoryViews {
    /// Views of nothing, that have not caught up.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a change in, and wakes who waits for it.
    pub fn apply(&self, change: Change, at: Place) {
        let key = match change {
            Change::Product(id, view) => {
                self.index_skus(&id, view.as_ref());
                put(&self.products, &id, view, at);
                ViewKey::Product(id)
            }
            Change::Category(id, view) => {
                put(&self.categories, &id, view, at);
                ViewKey::Category(id)
            }
            Change::Cart(id, view) => {
                put(&self.carts, &id, view, at);
                ViewKey::Cart(id)
            }
            Change::Order(id, view) => {
                self.index_order(&id, &view);
                let before = get(&self.orders, &id).map(|seen| seen.view.status);
                count_order(before, view.status);
                put(&self.orders, &id, Some(view), at);
                ViewKey::Order(id)
            }
            Change::Stock(sku, view) => {
                put(&self.stock, &sku, Some(view), at);
                ViewKey::Stock(sku)
            }
            Change::Payment(id, view) => {
                put(&self.payments, &id, Some(view), at);
                ViewKey::Payment(id)
            }
        };
        if let Some(group) = self.group(&key) {
            group.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
    }

    /// Hands an answer to whoever waits for it.
    pub fn answer(&self, reply: CommandReply) {
        let id = EventId::new(reply.command_id.as_str());
        self.answered.write().remember(id.clone(), &reply);
        if let Some((_, waiting)) = self.replies.remove(&id) {
            // Nobody to tell when the wait ended in this moment.
            drop(waiting.send(reply));
        }
    }

    /// Says that everything that was committed before the start is seen.
    pub fn set_caught_up(&self) {
        self.caught_up.store(true, Ordering::Release);
    }

    fn index_order(&self, id: &OrderId, view: &OrderView) {
        let place = (view.created_at.clone(), id.clone());
        let mut index = self.orders_of.write();
        for user in [Some(view.user_id.clone()), None] {
            index.entry(user).or_default().insert(place.clone());
        }
    }

    fn index_skus(&self, id: &ProductId, view: Option<&ProductView>) {
        let mut index = self.product_of_sku.write();
        let before = get(&self.products, id);
        for variant in before.iter().flat_map(|seen| &seen.view.variants) {
            if index.get(&variant.sku) == Some(id) {
                index.remove(&variant.sku);
            }
        }
        for variant in view.iter().flat_map(|view| &view.variants) {
            index.insert(variant.sku.clone(), id.clone());
        }
    }

    fn version(&self, key: &ViewKey) -> Option<i64> {
        match key {
            ViewKey::Product(id) => self.product(id).map(|seen| seen.view.version),
            ViewKey::Cart(id) => self.cart(id).map(|seen| seen.view.version),
            ViewKey::Order(id) => self.order(id).map(|seen| seen.view.version),
            ViewKey::Stock(sku) => self.stock(sku).map(|seen| seen.view.version),
            ViewKey::Payment(id) => self.payment(id).map(|seen| seen.view.version),
            ViewKey::Category(_) => None,
        }
    }

    fn group(&self, key: &ViewKey) -> Option<&watch::Sender<u64>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % WATCH_GROUPS as u64);
        self.groups.get(hash.unwrap_or(0))
    }
}

/// Keeps the number of orders in each state.
fn count_order(before: Option<OrderStatus>, now: OrderStatus) {
    if before == Some(now) {
        return;
    }
    if let Some(before) = before {
        metrics::gauge!("orders", "status" => status_name(before)).decrement(1.0);
    }
    metrics::gauge!("orders", "status" => status_name(now)).increment(1.0);
}

fn put<K: Ord + Clone, V>(map: &Map<K, V>, key: &K, view: Option<V>, at: Place) {
    let mut map = map.write();
    match view {
        Some(view) => map.insert(
            key.clone(),
            Seen {
                view: Arc::new(view),
                at,
            },
        ),
        None => map.remove(key),
    };
}

fn get<K: Ord, V>(map: &Map<K, V>, key: &K) -> Option<Seen<V>> {
    map.read().get(key).map(|seen| Seen {
        view: seen.view.clone(),
        at: seen.at,
    })
}

fn all<K: Ord, V>(map: &Map<K, V>) -> Vec<Arc<V>> {
    map.read().values().map(|seen| seen.view.clone()).collect()
}

impl Views for MemoryViews {
    fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    fn product(&self, id: &ProductId) -> Option<Seen<ProductView>> {
        get(&self.products, id)
    }

    fn product_of(&self, sku: &Sku) -> Option<Seen<ProductView>> {
        let id = self.product_of_sku.read().get(sku).cloned()?;
        self.product(&id)
    }

    fn products(&self) -> Vec<Arc<ProductView>> {
        all(&self.products)
    }

    fn category(&self, id: &CategoryId) -> Option<Seen<CategoryView>> {
        get(&self.categories, id)
    }

    fn categories(&self) -> Vec<Arc<CategoryView>> {
        all(&self.categories)
    }

    fn cart(&self, id: &CartId) -> Option<Seen<CartView>> {
        get(&self.carts, id)
    }

    fn order(&self, id: &OrderId) -> Option<Seen<OrderView>> {
        get(&self.orders, id)
    }

    fn orders_of(
        &self,
        user: Option<&UserId>,
        before: Option<&(String, OrderId)>,
        limit: usize,
    ) -> Vec<Arc<OrderView>> {
        let index = self.orders_of.read();
        let Some(orders) = index.get(&user.cloned()) else {
            return Vec::new();
        };
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let older = orders.range((Bound::Unbounded, end)).rev().take(limit);
        older
            .filter_map(|(_, id)| get(&self.orders, id))
            .map(|seen| seen.view)
            .collect()
    }

    fn newer_order(
        &self,
        user: Option<&UserId>,
        place: &(String, OrderId),
        steps: usize,
    ) -> Option<(String, OrderId)> {
        let index = self.orders_of.read();
        let newer = (Bound::Included(place), Bound::Unbounded);
        index.get(&user.cloned())?.range(newer).nth(steps).cloned()
    }

    fn stock(&self, sku: &Sku) -> Option<Seen<StockView>> {
        get(&self.stock, sku)
    }

    fn payment(&self, id: &PaymentId) -> Option<Seen<PaymentView>> {
        get(&self.payments, id)
    }

    fn audit(&self) -> Audit {
        self.audit.shown()
    }

    fn shows(&self, command: &EventId, key: &ViewKey) -> bool {
        let wanted = self.answered.read().version(command);
        wanted.is_some_and(|wanted| self.version(key).unwrap_or(0) >= wanted)
    }

    fn watch(&self, key: &ViewKey) -> watch::Receiver<u64> {
        // Invariant: there is a group for every hash.
        self.group(key)
            .map_or_else(|| watch::channel(0).1, watch::Sender::subscribe)
    }

    fn reply(&self, id: &EventId) -> Reply {
        let (answer, waiting) = oneshot::channel();
        self.replies.insert(id.clone(), answer);
        let (replies, id) = (self.replies.clone(), id.clone());
        Reply::new(waiting, move || {
            // A repeated command may have put its own wait here in the meantime.
            replies.remove_if(&id, |_, answer| answer.is_closed());
        })
    }
}

//! The typed catalogue: every topic and every queryable store of the market, in one place.
//!
//! A topology names no topic and no store but through these constants, so a name, its key, its
//! values and its lifetime cannot disagree. Topics that one topology reads together have equal
//! keys and equally many partitions.
//!
//! | kind | topics | keyed by | kept |
//! | --- | --- | --- | --- |
//! | commands | `<domain>-commands` | what decides | 7 days |
//! | facts | `<domain>-events` | what it happened to | 7 days, orders 30; products compacted |
//! | snapshots | `orders`, `carts`, ... | the id that clients use | the last of each key |

use std::any::type_name;
use std::time::Duration;

use millrace_streams::log::{Cleanup, TopicSpec};
use millrace_streams::{Store, Topic};

use crate::codec::AvroRecord;
use crate::event::{Event, EventSet};
use crate::events::audit::{OrderAudit, StockAudit};
use crate::events::carts::{CartCommand, CartEvent, CartState, CartView};
use crate::events::common::{AuditEvent, ReplyEvent};
use crate::events::inventory::{InventoryCommand, InventoryEvent, StockState, StockView};
use crate::events::notifications::NotificationEvent;
use crate::events::orders::{OrderCommand, OrderEvent, OrderState, OrderView};
use crate::events::payments::{
    GatewayEffect, PaymentCommand, PaymentEvent, PaymentView, PaymentsState,
};
use crate::events::products::{
    CategoryCommand, CategoryEvent, CategoryTree, CategoryView, ProductCommand, ProductEvent,
    ProductState, ProductView,
};
use crate::events::recommendations::RecommendationEvent;
use crate::events::users::UserEvent;
use crate::keys::{
    AggregateId, CartId, CatalogueId, CategoryId, OrderId, PaymentId, ProductId, Sku, SubjectId,
    UserId,
};

/// How long events are kept, unless their topic says otherwise.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long events of orders are kept.
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What clients and operators ask of an order.
pub const ORDER_COMMANDS: Topic<OrderId, Event<OrderCommand>> =
    Topic::new("order-commands").retention(WEEK);
/// What orders and operators ask of the stock of a SKU.
pub const INVENTORY_COMMANDS: Topic<Sku, Event<InventoryCommand>> =
    Topic::new("inventory-commands").retention(WEEK);
/// What orders, operators and gateways ask of the payments of an order.
pub const PAYMENT_COMMANDS: Topic<OrderId, Event<PaymentCommand>> =
    Topic::new("payment-commands").retention(WEEK);
/// What customers ask of a cart.
pub const CART_COMMANDS: Topic<CartId, Event<CartCommand>> =
    Topic::new("cart-commands").retention(WEEK);
/// What administrators ask of products.
pub const PRODUCT_COMMANDS: Topic<ProductId, Event<ProductCommand>> =
    Topic::new("product-commands").retention(WEEK);
/// What administrators ask of a tree of categories: one tree is one decision.
pub const CATEGORY_COMMANDS: Topic<CatalogueId, Event<CategoryCommand>> =
    Topic::new("category-commands").retention(WEEK);

/// What has become of users, and what they have done; guests have an id as well.
pub const USER_EVENTS: Topic<UserId, Event<UserEvent>> = Topic::new("user-events").retention(WEEK);
/// What has become of orders.
pub const ORDER_EVENTS: Topic<OrderId, Event<OrderEvent>> =
    Topic::new("order-events").retention(MONTH);
/// What has become of the stock of a SKU.
pub const INVENTORY_EVENTS: Topic<Sku, Event<InventoryEvent>> =
    Topic::new("inventory-events").retention(WEEK);
/// What has become of the payments of an order.
pub const PAYMENT_EVENTS: Topic<OrderId, Event<PaymentEvent>> =
    Topic::new("payment-events").retention(WEEK);
/// What has become of messages to a user.
pub const NOTIFICATION_EVENTS: Topic<UserId, Event<NotificationEvent>> =
    Topic::new("notification-events").retention(WEEK);
/// What has become of recommendations for a user or a product.
pub const RECOMMENDATION_EVENTS: Topic<SubjectId, Event<RecommendationEvent>> =
    Topic::new("recommendation-events").retention(WEEK);
/// What has become of products; each fact is whole, so the last one is enough.
pub const PRODUCT_EVENTS: Topic<ProductId, Event<ProductEvent>> =
    Topic::new("product-events").compacted();
/// What has become of categories; each fact is whole, so the last one is enough.
pub const CATEGORY_EVENTS: Topic<CategoryId, Event<CategoryEvent>> =
    Topic::new("category-events").compacted();
/// What has become of carts.
pub const CART_EVENTS: Topic<CartId, Event<CartEvent>> = Topic::new("cart-events").retention(WEEK);

/// The facts of `inventory-events` that an order waits for, again, keyed by that order: the saga
/// needs no repartition to hear them. They have the same ids.
pub const RESERVATION_REPLIES: Topic<OrderId, Event<InventoryEvent>> =
    Topic::new("reservation-replies").retention(WEEK);
/// The calls that payment gateways are to receive.
pub const GATEWAY_CALLS: Topic<OrderId, Event<GatewayEffect>> =
    Topic::new("gateway-calls").retention(WEEK);
/// One answer to each command of a client.
pub const COMMAND_REPLIES: Topic<AggregateId, Event<ReplyEvent>> =
    Topic::new("command-replies").retention(WEEK);
/// What the rules did not act upon, and what the auditor has found.
pub const AUDIT_EVENTS: Topic<AggregateId, Event<AuditEvent>> =
    Topic::new("audit-events").retention(MONTH);

/// Orders, as clients see them.
pub const ORDERS: Topic<OrderId, OrderView> = Topic::new("orders").compacted();
/// Payment attempts, as clients see them.
pub const PAYMENTS: Topic<PaymentId, PaymentView> = Topic::new("payments").compacted();
/// Carts, as clients see them; null for one that is forgotten.
pub const CARTS: Topic<CartId, Option<CartView>> = Topic::new("carts").compacted();
/// Products, as clients see them; null for one that is gone.
pub const PRODUCTS: Topic<ProductId, Option<ProductView>> = Topic::new("products").compacted();
/// Categories, as clients see them; null for one that is gone.
pub const CATEGORIES: Topic<CategoryId, Option<CategoryView>> =
    Topic::new("categories").compacted();
/// The stock of SKUs, as clients see it.
pub const STOCK_LEVELS: Topic<Sku, StockView> = Topic::new("stock-levels").compacted();

/// What the saga remembers of orders.
pub const ORDER_SAGA: Store<OrderId, OrderState> = Store::new("order-saga");
/// What the payment rule remembers of the payments of an order.
pub const PAYMENTS_BY_ORDER: Store<OrderId, PaymentsState> = Store::new("payments-by-order");
/// What the inventory rule remembers of a SKU.
pub const STOCK_BY_SKU: Store<Sku, StockState> = Store::new("stock-by-sku");
/// What the cart rule remembers of carts.
pub const CART_BY_ID: Store<CartId, CartState> = Store::new("cart-by-id");
/// What the product rule remembers of products.
pub const PRODUCT_BY_ID: Store<ProductId, ProductState> = Store::new("product-by-id");
/// What the category rule remembers of a tree.
pub const CATEGORY_TREE: Store<CatalogueId, CategoryTree> = Store::new("category-tree");
/// What the auditor has seen of orders.
pub const ORDER_AUDIT: Store<OrderId, OrderAudit> = Store::new("order-audit");
/// What the auditor has seen of stock.
pub const STOCK_AUDIT: Store<Sku, StockAudit> = Store::new("stock-audit");

/// The table of [`ORDERS`], to answer reads.
pub const ORDER_VIEW: Store<OrderId, OrderView> = Store::new("order-view");
/// The table of [`PAYMENTS`], to answer reads.
pub const PAYMENT_VIEW: Store<PaymentId, PaymentView> = Store::new("payment-view");
/// The table of [`CARTS`], to answer reads.
pub const CART_VIEW: Store<CartId, CartView> = Store::new("cart-view");
/// The table of [`PRODUCTS`], to answer reads.
pub const PRODUCT_VIEW: Store<ProductId, ProductView> = Store::new("product-view");
/// The table of [`CATEGORIES`], to answer reads.
pub const CATEGORY_VIEW: Store<CategoryId, CategoryView> = Store::new("category-view");
/// The table of [`STOCK_LEVELS`], to answer reads.
pub const STOCK_VIEW: Store<Sku, StockView> = Store::new("stock-view");

/// A topic of the catalogue, as data.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicEntry {
    /// Name, partitions and lifetime.
    pub spec: TopicSpec,
    /// The type of the keys.
    pub key: &'static str,
    /// The types of the values: `ce_type` of events, the full name of the one record otherwise.
    pub types: Vec<&'static str>,
}

impl TopicEntry {
    /// How long records stay, in words.
    pub fn kept(&self) -> String {
        match self.spec.cleanup {
            Cleanup::Compact => "last of each key".to_owned(),
            Cleanup::Delete { retention: None } => "for ever".to_owned(),
            Cleanup::Delete {
                retention: Some(retention),
            } => format!("{} days", retention.as_secs() / 86_400),
        }
    }
}

/// A store of the catalogue, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// The name.
    pub name: &'static str,
    /// The type of the keys.
    pub key: &'static str,
    /// The full name of the record that is stored.
    pub record: &'static str,
}

/// Every topic of the catalogue.
pub fn topics() -> Vec<TopicEntry> {
    vec![
        events(ORDER_COMMANDS),
        events(INVENTORY_COMMANDS),
        events(PAYMENT_COMMANDS),
        events(CART_COMMANDS),
        events(PRODUCT_COMMANDS),
        events(CATEGORY_COMMANDS),
        events(USER_EVENTS),
        events(ORDER_EVENTS),
        events(INVENTORY_EVENTS),
        events(PAYMENT_EVENTS),
        events(NOTIFICATION_EVENTS),
        events(RECOMMENDATION_EVENTS),
        events(PRODUCT_EVENTS),
        events(CATEGORY_EVENTS),
        events(CART_EVENTS),
        events(RESERVATION_REPLIES),
        events(GATEWAY_CALLS),
        events(COMMAND_REPLIES),
        events(AUDIT_EVENTS),
        records(ORDERS),
        records(PAYMENTS),
        optional_records(CARTS),
        optional_records(PRODUCTS),
        optional_records(CATEGORIES),
        records(STOCK_LEVELS),
    ]
}

/// Every store of the catalogue.
pub fn stores() -> Vec<StoreEntry> {
    vec![
        store(ORDER_SAGA),
        store(PAYMENTS_BY_ORDER),
        store(STOCK_BY_SKU),
        store(CART_BY_ID),
        store(PRODUCT_BY_ID),
        store(CATEGORY_TREE),
        store(ORDER_AUDIT),
        store(STOCK_AUDIT),
        store(ORDER_VIEW),
        store(PAYMENT_VIEW),
        store(CART_VIEW),
        store(PRODUCT_VIEW),
        store(CATEGORY_VIEW),
        store(STOCK_VIEW),
    ]
}

fn events<K, E: EventSet>(topic: Topic<K, Event<E>>) -> TopicEntry {
    let types = E::TYPES.iter().map(|ty| ty.name).collect();
    entry(topic, types)
}

fn records<K, R: AvroRecord>(topic: Topic<K, R>) -> TopicEntry {
    entry(topic, vec![R::FULL_NAME])
}

fn optional_records<K, R: AvroRecord>(topic: Topic<K, Option<R>>) -> TopicEntry {
    entry(topic, vec![R::FULL_NAME])
}

fn entry<K, V>(topic: Topic<K, V>, types: Vec<&'static str>) -> TopicEntry {
    TopicEntry {
        spec: topic.spec(),
        key: short_name::<K>(),
        types,
    }
}

fn store<K, R: AvroRecord>(store: Store<K, R>) -> StoreEntry {
    StoreEntry {
        name: store.name(),
        key: short_name::<K>(),
        record: R::FULL_NAME,
    }
}

fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use expect_test::expect_file;

    use super::*;

    #[test]
    fn every_constant_is_listed_once() {
        let source = include_str!("catalog.rs");
        let constants = |kind| source.lines().filter(|l| is_constant(l, kind)).count();
        let topics: BTreeSet<_> = topics().into_iter().map(|t| t.spec.name).collect();
        let stores: BTreeSet<_> = stores().into_iter().map(|s| s.name).collect();
        assert_eq!(topics.len(), constants("Topic<"));
        assert_eq!(stores.len(), constants("Store<"));
    }

    fn is_constant(line: &str, kind: &str) -> bool {
        line.starts_with("pub const") && line.contains(&format!(": {kind}"))
    }

    #[test]
    fn a_type_of_event_stands_in_one_set_only() {
        let copied = ["reservation-replies"];
        let mut seen = BTreeSet::new();
        for topic in topics() {
            if !copied.contains(&&*topic.spec.name) {
                for ty in topic.types {
                    assert!(seen.insert(ty), "{ty}");
                }
            }
        }
    }

    #[test]
    fn the_catalogue_is_as_published() {
        let mut text = String::new();
        for topic in topics() {
            let (spec, kept) = (&topic.spec, topic.kept());
            writeln!(
                text,
                "topic {} [{}] {}, {kept}",
                spec.name, topic.key, spec.partitions
            )
            .unwrap();
            for ty in topic.types {
                writeln!(text, "  {ty}").unwrap();
            }
        }
        for store in stores() {
            writeln!(
                text,
                "store {} [{}] {}",
                store.name, store.key, store.record
            )
            .unwrap();
        }
        expect_file!["catalog.golden.txt"].assert_eq(&text);
    }
}

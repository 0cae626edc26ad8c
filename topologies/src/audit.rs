//! The auditor: listens to the facts of orders, stock and payments, and publishes contradictions.

use millrace_avro::catalog::{
    AUDIT_EVENTS, INVENTORY_EVENTS, ORDER_AUDIT, ORDER_EVENTS, PAYMENT_EVENTS, RESERVATION_REPLIES,
    STOCK_AUDIT,
};
use millrace_avro::event::Event;
use millrace_avro::events::common::AuditEvent;
use millrace_avro::keys::{AggregateId, OrderId, Sku};
use millrace_processors::audit::{AuditLimits, OrderAuditor, OrderFact, StockAuditor};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// When each order must have moved, or settled its end.
const ORDER_DEADLINES: Store<OrderId, i64> = Store::new("order-audit-deadlines");
/// Stock waits for nothing: this store stays empty.
const STOCK_DEADLINES: Store<Sku, i64> = Store::new("stock-audit-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "audit",
    purpose: "watches the facts for contradictions",
    define: |limits| audit(limits.audit()),
    // Nobody waits for it, and a commit for each fact would make every order wait behind it.
    configure: |config| config.early_commit_interval = config.commit_interval,
};

/// ```text
/// order-events --------+
/// reservation-replies -+-> [order-audit] -+-> audit-events
/// payment-events ------+                  |
/// inventory-events ------> [stock-audit] -+
/// ```
///
/// It writes nothing but `audit-events`, so the market does the same with it and without it.
///
/// # Errors
/// Never, while its names are its own.
pub fn audit(limits: AuditLimits) -> Result<Topology, TopologyError> {
    Topology::define("audit", |t| {
        let orders = t
            .stream(ORDER_EVENTS)
            .map_values(|_, event| OrderFact::Order(event.clone()));
        let stock = t
            .stream(RESERVATION_REPLIES)
            .map_values(|_, event| OrderFact::Stock(event.clone()));
        let payments = t
            .stream(PAYMENT_EVENTS)
            .map_values(|_, event| OrderFact::Payment(event.clone()));
        orders
            .merge(stock)
            .merge(payments)
            .transition(ORDER_AUDIT, ORDER_DEADLINES, OrderAuditor { limits })
            .flat_map(|order, found| Some((about(found, AggregateId::of(order)), found.clone())))
            .to(AUDIT_EVENTS);
        t.stream(INVENTORY_EVENTS)
            .transition(STOCK_AUDIT, STOCK_DEADLINES, StockAuditor)
            .flat_map(|sku, found| Some((about(found, AggregateId::of(sku)), found.clone())))
            .to(AUDIT_EVENTS);
    })
}

/// What an entry is about: `owner`, unless the entry itself is more exact.
fn about(found: &Event<AuditEvent>, owner: AggregateId) -> AggregateId {
    match &found.body {
        AuditEvent::InvariantViolated(violation) => violation.aggregate.clone(),
        AuditEvent::Noted(_) => owner,
    }
}

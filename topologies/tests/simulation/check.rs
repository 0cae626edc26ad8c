//! What must hold of a market at rest: the invariants of stock, money, carts and orders.

use std::collections::{BTreeMap, BTreeSet};

use millrace_avro::catalog::{AUDIT_EVENTS, CART_EVENTS};
use millrace_avro::events::audit::OrderAudit;
use millrace_avro::events::carts::{CartEvent, CartState};
use millrace_avro::events::common::AuditEvent;
use millrace_avro::events::inventory::{StockAt, StockState};
use millrace_avro::events::orders::{CaptureMode, OrderState, OrderStatus, ReservationStatus};
use millrace_avro::events::payments::{PaymentsState, RefundStatus};
use millrace_avro::keys::{CartId, OrderId, Sku};
use millrace_streams::Topic;

use crate::market::Market;

/// What the tasks know, as they have written it.
const STOCK: Topic<Sku, StockState> = Topic::new("inventory-stock-by-sku-changelog");
const CARTS: Topic<CartId, CartState> = Topic::new("carts-cart-by-id-changelog");
const AUDITS: Topic<OrderId, OrderAudit> = Topic::new("audit-order-audit-changelog");

pub(crate) fn at_rest(market: &Market) {
    let orders = market.orders();
    let placed: BTreeSet<_> = market.placed().iter().collect();
    let known: BTreeSet<_> = orders.keys().collect();
    assert_eq!(known, placed, "one order per command");
    let payments = market.payments();
    for (id, order) in &orders {
        check_reservations(order);
        check_money(market, order, payments.get(id));
    }
    let stock = market.last(STOCK);
    for (sku, stocked) in &market.stocked {
        check_stock(&stock[sku], *stocked, &orders);
    }
    check_carts(market, &orders);
    check_audit(market);
}

fn is_kept(order: &OrderState) -> bool {
    use OrderStatus as S;
    matches!(
        order.status,
        S::Confirmed | S::PartiallyShipped | S::Shipped | S::Delivered
    )
}

/// Only what waits to be shipped is reserved.
fn check_reservations(order: &OrderState) {
    use {OrderStatus as S, ReservationStatus as R};
    let waits = matches!(order.status, S::Confirmed | S::PartiallyShipped);
    for reservation in &order.reservations {
        let holds = matches!(
            reservation.status,
            R::Requested | R::Held | R::Committing | R::Committed
        );
        assert!(waits || !holds, "{order:?}");
    }
}

/// The gateway keeps what was sold, less what was sent back on purpose, and nothing of what was not.
/// Nothing is left to be shipped of an order whose money has all gone back.
fn check_money(market: &Market, order: &OrderState, payments: Option<&PaymentsState>) {
    let (kept, open) = market.gateway.books(&order.order_id);
    if !is_kept(order) {
        assert_eq!((kept, open), (0, 0), "{order:?} {payments:?}");
        return;
    }
    let refunds = payments.iter().flat_map(|payments| &payments.refunds);
    let wanted = refunds.filter(|refund| refund.reason != "payment-undone");
    let succeeded = wanted.filter(|refund| refund.status == RefundStatus::Succeeded);
    let refunded: i64 = succeeded.map(|refund| refund.amount.minor).sum();
    let total = order.totals.total.minor;
    let is_paid = order.capture == CaptureMode::Automatic || !order.shipments.is_empty();
    assert!(
        (0..=total).contains(&kept),
        "{kept}: {order:?} {payments:?}"
    );
    if is_paid {
        assert_eq!(kept + refunded, total, "{order:?} {payments:?}");
        let waits = order.status == OrderStatus::PartiallyShipped;
        assert!(kept > 0 || !waits, "{order:?} {payments:?}");
    }
}

/// What lies there is what came less what left; what is reserved is what orders wait for.
fn check_stock(stock: &StockState, stocked: i64, orders: &BTreeMap<OrderId, OrderState>) {
    assert!(stock.holds.is_empty(), "held at rest: {stock:?}");
    let sum = |of: fn(&StockAt) -> i64| stock.locations.iter().map(of).sum::<i64>();
    let shipments = orders.values().flat_map(|order| &order.shipments);
    let items = shipments.flat_map(|shipment| &shipment.items);
    let shipped = items.filter(|item| item.sku == stock.sku);
    let shipped: i64 = shipped.map(|item| item.quantity).sum();
    assert_eq!(sum(|at| at.on_hand), stocked - shipped, "{stock:?}");
    let reservations = orders.values().flat_map(|order| &order.reservations);
    let mine = reservations.filter(|one| one.sku == stock.sku);
    let committed = mine.filter(|one| one.status == ReservationStatus::Committed);
    let owned = committed.flat_map(|one| &one.parts);
    let owned: i64 = owned.map(|part| part.quantity).sum();
    assert_eq!(
        (sum(|at| at.held), sum(|at| at.committed)),
        (0, owned),
        "{stock:?}"
    );
    assert!(owned <= stocked - shipped, "oversold: {stock:?}");
}

/// An order takes out of its cart what it has ordered, once, when its goods are reserved.
fn check_carts(market: &Market, orders: &BTreeMap<OrderId, OrderState>) {
    let mut checked_out = BTreeSet::new();
    for (cart, event) in market.read(CART_EVENTS) {
        if let CartEvent::CheckedOut(fact) = event.body {
            assert!(checked_out.insert(fact.order_id), "{cart} twice");
        }
    }
    let carts = market.last(CARTS);
    for (id, order) in orders {
        let cart_id = order.cart_id.as_ref().expect("all come from carts");
        let ordered: i64 = order.lines.iter().map(|line| line.quantity).sum();
        let taken = if checked_out.contains(id) { ordered } else { 0 };
        let left: i64 = carts[cart_id].lines.iter().map(|line| line.quantity).sum();
        assert_eq!(left, market.carts[cart_id] - taken, "{:?}", carts[cart_id]);
        assert!(!is_kept(order) || taken > 0, "{order:?}");
    }
}

/// The auditor has heard every fact, and none of them contradicts another.
fn check_audit(market: &Market) {
    let audited = market.last(AUDITS).len();
    assert_eq!(audited, market.placed().len(), "every order is audited");
    for (about, entry) in market.read(AUDIT_EVENTS) {
        if let AuditEvent::InvariantViolated(found) = entry.body {
            let (invariant, detail) = (found.invariant, found.detail);
            panic!("{about}: invariant {invariant}: {detail}");
        }
    }
}

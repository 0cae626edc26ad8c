//! How an order comes into being.

use std::collections::BTreeMap;

use millrace_avro::events::common::Recent;
use millrace_avro::events::orders::{
    LineReservation, OrderPlaced, OrderState, OrderStatus, ReservationStatus,
};
use millrace_avro::keys::{OrderId, Sku};
use millrace_streams::Timestamp;

use super::run::Run;
use super::{OrderEffect, OrderLimits, refuse};
use crate::emit::{Emitter, Refusal};
use crate::pricing::{self, Basket, Priced};
use crate::transition::Step;

/// Creates the order and asks for its goods, or refuses.
pub(super) fn place(
    key: &OrderId,
    placed: &OrderPlaced,
    limits: &OrderLimits,
    emit: Emitter,
) -> Step<OrderState, OrderEffect> {
    match check(placed, limits) {
        Ok(priced) => {
            let order = new_order(key, placed, priced, limits, &emit);
            let mut run = Run::new(order, limits, emit);
            run.begin(placed);
            run.finish()
        }
        Err(refusal) => refuse(key, emit, refusal),
    }
}

fn check(placed: &OrderPlaced, limits: &OrderLimits) -> Result<Priced, Refusal> {
    if placed.lines.is_empty() {
        return Err(Refusal::new(
            "empty-order",
            "an order has at least one line",
        ));
    }
    if placed.lines.len() > limits.lines_max {
        let detail = format!("an order has at most {} lines", limits.lines_max);
        return Err(Refusal::new("too-many-lines", detail));
    }
    for line in &placed.lines {
        if line.quantity < 1 || line.quantity > limits.quantity_max || line.unit_price.minor < 0 {
            let detail = format!("line of `{}`: quantity or price out of bounds", line.sku);
            return Err(Refusal::new("invalid-line", detail));
        }
    }
    let priced = pricing::price(&Basket {
        currency: placed.currency,
        lines: &placed.lines,
        discounts: &placed.discounts,
        shipping: placed.shipping,
        shipping_tax_rate: placed.shipping_tax_rate,
    })
    .map_err(|error| Refusal::new("invalid-amount", error.to_string()))?;
    let total = priced.totals.total;
    if pricing::has_risen(placed.expected_total, total) {
        return Err(Refusal::new(
            "price-changed",
            format!("the total is now {total}"),
        ));
    }
    Ok(priced)
}

fn new_order(
    key: &OrderId,
    placed: &OrderPlaced,
    priced: Priced,
    limits: &OrderLimits,
    emit: &Emitter,
) -> OrderState {
    let at = emit.at();
    OrderState {
        order_id: key.clone(),
        user_id: placed.user_id.clone(),
        cart_id: placed.cart_id.clone(),
        currency: placed.currency,
        status: OrderStatus::Pending,
        reason: None,
        reservations: demand(placed),
        lines: priced.lines,
        totals: priced.totals,
        payment_method: placed.payment_method.clone(),
        capture: placed.capture,
        shipping_address: placed.shipping_address.clone(),
        payment_attempts: 0,
        payments: None,
        undoing: false,
        refund_promised_minor: 0,
        shipments: Vec::new(),
        placed_at_ms: at.as_millis(),
        updated_at_ms: at.as_millis(),
        hold_until_ms: Timestamp::as_millis(at + limits.reservation_ttl),
        deadline_ms: Some((at + limits.pending_for).as_millis()),
        seq: 0,
        timeline: Vec::new(),
        origin: emit.origin(),
        recent: Recent::new(),
    }
}

/// One reservation per SKU: demand is summed before it is checked.
fn demand(placed: &OrderPlaced) -> Vec<LineReservation> {
    let mut sums: BTreeMap<&Sku, i64> = BTreeMap::new();
    for line in &placed.lines {
        *sums.entry(&line.sku).or_default() += line.quantity;
    }
    let requested = |(sku, quantity): (&Sku, i64)| LineReservation {
        sku: sku.clone(),
        quantity,
        status: ReservationStatus::Requested,
        revision: 0,
        parts: Vec::new(),
    };
    sums.into_iter().map(requested).collect()
}

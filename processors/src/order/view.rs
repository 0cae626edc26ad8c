//! An order as clients see it: every dimension derived from what the order remembers.

use millrace_avro::events::common::rfc3339;
use millrace_avro::events::orders::{
    FulfilmentStatus, OrderItemView, OrderLine, OrderState, OrderStatus, OrderView, PaymentStatus,
    ReturnStatus,
};
use millrace_avro::events::payments::{AttemptStatus, PaymentStanding};
use millrace_streams::Timestamp;

use super::guard::is_live;
use super::table::{Cell, Input, cell, is_terminal};

/// The order as clients see it.
pub fn view(order: &OrderState) -> OrderView {
    let standing = order.payments.as_ref();
    OrderView {
        id: order.order_id.clone(),
        user_id: order.user_id.clone(),
        status: order.status,
        payment_status: payment_status(order),
        fulfilment_status: fulfilment_status(order),
        return_status: return_status(order),
        items: order.lines.iter().map(item).collect(),
        totals: order.totals.clone(),
        payments: standing.map_or_else(Vec::new, |standing| standing.attempts.clone()),
        shipments: order.shipments.clone(),
        reason: order.reason.clone(),
        allowed_actions: allowed_actions(order.status),
        timeline: order.timeline.clone(),
        shipping_address: order.shipping_address.clone(),
        created_at: rfc3339(Timestamp::from_millis(order.placed_at_ms)),
        updated_at: rfc3339(Timestamp::from_millis(order.updated_at_ms)),
        final_or_waiting: is_final_or_waiting(order),
        version: order.seq,
    }
}

/// The commands that an order would obey in a state.
pub(super) fn allowed_actions(status: OrderStatus) -> Vec<String> {
    [
        (Input::Cancel, "cancel"),
        (Input::Ship, "ship"),
        (Input::Deliver, "deliver"),
    ]
    .into_iter()
    .filter(|(input, _)| !matches!(cell(status, *input), Cell::Illegal | Cell::NoOp))
    .map(|(_, action)| action.to_owned())
    .collect()
}

/// A state's name, as clients see it.
pub fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::AwaitingPayment => "awaiting_payment",
        OrderStatus::Confirmed => "confirmed",
        OrderStatus::PartiallyShipped => "partially_shipped",
        OrderStatus::Shipped => "shipped",
        OrderStatus::Delivered => "delivered",
        OrderStatus::Cancelling => "cancelling",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Rejected => "rejected",
        OrderStatus::Expired => "expired",
        OrderStatus::PaymentFailed => "payment_failed",
    }
}

fn item(line: &OrderLine) -> OrderItemView {
    OrderItemView {
        sku: line.sku.clone(),
        product_id: line.product_id.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        line_total: line.line_total,
        discount: line.discount,
        tax: line.tax,
        shipped: line.shipped,
        cancelled: line.cancelled,
    }
}

fn payment_status(order: &OrderState) -> PaymentStatus {
    let Some(standing) = &order.payments else {
        return match order.payment_attempts {
            0 => PaymentStatus::Unpaid,
            _ => PaymentStatus::Pending,
        };
    };
    if let Some(status) = money_status(standing) {
        return status;
    }
    let known = i64::try_from(standing.attempts.len()).unwrap_or(i64::MAX);
    match standing.attempts.last().map(|attempt| attempt.status) {
        _ if known < order.payment_attempts => PaymentStatus::Pending,
        None => PaymentStatus::Unpaid,
        Some(AttemptStatus::RequiresAction) => PaymentStatus::RequiresAction,
        Some(AttemptStatus::Authorized) => PaymentStatus::Authorized,
        Some(AttemptStatus::Voided) => PaymentStatus::Voided,
        Some(AttemptStatus::Failed) => PaymentStatus::Failed,
        Some(_) => PaymentStatus::Pending,
    }
}

/// What the payments are once money was taken.
fn money_status(standing: &PaymentStanding) -> Option<PaymentStatus> {
    let disputed = |status| matches!(status, AttemptStatus::Disputed | AttemptStatus::Lost);
    if standing.attempts.iter().any(|a| disputed(a.status)) {
        return Some(PaymentStatus::Disputed);
    }
    match (standing.captured.minor, standing.refunded.minor) {
        (0, _) => None,
        (_, 0) => Some(PaymentStatus::Captured),
        (captured, refunded) if refunded < captured => Some(PaymentStatus::PartiallyRefunded),
        // A late capture went back while another attempt is under way.
        _ if standing.attempts.iter().any(|a| is_live(a.status)) => None,
        _ => Some(PaymentStatus::Refunded),
    }
}

fn fulfilment_status(order: &OrderState) -> FulfilmentStatus {
    match order.status {
        OrderStatus::PartiallyShipped => FulfilmentStatus::PartiallyShipped,
        OrderStatus::Shipped => FulfilmentStatus::Shipped,
        OrderStatus::Delivered => FulfilmentStatus::Delivered,
        OrderStatus::Pending | OrderStatus::AwaitingPayment | OrderStatus::Confirmed => {
            FulfilmentStatus::Unfulfilled
        }
        OrderStatus::Cancelling
        | OrderStatus::Cancelled
        | OrderStatus::Rejected
        | OrderStatus::Expired
        | OrderStatus::PaymentFailed => FulfilmentStatus::None,
    }
}

/// Money that went back after goods had left.
fn return_status(order: &OrderState) -> ReturnStatus {
    let refunded = order.payments.as_ref().map_or(0, |p| p.refunded.minor);
    let captured = order.payments.as_ref().map_or(0, |p| p.captured.minor);
    match refunded {
        0 => ReturnStatus::None,
        _ if order.shipments.is_empty() => ReturnStatus::None,
        _ if refunded < captured => ReturnStatus::Partial,
        _ => ReturnStatus::Full,
    }
}

/// True when nothing happens by itself: the order is terminal, or waits for a person.
fn is_final_or_waiting(order: &OrderState) -> bool {
    match order.status {
        OrderStatus::Pending | OrderStatus::Cancelling => false,
        OrderStatus::AwaitingPayment => payment_status(order) == PaymentStatus::RequiresAction,
        OrderStatus::Confirmed | OrderStatus::PartiallyShipped | OrderStatus::Shipped => true,
        status => is_terminal(status),
    }
}

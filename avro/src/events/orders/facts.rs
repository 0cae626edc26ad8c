//! What has become of an order.

use serde::{Deserialize, Serialize};

use super::{OrderLine, OrderStatus, Shipment, ShippedItem, Totals};
use crate::keys::{CartId, OrderId, PaymentId, Sku, UserId};
use crate::money::Money;
use crate::{avro_record, events};

/// An order exists; its lines are being reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The cart that it empties.
    pub cart_id: Option<CartId>,
    /// The lines.
    pub lines: Vec<OrderLine>,
    /// The sums.
    pub totals: Totals,
}
avro_record!(
    OrderCreated = "millrace.orders.OrderCreated",
    "orders/OrderCreated.avsc"
);

/// Every line is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderReserved {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
}
avro_record!(
    OrderReserved = "millrace.orders.OrderReserved",
    "orders/OrderReserved.avsc"
);

/// A payment attempt begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaymentRequested {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// The number of the attempt, from 1.
    pub number: i64,
    /// What is to be paid.
    pub amount: Money,
}
avro_record!(
    OrderPaymentRequested = "millrace.orders.OrderPaymentRequested",
    "orders/OrderPaymentRequested.avsc"
);

/// The order is paid, and its goods are being committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The lines.
    pub lines: Vec<OrderLine>,
    /// The sums.
    pub totals: Totals,
}
avro_record!(
    OrderConfirmed = "millrace.orders.OrderConfirmed",
    "orders/OrderConfirmed.avsc"
);

/// Some goods have left, and some have not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPartiallyShipped {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// What has left.
    pub shipment: Shipment,
}
avro_record!(
    OrderPartiallyShipped = "millrace.orders.OrderPartiallyShipped",
    "orders/OrderPartiallyShipped.avsc"
);

/// Everything that was not cancelled has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderShipped {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// What has left last; none when the rest was cancelled.
    pub shipment: Option<Shipment>,
}
avro_record!(
    OrderShipped = "millrace.orders.OrderShipped",
    "orders/OrderShipped.avsc"
);

/// Everything has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDelivered {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
}
avro_record!(
    OrderDelivered = "millrace.orders.OrderDelivered",
    "orders/OrderDelivered.avsc"
);

/// The order is cancelled; money is on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelling {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Why.
    pub reason: String,
}
avro_record!(
    OrderCancelling = "millrace.orders.OrderCancelling",
    "orders/OrderCancelling.avsc"
);

/// The order is cancelled, and nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Why.
    pub reason: String,
}
avro_record!(
    OrderCancelled = "millrace.orders.OrderCancelled",
    "orders/OrderCancelled.avsc"
);

/// What had not left yet is cancelled; what had left stays sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRestCancelled {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// What will not leave.
    pub items: Vec<ShippedItem>,
    /// What goes back to the customer.
    pub refund: Money,
}
avro_record!(
    OrderRestCancelled = "millrace.orders.OrderRestCancelled",
    "orders/OrderRestCancelled.avsc"
);

/// The order cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Why, for programs: `insufficient-stock`.
    pub reason: String,
    /// The SKUs that are the reason, if any.
    pub skus: Vec<Sku>,
}
avro_record!(
    OrderRejected = "millrace.orders.OrderRejected",
    "orders/OrderRejected.avsc"
);

/// The order was not paid in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderExpired {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Why.
    pub reason: String,
}
avro_record!(
    OrderExpired = "millrace.orders.OrderExpired",
    "orders/OrderExpired.avsc"
);

/// Every payment attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPaymentFailed {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The number of attempts.
    pub attempts: i64,
}
avro_record!(
    OrderPaymentFailed = "millrace.orders.OrderPaymentFailed",
    "orders/OrderPaymentFailed.avsc"
);

/// The order has waited too long for its next step; somebody has to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderOverdue {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Where it waits.
    pub status: OrderStatus,
}
avro_record!(
    OrderOverdue = "millrace.orders.OrderOverdue",
    "orders/OrderOverdue.avsc"
);

events! {
    /// What has become of an order.
    pub enum OrderEvent {
        Created(OrderCreated) = "order.created",
        Reserved(OrderReserved) = "order.reserved",
        PaymentRequested(OrderPaymentRequested) = "order.payment_requested",
        Confirmed(OrderConfirmed) = "order.confirmed",
        PartiallyShipped(OrderPartiallyShipped) = "order.partially_shipped",
        Shipped(OrderShipped) = "order.shipped",
        Delivered(OrderDelivered) = "order.delivered",
        Cancelling(OrderCancelling) = "order.cancelling",
        Cancelled(OrderCancelled) = "order.cancelled",
        RestCancelled(OrderRestCancelled) = "order.rest_cancelled",
        Rejected(OrderRejected) = "order.rejected",
        Expired(OrderExpired) = "order.expired",
        PaymentFailed(OrderPaymentFailed) = "order.payment_failed",
        Overdue(OrderOverdue) = "order.overdue",
    }
}

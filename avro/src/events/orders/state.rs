//! What the saga remembers of an order, and what clients read.

use serde::{Deserialize, Serialize};

use super::{
    CaptureMode, FulfilmentStatus, LineReservation, OrderLine, OrderStatus, PaymentStatus,
    ReturnStatus, Shipment, TimelineEntry, Totals,
};
use crate::events::common::Recent;
use crate::events::payments::{PaymentStanding, PaymentSummary};
use crate::keys::{CartId, OrderId, ProductId, Sku, UserId};
use crate::money::{Currency, Money};
use crate::{avro_data, avro_record};

/// What the saga remembers of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The cart that it empties.
    pub cart_id: Option<CartId>,
    /// The currency of every amount.
    pub currency: Currency,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// The lines.
    pub lines: Vec<OrderLine>,
    /// The sums.
    pub totals: Totals,
    /// One reservation per SKU.
    pub reservations: Vec<LineReservation>,
    /// The token of the payment method.
    pub payment_method: String,
    /// When the money is taken.
    pub capture: CaptureMode,
    /// The address, sealed with the user's key.
    pub shipping_address: Option<String>,
    /// How many payment attempts were begun.
    pub payment_attempts: i64,
    /// What the payments last said.
    pub payments: Option<PaymentStanding>,
    /// True once every payment was asked back.
    pub undoing: bool,
    /// What is to go back for what will not leave, in minor units.
    pub refund_promised_minor: i64,
    /// What has left.
    pub shipments: Vec<Shipment>,
    /// When it was placed.
    pub placed_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
    /// Until when its goods are held.
    pub hold_until_ms: i64,
    /// When somebody acts if nothing happens; none when it is terminal.
    pub deadline_ms: Option<i64>,
    /// The sequence number of its last fact.
    pub seq: i64,
    /// Its last steps.
    pub timeline: Vec<TimelineEntry>,
    /// Where its correlation began.
    pub origin: Origin,
    /// Commands that were answered lately.
    pub recent: Recent,
}
avro_record!(
    OrderState = "millrace.orders.OrderState",
    "orders/OrderState.avsc"
);
avro_data!(OrderState);

/// What the events that a deadline causes inherit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The request that began it all.
    pub correlation_id: String,
    /// The trace context of that request.
    pub traceparent: Option<String>,
    /// On whose behalf.
    pub actor: Option<String>,
}

/// A line of an order, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItemView {
    /// What is ordered.
    pub sku: Sku,
    /// The product that the SKU is a variant of.
    pub product_id: ProductId,
    /// The name, as shown when the order was placed.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// The price of one, without tax.
    pub unit_price: Money,
    /// Price times quantity, before discount and tax.
    pub line_total: Money,
    /// This line's share of the discounts.
    pub discount: Money,
    /// The tax.
    pub tax: Money,
    /// How many have left.
    pub shipped: i64,
    /// How many will not leave.
    pub cancelled: i64,
}

/// An order, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// The order.
    pub id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// Where it stands.
    pub status: OrderStatus,
    /// The payment dimension.
    pub payment_status: PaymentStatus,
    /// The fulfilment dimension.
    pub fulfilment_status: FulfilmentStatus,
    /// The return dimension.
    pub return_status: ReturnStatus,
    /// The lines.
    pub items: Vec<OrderItemView>,
    /// The sums.
    pub totals: Totals,
    /// The payment attempts.
    pub payments: Vec<PaymentSummary>,
    /// What has left.
    pub shipments: Vec<Shipment>,
    /// Why it ended as it did.
    pub reason: Option<String>,
    /// The commands that it would accept now.
    pub allowed_actions: Vec<String>,
    /// Its last steps.
    pub timeline: Vec<TimelineEntry>,
    /// The address, sealed with the user's key.
    pub shipping_address: Option<String>,
    /// When it was placed, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// True when nothing happens by itself: it is terminal, or waits for a person.
    pub final_or_waiting: bool,
    /// The sequence number of its last fact.
    pub version: i64,
}
avro_record!(
    OrderView = "millrace.orders.OrderView",
    "orders/OrderView.avsc"
);
avro_data!(OrderView);

//! What clients and operators ask of an order.

use serde::{Deserialize, Serialize};

use super::{CaptureMode, Discount, PlacedLine, ShippedItem};
use crate::keys::{CartId, LocationId, OrderId, ShipmentId, UserId};
use crate::money::{Currency, Money, Rate};
use crate::{avro_record, events};

/// The command to create an order, with what the catalogue said when it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPlaced {
    /// The order.
    pub order_id: OrderId,
    /// The customer.
    pub user_id: UserId,
    /// The cart that it empties.
    pub cart_id: Option<CartId>,
    /// The currency of every amount, fixed for good.
    pub currency: Currency,
    /// The lines.
    pub lines: Vec<PlacedLine>,
    /// The reductions, in the order in which they apply.
    pub discounts: Vec<Discount>,
    /// The shipping, before tax.
    pub shipping: Money,
    /// The tax rate of the shipping, in millionths.
    pub shipping_tax_rate: Rate,
    /// The token of the payment method; never card data.
    pub payment_method: String,
    /// When the money is taken.
    pub capture: CaptureMode,
    /// The address, sealed with the user's key.
    pub shipping_address: Option<String>,
    /// The total that the customer saw; the order is rejected when it rose.
    pub expected_total: Option<Money>,
    /// Locations in order of preference, the nearest first; may be empty.
    pub near: Vec<LocationId>,
}
avro_record!(
    OrderPlaced = "millrace.orders.OrderPlaced",
    "orders/OrderPlaced.avsc"
);

/// The command to cancel what has not left yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelRequested {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: Option<String>,
}
avro_record!(
    OrderCancelRequested = "millrace.orders.OrderCancelRequested",
    "orders/OrderCancelRequested.avsc"
);

/// The command to record that goods leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderShipmentRequested {
    /// The order.
    pub order_id: OrderId,
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What leaves; empty for everything that is left.
    pub items: Vec<ShippedItem>,
    /// The carrier's tracking number.
    pub tracking: Option<String>,
}
avro_record!(
    OrderShipmentRequested = "millrace.orders.OrderShipmentRequested",
    "orders/OrderShipmentRequested.avsc"
);

/// The command to record that everything has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDeliveryReported {
    /// The order.
    pub order_id: OrderId,
}
avro_record!(
    OrderDeliveryReported = "millrace.orders.OrderDeliveryReported",
    "orders/OrderDeliveryReported.avsc"
);

events! {
    /// What clients and operators ask of an order.
    pub enum OrderCommand {
        Placed(OrderPlaced) = "order.placed",
        CancelRequested(OrderCancelRequested) = "order.cancel_requested",
        ShipmentRequested(OrderShipmentRequested) = "order.shipment_requested",
        DeliveryReported(OrderDeliveryReported) = "order.delivery_reported",
    }
}

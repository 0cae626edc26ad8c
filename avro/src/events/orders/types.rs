//! What the records of orders are made of.

use serde::{Deserialize, Serialize};

use crate::keys::{LocationId, ProductId, ShipmentId, Sku};
use crate::money::{Money, Rate};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Waits for the reservation of its lines.
    Pending,
    /// Every line is reserved; waits for the payment.
    AwaitingPayment,
    /// Paid, and its goods are committed.
    Confirmed,
    /// Some of its goods are on their way.
    PartiallyShipped,
    /// All of its goods are on their way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Cancelled while money was in flight: waits for the void or the refund.
    Cancelling,
    /// Cancelled; nothing is kept.
    Cancelled,
    /// A line could not be reserved.
    Rejected,
    /// Was not paid in time.
    Expired,
    /// Every payment attempt failed.
    PaymentFailed,
}

/// The payment dimension of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// No payment was asked for yet.
    Unpaid,
    /// An attempt is under way.
    Pending,
    /// The customer has to act.
    RequiresAction,
    /// The money is set aside.
    Authorized,
    /// The money is taken.
    Captured,
    /// Some of the money went back.
    PartiallyRefunded,
    /// All of the money went back.
    Refunded,
    /// Set aside, and given free again.
    Voided,
    /// Every attempt so far has failed.
    Failed,
    /// The customer disputes the charge.
    Disputed,
}

/// The fulfilment dimension of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentStatus {
    /// Nothing has left.
    Unfulfilled,
    /// Something has left.
    PartiallyShipped,
    /// All that was not cancelled has left.
    Shipped,
    /// It has arrived.
    Delivered,
    /// Nothing will leave.
    None,
}

/// The return dimension of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnStatus {
    /// Nothing was refunded after it had left.
    None,
    /// Some of what had left was refunded.
    Partial,
    /// All of what had left was refunded.
    Full,
}

/// When the money of an authorised payment is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMode {
    /// At once; an order is paid when the money is taken.
    Automatic,
    /// When the shop asks; an order is paid when the money is set aside.
    Manual,
}

/// Where the reservation of one SKU stands, as the order knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationStatus {
    /// Asked for.
    Requested,
    /// Held until a point in time.
    Held,
    /// Held, and asked to be committed.
    Committing,
    /// The order's for good.
    Committed,
    /// Had expired, and could not be had again.
    CommitFailed,
    /// Refused.
    Rejected,
    /// Given back.
    Released,
    /// Not committed in time.
    Expired,
    /// Its goods have left.
    Shipped,
}

/// A line of the order that a client places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// What is ordered.
    pub sku: Sku,
    /// The product that the SKU is a variant of.
    pub product_id: ProductId,
    /// The name, as shown when the order was placed.
    pub name: String,
    /// How many, at least 1.
    pub quantity: i64,
    /// The price of one, without tax.
    pub unit_price: Money,
    /// The tax rate, in millionths.
    pub tax_rate: Rate,
}

/// A reduction of the whole order: a share of it, or a fixed amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// The code or the name of the promotion.
    pub code: String,
    /// The share that is taken off, in millionths.
    pub percent_off: Option<Rate>,
    /// The amount that is taken off.
    pub amount_off: Option<Money>,
}

/// A line of an order with all its amounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
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
    /// The tax rate, in millionths.
    pub tax_rate: Rate,
    /// This line's share of the discounts.
    pub discount: Money,
    /// The tax on the price less the discount.
    pub tax: Money,
    /// Price times quantity, before discount and tax.
    pub line_total: Money,
    /// How many have left.
    pub shipped: i64,
    /// How many will not leave.
    pub cancelled: i64,
}

/// The sums of a cart or an order, exact to the minor unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The lines, before discount and tax.
    pub subtotal: Money,
    /// What is taken off.
    pub discount: Money,
    /// The taxes of the lines and of the shipping.
    pub tax: Money,
    /// The shipping, before tax.
    pub shipping: Money,
    /// Subtotal - discount + tax + shipping.
    pub total: Money,
}

/// A part of a reservation: how many at which location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationPart {
    /// The location.
    pub location: LocationId,
    /// How many.
    pub quantity: i64,
}

/// The reservation of one SKU, as the order knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReservation {
    /// The SKU.
    pub sku: Sku,
    /// The sum of the demand of all lines of this SKU.
    pub quantity: i64,
    /// Where it stands.
    pub status: ReservationStatus,
    /// The sequence number of the last inventory fact that was taken in, 0 for none.
    pub revision: i64,
    /// What is still reserved, by location.
    pub parts: Vec<ReservationPart>,
}

/// How many of a SKU a shipment takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedItem {
    /// The SKU.
    pub sku: Sku,
    /// How many.
    pub quantity: i64,
}

/// Goods that have left together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What has left.
    pub items: Vec<ShippedItem>,
    /// The carrier's tracking number.
    pub tracking: Option<String>,
    /// When it left, RFC 3339.
    pub at: String,
}

/// One step of an order's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// The type of the event.
    pub event: String,
    /// When, RFC 3339.
    pub at: String,
    /// The id of the event.
    pub id: String,
}

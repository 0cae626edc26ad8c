//! What has become of the stock of a SKU.

use serde::{Deserialize, Serialize};

use super::{Movement, RejectReason, StockLevel, StockPolicy};
use crate::events::orders::ReservationPart;
use crate::keys::{OrderId, ReservationId, Sku};
use crate::{avro_record, events};

/// What lies at a location has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAdjusted {
    /// The SKU.
    pub sku: Sku,
    /// The change.
    pub movement: Movement,
    /// The stock after it.
    pub level: StockLevel,
}
avro_record!(
    StockAdjusted = "millrace.inventory.StockAdjusted",
    "inventory/StockAdjusted.avsc"
);

/// The SKU is known, or its stock is treated differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockConfigured {
    /// The SKU.
    pub sku: Sku,
    /// What happens to demand beyond the stock.
    pub policy: StockPolicy,
    /// At or below how many available units the stock is low.
    pub low_stock_threshold: i64,
}
avro_record!(
    StockConfigured = "millrace.inventory.StockConfigured",
    "inventory/StockConfigured.avsc"
);

/// Stock is held for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockReserved {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// How many.
    pub quantity: i64,
    /// Where.
    pub parts: Vec<ReservationPart>,
    /// Until when.
    pub hold_until_ms: i64,
    /// The stock of these locations after it.
    pub levels: Vec<StockLevel>,
}
avro_record!(
    StockReserved = "millrace.inventory.StockReserved",
    "inventory/StockReserved.avsc"
);

/// Stock was not held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationRejected {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// How many were asked for.
    pub quantity: i64,
    /// Why.
    pub reason: RejectReason,
    /// How many there were in all locations.
    pub available: i64,
}
avro_record!(
    ReservationRejected = "millrace.inventory.ReservationRejected",
    "inventory/ReservationRejected.avsc"
);

/// What was reserved is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationReleased {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// What is free again, by location.
    pub parts: Vec<ReservationPart>,
    /// Why.
    pub reason: String,
    /// The stock of these locations after it.
    pub levels: Vec<StockLevel>,
}
avro_record!(
    ReservationReleased = "millrace.inventory.ReservationReleased",
    "inventory/ReservationReleased.avsc"
);

/// What was held is the order's for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationCommitted {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// Where.
    pub parts: Vec<ReservationPart>,
    /// True when it had expired and was had again.
    pub reacquired: bool,
    /// The stock of these locations after it.
    pub levels: Vec<StockLevel>,
}
avro_record!(
    ReservationCommitted = "millrace.inventory.ReservationCommitted",
    "inventory/ReservationCommitted.avsc"
);

/// What had expired could not be had again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationCommitFailed {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// Why.
    pub reason: RejectReason,
    /// How many there were in all locations.
    pub available: i64,
}
avro_record!(
    ReservationCommitFailed = "millrace.inventory.ReservationCommitFailed",
    "inventory/ReservationCommitFailed.avsc"
);

/// What was held was not committed in time, and is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationExpired {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// What is free again, by location.
    pub parts: Vec<ReservationPart>,
    /// The stock of these locations after it.
    pub levels: Vec<StockLevel>,
}
avro_record!(
    ReservationExpired = "millrace.inventory.ReservationExpired",
    "inventory/ReservationExpired.avsc"
);

/// Goods of an order have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockShipped {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// What has left, by location.
    pub parts: Vec<ReservationPart>,
    /// True when nothing of the reservation is left.
    pub last: bool,
    /// The changes.
    pub movements: Vec<Movement>,
    /// The stock of these locations after it.
    pub levels: Vec<StockLevel>,
}
avro_record!(
    StockShipped = "millrace.inventory.StockShipped",
    "inventory/StockShipped.avsc"
);

/// What is available has fallen to the threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockLow {
    /// The SKU.
    pub sku: Sku,
    /// What is available in all locations.
    pub available: i64,
    /// The threshold.
    pub threshold: i64,
}
avro_record!(
    StockLow = "millrace.inventory.StockLow",
    "inventory/StockLow.avsc"
);

events! {
    /// What has become of the stock of a SKU.
    pub enum InventoryEvent {
        Adjusted(StockAdjusted) = "inventory.adjusted",
        Configured(StockConfigured) = "inventory.configured",
        Reserved(StockReserved) = "inventory.reserved",
        ReservationRejected(ReservationRejected) = "inventory.reservation_rejected",
        Released(ReservationReleased) = "inventory.released",
        Committed(ReservationCommitted) = "inventory.committed",
        CommitFailed(ReservationCommitFailed) = "inventory.commit_failed",
        Expired(ReservationExpired) = "inventory.expired",
        Shipped(StockShipped) = "inventory.shipped",
        LowStock(StockLow) = "inventory.low_stock",
    }
}

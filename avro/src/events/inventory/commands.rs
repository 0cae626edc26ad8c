//! What orders and operators ask of the stock of a SKU.

use serde::{Deserialize, Serialize};

use super::StockPolicy;
use crate::events::orders::ReservationPart;
use crate::keys::{LocationId, OrderId, ReservationId, Sku};
use crate::{avro_record, events};

/// The command to change what lies at a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustStock {
    /// The SKU.
    pub sku: Sku,
    /// The location.
    pub location: LocationId,
    /// By how much; not 0.
    pub delta: i64,
    /// Why.
    pub reason: String,
}
avro_record!(
    AdjustStock = "millrace.inventory.AdjustStock",
    "inventory/AdjustStock.avsc"
);

/// The command to make a SKU known, or to change how its stock is treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureStock {
    /// The SKU.
    pub sku: Sku,
    /// What happens to demand beyond the stock; none to leave it.
    pub policy: Option<StockPolicy>,
    /// At or below how many available units the stock is low; none to leave it.
    pub low_stock_threshold: Option<i64>,
    /// The version that the client has seen; none to change whatever there is.
    pub expected_version: Option<i64>,
}
avro_record!(
    ConfigureStock = "millrace.inventory.ConfigureStock",
    "inventory/ConfigureStock.avsc"
);

/// The command to hold stock for an order, all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveStock {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// How many.
    pub quantity: i64,
    /// Until when.
    pub hold_until_ms: i64,
    /// Locations in order of preference, the nearest first; may be empty.
    pub near: Vec<LocationId>,
}
avro_record!(
    ReserveStock = "millrace.inventory.ReserveStock",
    "inventory/ReserveStock.avsc"
);

/// The command to keep what was held for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReservation {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// How many, to have it again if it has expired.
    pub quantity: i64,
}
avro_record!(
    CommitReservation = "millrace.inventory.CommitReservation",
    "inventory/CommitReservation.avsc"
);

/// The command to give back what is reserved, held or committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReservation {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// What is committed, by location; empty while it is held.
    pub parts: Vec<ReservationPart>,
    /// Why.
    pub reason: String,
}
avro_record!(
    ReleaseReservation = "millrace.inventory.ReleaseReservation",
    "inventory/ReleaseReservation.avsc"
);

/// The command to take committed goods out of the stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipReservation {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// The SKU.
    pub sku: Sku,
    /// What leaves, by location.
    pub parts: Vec<ReservationPart>,
    /// True when nothing of the reservation is left.
    pub last: bool,
}
avro_record!(
    ShipReservation = "millrace.inventory.ShipReservation",
    "inventory/ShipReservation.avsc"
);

events! {
    /// What orders and operators ask of the stock of a SKU.
    pub enum InventoryCommand {
        Adjust(AdjustStock) = "inventory.adjust",
        Configure(ConfigureStock) = "inventory.configure",
        Reserve(ReserveStock) = "inventory.reserve",
        Commit(CommitReservation) = "inventory.commit",
        Release(ReleaseReservation) = "inventory.release",
        Ship(ShipReservation) = "inventory.ship",
    }
}

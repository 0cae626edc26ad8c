//! What the inventory rule remembers of a SKU, and what clients read.

use serde::{Deserialize, Serialize};

use super::{Movement, StockLevel, StockPolicy};
use crate::events::common::Recent;
use crate::events::orders::{Origin, ReservationPart};
use crate::keys::{LocationId, OrderId, ReservationId, Sku};
use crate::{avro_data, avro_record};

/// The stock of a SKU at one location, with what its reservations have promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAt {
    /// The location.
    pub location: LocationId,
    /// What lies there.
    pub on_hand: i64,
    /// What live holds have promised.
    pub held: i64,
    /// What orders own, and has not left.
    pub committed: i64,
}

/// A hold that may still expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldReservation {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order.
    pub order_id: OrderId,
    /// Where.
    pub parts: Vec<ReservationPart>,
    /// Until when.
    pub hold_until_ms: i64,
    /// Where its correlation began.
    pub origin: Origin,
}

/// What the inventory rule remembers of a SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockState {
    /// The SKU.
    pub sku: Sku,
    /// What happens to demand beyond the stock.
    pub policy: StockPolicy,
    /// At or below how many available units the stock is low.
    pub low_stock_threshold: i64,
    /// True once somebody has made the SKU known.
    pub configured: bool,
    /// True when crossing the threshold is reported.
    pub low_armed: bool,
    /// The locations, in the order of their first movement.
    pub locations: Vec<StockAt>,
    /// The holds, oldest first. Who owns what is committed is known to the orders.
    pub holds: Vec<HeldReservation>,
    /// Reservations that are held no more, with their fate: tombstones included.
    pub closed: Recent,
    /// Commands that were answered lately.
    pub recent: Recent,
    /// The last movements, newest first.
    pub movements: Vec<Movement>,
    /// The sequence number of the last fact.
    pub seq: i64,
}
avro_record!(
    StockState = "millrace.inventory.StockState",
    "inventory/StockState.avsc"
);
avro_data!(StockState);

/// The stock of a SKU, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockView {
    /// The SKU.
    pub sku: Sku,
    /// What happens to demand beyond the stock.
    pub policy: StockPolicy,
    /// At or below how many available units the stock is low.
    pub low_stock_threshold: i64,
    /// What lies in all locations.
    pub on_hand: i64,
    /// What of it is reserved.
    pub reserved: i64,
    /// On hand less reserved.
    pub available: i64,
    /// The locations.
    pub locations: Vec<StockLevel>,
    /// The last movements, newest first.
    pub movements: Vec<Movement>,
    /// The sequence number of the last fact.
    pub version: i64,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}
avro_record!(
    StockView = "millrace.inventory.StockView",
    "inventory/StockView.avsc"
);
avro_data!(StockView);

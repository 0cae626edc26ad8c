//! The auditor's memory of orders and of stock.

use serde::{Deserialize, Serialize};

use crate::events::orders::{OrderStatus, Totals};
use crate::events::payments::PaymentStanding;
use crate::keys::{LocationId, OrderId, Sku};
use crate::{avro_data, avro_record};

/// What the auditor knows of one reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedReservation {
    /// The SKU.
    pub sku: Sku,
    /// The sequence number of the last fact about it.
    pub revision: i64,
    /// How many pieces it holds.
    pub live: i64,
}

/// What the auditor has seen of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderAudit {
    /// The order.
    pub order_id: OrderId,
    /// What it costs.
    pub totals: Option<Totals>,
    /// Where it stands.
    pub status: Option<OrderStatus>,
    /// What its payments last said.
    pub payments: Option<PaymentStanding>,
    /// Its reservations.
    pub reservations: Vec<AuditedReservation>,
    /// The sequence number of the last order fact.
    pub last_seq: i64,
    /// When it must have moved, or its end must have settled.
    pub watch_until_ms: Option<i64>,
    /// The invariants that are violated and were reported.
    pub reported: Vec<i32>,
    /// What it has promised to give back for what will not leave, in minor units.
    pub promised_minor: i64,
    /// True once it was found not to have moved in time.
    pub late: bool,
}
avro_record!(
    OrderAudit = "millrace.audit.OrderAudit",
    "audit/OrderAudit.avsc"
);
avro_data!(OrderAudit);

/// What the auditor has seen of a SKU at one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedLocation {
    /// The location.
    pub location: LocationId,
    /// The sum of all movements.
    pub movements: i64,
    /// What reservations took, less what they gave back.
    pub live: i64,
}

/// What the auditor has seen of the stock of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAudit {
    /// The SKU.
    pub sku: Sku,
    /// True when demand beyond the stock is promised.
    pub on_demand: bool,
    /// The locations.
    pub locations: Vec<AuditedLocation>,
    /// The sequence number of the last fact.
    pub last_seq: i64,
    /// The violations that stand: location and invariant.
    pub reported: Vec<String>,
}
avro_record!(
    StockAudit = "millrace.audit.StockAudit",
    "audit/StockAudit.avsc"
);
avro_data!(StockAudit);

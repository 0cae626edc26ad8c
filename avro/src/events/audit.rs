//! The auditor's memory of orders and of stock.

use serde::{Deserialize, Serialize};

use crate::avro_record;
use crate::events::orders::OrderStatus;
use crate::keys::{OrderId, Sku};
use crate::money::Money;

/// What the auditor knows of one reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedReservation {
    /// The SKU.
    pub sku: Sku,
    /// True while it is held or committed.
    pub live: bool,
}

/// What the auditor has seen of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderAudit {
    /// The order.
    pub order_id: OrderId,
    /// What it costs.
    pub total: Option<Money>,
    /// Where it stands.
    pub status: Option<OrderStatus>,
    /// True when goods were kept or shipped.
    pub reason_kept: bool,
    /// True while a deadline runs.
    pub has_deadline: bool,
    /// Minor units of what was neither cancelled nor refunded by rule.
    pub shipped_value: i64,
    /// Minor units taken.
    pub captured: i64,
    /// Minor units sent back.
    pub refunded: i64,
    /// Minor units held for refunds.
    pub refunding: i64,
    /// Minor units ever set aside or taken.
    pub authorized: i64,
    /// The number of attempts with money set aside and neither taken nor freed.
    pub open_authorizations: i64,
    /// Its reservations.
    pub reservations: Vec<AuditedReservation>,
    /// The sequence number of the last order fact.
    pub last_seq: i64,
}
avro_record!(
    OrderAudit = "millrace.audit.OrderAudit",
    "audit/OrderAudit.avsc"
);

/// What the auditor has seen of one SKU at one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAudit {
    /// The sum of all movements.
    pub movements: i64,
    /// What the last fact says lies there.
    pub on_hand: i64,
    /// What the last fact says is reserved.
    pub reserved: i64,
    /// The sum of the live reservations.
    pub live: i64,
    /// True when demand beyond the stock is promised.
    pub on_demand: bool,
}
avro_record!(
    StockAudit = "millrace.audit.StockAudit",
    "audit/StockAudit.avsc"
);

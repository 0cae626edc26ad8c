//! The auditor's memory of orders and of stock.

use serde::{Deserialize, Serialize};

use crate::events::orders::{OrderLine, OrderStatus, Totals};
use crate::events::payments::PaymentStanding;
use crate::keys::{OrderId, Sku};
use crate::money::Money;
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
    /// Its lines, as it was created.
    pub lines: Vec<OrderLine>,
    /// Where it stands.
    pub status: Option<OrderStatus>,
    /// What the shop may keep of it when it is terminal.
    pub kept: Option<Money>,
    /// What its payments last said.
    pub payments: Option<PaymentStanding>,
    /// Its reservations.
    pub reservations: Vec<AuditedReservation>,
    /// The sequence number of the last order fact.
    pub last_seq: i64,
    /// When its next step is overdue; none when it is terminal and settled.
    pub watch_until_ms: Option<i64>,
    /// The invariants that are violated and were reported.
    pub reported: Vec<i32>,
}
avro_record!(
    OrderAudit = "millrace.audit.OrderAudit",
    "audit/OrderAudit.avsc"
);
avro_data!(OrderAudit);

/// What the auditor has seen of one SKU at one location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAudit {
    /// The sum of all movements.
    pub movements: i64,
    /// What the last fact says lies there.
    pub on_hand: i64,
    /// What the last fact says is reserved.
    pub reserved: i64,
    /// The sum of what reservations took, less what they gave back.
    pub live: i64,
    /// True when demand beyond the stock is promised.
    pub on_demand: bool,
    /// The sequence number of the last fact of the SKU that touched it.
    pub last_seq: i64,
    /// The invariants that are violated and were reported.
    pub reported: Vec<i32>,
}
avro_record!(
    StockAudit = "millrace.audit.StockAudit",
    "audit/StockAudit.avsc"
);
avro_data!(StockAudit);

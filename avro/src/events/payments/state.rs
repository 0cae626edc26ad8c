//! What the payment rule remembers of an order's payments, and what clients read.

use serde::{Deserialize, Serialize};

use super::{AttemptStatus, PaymentAttempt, Refund, RefundStatus};
use crate::events::orders::Origin;
use crate::keys::{OrderId, PaymentId, RefundId};
use crate::money::{Currency, Money};
use crate::{avro_data, avro_record};

/// What the payment rule remembers of an order's payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentsState {
    /// The order.
    pub order_id: OrderId,
    /// The currency of every amount; none before the first attempt.
    pub currency: Option<Currency>,
    /// The attempts, oldest first.
    pub attempts: Vec<PaymentAttempt>,
    /// The refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// True when all money goes back, and no attempt may begin.
    pub undone: bool,
    /// How often everything was asked back.
    pub undo_rounds: i64,
    /// The sequence number of the last fact.
    pub seq: i64,
    /// Where its correlation began.
    pub origin: Origin,
}
avro_record!(
    PaymentsState = "millrace.payments.PaymentsState",
    "payments/PaymentsState.avsc"
);
avro_data!(PaymentsState);

/// A refund, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundView {
    /// The refund.
    pub id: RefundId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// When it was requested, RFC 3339.
    pub requested_at: String,
}

/// A payment attempt, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// The attempt.
    pub id: PaymentId,
    /// The order.
    pub order_id: OrderId,
    /// Where it stands.
    pub status: AttemptStatus,
    /// What was to be paid.
    pub amount: Money,
    /// How much was set aside.
    pub authorized: Money,
    /// How much was taken.
    pub captured: Money,
    /// How much went back.
    pub refunded: Money,
    /// How much may still be sent back.
    pub refundable: Money,
    /// Its refunds.
    pub refunds: Vec<RefundView>,
    /// When it began, RFC 3339.
    pub created_at: String,
    /// The sequence number of the last fact of the order's payments.
    pub version: i64,
}
avro_record!(
    PaymentView = "millrace.payments.PaymentView",
    "payments/PaymentView.avsc"
);
avro_data!(PaymentView);

//! What has become of payments.

use serde::{Deserialize, Serialize};

use super::PaymentStanding;
use crate::keys::{OrderId, PaymentId, RefundId};
use crate::money::Money;
use crate::{avro_record, events};

/// An attempt has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentInitiated {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What is to be paid.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentInitiated = "millrace.payments.PaymentInitiated",
    "payments/PaymentInitiated.avsc"
);

/// The customer has to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequiresAction {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What is to be paid.
    pub amount: Money,
    /// What to do, as the gateway says it.
    pub detail: Option<String>,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentRequiresAction = "millrace.payments.PaymentRequiresAction",
    "payments/PaymentRequiresAction.avsc"
);

/// The gateway works on an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentProcessing {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What is to be paid.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentProcessing = "millrace.payments.PaymentProcessing",
    "payments/PaymentProcessing.avsc"
);

/// Money is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAuthorized {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentAuthorized = "millrace.payments.PaymentAuthorized",
    "payments/PaymentAuthorized.avsc"
);

/// Money is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// How much in all by this attempt.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentCaptured = "millrace.payments.PaymentCaptured",
    "payments/PaymentCaptured.avsc"
);

/// An attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What was to be paid.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentFailed = "millrace.payments.PaymentFailed",
    "payments/PaymentFailed.avsc"
);

/// What was set aside is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentVoided {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What was to be paid.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentVoided = "millrace.payments.PaymentVoided",
    "payments/PaymentVoided.avsc"
);

/// A refund is held against the captured amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundRequested {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// The refund.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentRefundRequested = "millrace.payments.PaymentRefundRequested",
    "payments/PaymentRefundRequested.avsc"
);

/// Money went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// The refund; none when the gateway did it by itself.
    pub refund_id: Option<RefundId>,
    /// How much in all from this attempt.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentRefunded = "millrace.payments.PaymentRefunded",
    "payments/PaymentRefunded.avsc"
);

/// Money did not go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundFailed {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// The refund; none when the gateway did it by itself.
    pub refund_id: Option<RefundId>,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentRefundFailed = "millrace.payments.PaymentRefundFailed",
    "payments/PaymentRefundFailed.avsc"
);

/// The customer disputes a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDisputed {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentDisputed = "millrace.payments.PaymentDisputed",
    "payments/PaymentDisputed.avsc"
);

/// A dispute was won or lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDisputeClosed {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// True when the shop keeps the money.
    pub won: bool,
    /// All payments of the order.
    pub standing: PaymentStanding,
}
avro_record!(
    PaymentDisputeClosed = "millrace.payments.PaymentDisputeClosed",
    "payments/PaymentDisputeClosed.avsc"
);

events! {
    /// What has become of payments.
    pub enum PaymentEvent {
        Initiated(PaymentInitiated) = "payment.initiated",
        RequiresAction(PaymentRequiresAction) = "payment.requires_action",
        Processing(PaymentProcessing) = "payment.processing",
        Authorized(PaymentAuthorized) = "payment.authorized",
        Captured(PaymentCaptured) = "payment.captured",
        Failed(PaymentFailed) = "payment.failed",
        Voided(PaymentVoided) = "payment.voided",
        RefundRequested(PaymentRefundRequested) = "payment.refund_requested",
        Refunded(PaymentRefunded) = "payment.refunded",
        RefundFailed(PaymentRefundFailed) = "payment.refund_failed",
        Disputed(PaymentDisputed) = "payment.disputed",
        DisputeClosed(PaymentDisputeClosed) = "payment.dispute_closed",
    }
}

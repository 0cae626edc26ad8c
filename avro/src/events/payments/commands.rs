//! What orders, operators and gateways ask of the payments of an order.

use serde::{Deserialize, Serialize};

use super::{GatewayAction, GatewayFact};
use crate::events::orders::CaptureMode;
use crate::keys::{OrderId, PaymentId, RefundId};
use crate::money::Money;
use crate::{avro_record, events};

/// The command to begin an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPayment {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// The number of the attempt, from 1.
    pub number: i64,
    /// What is to be paid.
    pub amount: Money,
    /// The token of the payment method.
    pub method: String,
    /// When the money is taken.
    pub capture: CaptureMode,
}
avro_record!(
    StartPayment = "millrace.payments.StartPayment",
    "payments/StartPayment.avsc"
);

/// The command to take the money of an authorised attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturePayment {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
}
avro_record!(
    CapturePayment = "millrace.payments.CapturePayment",
    "payments/CapturePayment.avsc"
);

/// The command to void or refund every payment of an order, now and later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoPayments {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: String,
}
avro_record!(
    UndoPayments = "millrace.payments.UndoPayments",
    "payments/UndoPayments.avsc"
);

/// The command to send some money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundPayment {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// The attempt; none to let the rule choose among those with money left.
    pub payment_id: Option<PaymentId>,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
}
avro_record!(
    RefundPayment = "millrace.payments.RefundPayment",
    "payments/RefundPayment.avsc"
);

/// What a gateway has said, by its answer or by its webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayReported {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What it has said.
    pub facts: Vec<GatewayFact>,
}
avro_record!(
    GatewayReported = "millrace.payments.GatewayReported",
    "payments/GatewayReported.avsc"
);

events! {
    /// What orders, operators and gateways ask of the payments of an order.
    pub enum PaymentCommand {
        Start(StartPayment) = "payment.start",
        Capture(CapturePayment) = "payment.capture",
        Undo(UndoPayments) = "payment.undo",
        Refund(RefundPayment) = "payment.refund",
        GatewayReported(GatewayReported) = "payment.gateway_reported",
    }
}

/// A call that a gateway is to receive; repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayCall {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub payment_id: PaymentId,
    /// What is asked.
    pub action: GatewayAction,
    /// The same for each repetition of the same call.
    pub idempotency_key: String,
    /// How much.
    pub amount: Money,
    /// The token of the payment method.
    pub method: String,
    /// When the money is taken.
    pub capture: CaptureMode,
    /// The gateway's id of what the call is about, when it is known.
    pub reference: Option<String>,
    /// The refund, for that action.
    pub refund_id: Option<RefundId>,
    /// How often it is asked with this call, from 1.
    pub attempt: i64,
}
avro_record!(
    GatewayCall = "millrace.payments.GatewayCall",
    "payments/GatewayCall.avsc"
);

events! {
    /// What gateways are asked.
    pub enum GatewayEffect {
        Call(GatewayCall) = "gateway.call",
    }
}

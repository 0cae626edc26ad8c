//! What the records of payments are made of.

use serde::{Deserialize, Serialize};

use crate::events::orders::CaptureMode;
use crate::keys::{PaymentId, RefundId};
use crate::money::Money;

/// Where a payment attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// The gateway was asked, and has not answered.
    Initiated,
    /// The customer has to act.
    RequiresAction,
    /// The gateway works on it.
    Processing,
    /// The money is set aside.
    Authorized,
    /// The money is taken.
    Captured,
    /// Some of the money went back.
    PartiallyRefunded,
    /// All of the money went back.
    Refunded,
    /// No money will be taken.
    Failed,
    /// Set aside, and given free again.
    Voided,
    /// The customer disputes the charge.
    Disputed,
    /// The dispute was won.
    Won,
    /// The dispute was lost.
    Lost,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// It is held against the captured amount.
    Requested,
    /// The gateway works on it.
    Pending,
    /// The money went back.
    Succeeded,
    /// The money did not go back; its amount is free again.
    Failed,
}

/// What a gateway is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayAction {
    /// Set the money aside, and take it if capture is automatic.
    Authorize,
    /// Take the money.
    Capture,
    /// Give the money free, or give the attempt up.
    Void,
    /// Send money back.
    Refund,
}

/// What a gateway says has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayFactKind {
    /// The customer has to act.
    RequiresAction,
    /// The gateway works on it.
    Processing,
    /// The money is set aside.
    Authorized,
    /// The money is taken.
    Captured,
    /// It has failed: the authorisation or the capture with this reference.
    Failed,
    /// The money is free again.
    Voided,
    /// The gateway works on the refund.
    RefundPending,
    /// The money went back.
    Refunded,
    /// The refund has failed.
    RefundFailed,
    /// The customer disputes the charge.
    Disputed,
    /// The dispute was won.
    DisputeWon,
    /// The dispute was lost.
    DisputeLost,
}

/// One thing that a gateway says has happened. Of two with one reference the newer wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayFact {
    /// The gateway's id of this fact; seen twice it is a duplicate.
    pub fact_id: String,
    /// The gateway's id of the authorisation, capture, refund or dispute it speaks of.
    pub reference: String,
    /// What has happened.
    pub kind: GatewayFactKind,
    /// How much.
    pub amount: Money,
    /// When, by the gateway's clock.
    pub occurred_at_ms: i64,
    /// The refund it speaks of, if any.
    pub refund_id: Option<RefundId>,
    /// What the gateway says about it: the reason of a decline.
    pub detail: Option<String>,
}

/// A payment attempt in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentSummary {
    /// The attempt.
    pub id: PaymentId,
    /// Where it stands.
    pub status: AttemptStatus,
    /// What was to be paid.
    pub amount: Money,
    /// How much is or was set aside for the order; nothing once it is unwanted.
    pub authorized: Money,
    /// How much was taken.
    pub captured: Money,
    /// How much went back.
    pub refunded: Money,
    /// What the gateway last said about it.
    pub detail: Option<String>,
}

/// A refund in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundSummary {
    /// The refund.
    pub id: RefundId,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
}

/// All payments of an order, recomputed from the set of gateway facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentStanding {
    /// The sequence number of the payment fact that carries it; the newest is right.
    pub revision: i64,
    /// The attempts, oldest first.
    pub attempts: Vec<PaymentSummary>,
    /// How much was taken.
    pub captured: Money,
    /// How much went back.
    pub refunded: Money,
    /// How much is held for refunds that are not decided.
    pub refunding: Money,
    /// The refunds, oldest first.
    pub refunds: Vec<RefundSummary>,
}

/// What the payment rule remembers of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAttempt {
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
    /// Where it stands, by the facts.
    pub status: AttemptStatus,
    /// What the gateway has said.
    pub facts: Vec<GatewayFact>,
    /// True when its money goes back by itself.
    pub unwanted: bool,
    /// True when the gateway has not answered for too long.
    pub abandoned: bool,
    /// What the gateway was last asked, and has not answered.
    pub awaiting: Option<GatewayAction>,
    /// How often that was asked.
    pub tries: i64,
    /// When it is asked again.
    pub due_ms: Option<i64>,
    /// When it began.
    pub created_at_ms: i64,
}

/// What the payment rule remembers of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The refund.
    pub refund_id: RefundId,
    /// The attempt whose money goes back.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// How often the gateway was asked.
    pub tries: i64,
    /// When it is asked again.
    pub due_ms: Option<i64>,
    /// When it was requested.
    pub requested_at_ms: i64,
}

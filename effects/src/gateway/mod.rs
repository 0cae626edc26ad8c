//! Payment gateways: what the market asks of them, whoever they are.
//!
//! A gateway answers with [`GatewayFact`]s: all that it knows of a charge so far, each with an id of
//! its own. So an answer may come twice, late, or after a webhook that says the same. A decline and
//! a customer who has to act are facts like any other, no errors.

pub mod simulator;
pub mod webhook;

use futures::future::BoxFuture;
use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{GatewayFact, GatewayReported};
use millrace_avro::keys::{OrderId, PaymentId, RefundId};
use millrace_avro::money::Money;
use serde::{Deserialize, Serialize};

/// A payment gateway.
///
/// A call with an idempotency key that was used before changes nothing, and is answered by what is
/// known now. A future that is dropped may have had its effect.
pub trait Gateway: Send + Sync + 'static {
    /// Its name, as the path of its webhooks has it: `simulator`.
    fn name(&self) -> &'static str;

    /// Sets money aside, and takes it when capture is automatic.
    ///
    /// # Errors
    /// See [`GatewayError`], here and below.
    fn authorize(&self, charge: Charge) -> BoxFuture<'_, Result<Answer, GatewayError>>;

    /// Takes the money of an authorised charge.
    fn capture(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>>;

    /// Gives money free that was not taken. A charge that is unknown is refused from now on, should
    /// it still arrive; one that was taken stays so, and the answer says it.
    fn void(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>>;

    /// Sends money back. A refund that is not possible is answered by a fact that it has failed.
    fn refund(&self, follow_up: FollowUp) -> BoxFuture<'_, Result<Answer, GatewayError>>;

    /// What has become of the call with this idempotency key; `None` if it never arrived.
    fn find(&self, idempotency_key: &str) -> BoxFuture<'_, Result<Option<Answer>, GatewayError>>;
}

/// Money to set aside or to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The order.
    pub order_id: OrderId,
    /// The payment attempt.
    pub payment_id: PaymentId,
    /// The same for each repetition.
    pub idempotency_key: String,
    /// How much.
    pub amount: Money,
    /// The token of the payment method.
    pub method: String,
    /// When the money is taken.
    pub capture: CaptureMode,
}

/// Something about a charge that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// The order.
    pub order_id: OrderId,
    /// The payment attempt.
    pub payment_id: PaymentId,
    /// The same for each repetition.
    pub idempotency_key: String,
    /// How much.
    pub amount: Money,
    /// The gateway's id of the charge, when it is known.
    pub reference: Option<String>,
    /// The refund, for a refund.
    pub refund_id: Option<RefundId>,
}

/// What a gateway knows of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The order.
    pub order_id: OrderId,
    /// The payment attempt.
    pub payment_id: PaymentId,
    /// All that has happened, oldest first.
    pub facts: Vec<GatewayFact>,
}

impl From<Answer> for GatewayReported {
    fn from(answer: Answer) -> Self {
        Self {
            order_id: answer.order_id,
            payment_id: answer.payment_id,
            facts: answer.facts,
        }
    }
}

/// Why a gateway has not answered. The kinds say what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// It did not take effect: ask again, with the same key.
    #[error("gateway unavailable: {0}")]
    Unavailable(String),
    /// It may or may not have taken effect: find out by the key, or ask again with the same key.
    #[error("gateway did not answer: {0}")]
    Unknown(String),
    /// It makes no sense, and will make none later: an idempotency key that stands for another call.
    #[error("gateway refuses: {0}")]
    Refused(String),
}

//! Calls of a payment gateway: what the payment rule wants done, and what the gateway says about it.
//!
//! A call is an event of `gateway-calls`; what came of it is a command of `payment-commands` whose
//! id follows from the call's. The rule gives each call an idempotency key, and asks again when it
//! hears nothing for too long; the key stays the same, so nothing is charged twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millrace_avro::event::{Event, EventSet as _};
use millrace_avro::events::payments::{
    GatewayAction, GatewayCall, GatewayEffect, GatewayReported, PaymentCommand,
};
use millrace_avro::keys::OrderId;
use millrace_streams::Clock;

use crate::gateway::{Answer, Charge, FollowUp, Gateway, GatewayError};
use crate::runner::{EffectsConfig, Failure, Handled, Handler, Input, Output};

/// Hands the calls of the payment rule to a gateway.
///
/// For [`GATEWAY_CALLS`](millrace_avro::catalog::GATEWAY_CALLS), with results for
/// [`PAYMENT_COMMANDS`](millrace_avro::catalog::PAYMENT_COMMANDS).
#[derive(Clone)]
pub struct GatewayCalls {
    gateway: Arc<dyn Gateway>,
    clock: Arc<dyn Clock>,
}

impl GatewayCalls {
    /// Calls of `gateway`.
    pub fn new(gateway: Arc<dyn Gateway>, clock: Arc<dyn Clock>) -> Self {
        Self { gateway, clock }
    }

    /// Bounds for such calls. The payment rule asks again by itself, and a call that is stuck holds
    /// up the commits of its partition: so it is given up within a minute.
    #[must_use]
    pub fn bounded(mut config: EffectsConfig) -> EffectsConfig {
        config.attempt_timeout = Duration::from_secs(10);
        config.retry.attempts_max = 4;
        config.retry.longest = Duration::from_secs(1);
        config
    }

    async fn ask(&self, call: &GatewayCall, attempt: u32) -> Result<Answer, Failure> {
        // What an attempt before this one came to may be known to the gateway alone.
        if attempt > 1
            && let Some(answer) = self.find(call).await?
        {
            return Ok(answer);
        }
        match self.call(call).await {
            Ok(answer) => Ok(answer),
            Err(GatewayError::Unknown(reason)) => {
                let found = self.find(call).await?;
                found.ok_or(Failure::Retry(reason))
            }
            Err(error) => Err(failure(&error)),
        }
    }

    async fn find(&self, call: &GatewayCall) -> Result<Option<Answer>, Failure> {
        let found = self.gateway.find(&call.idempotency_key).await;
        found.map_err(|error| failure(&error))
    }

    async fn call(&self, call: &GatewayCall) -> Result<Answer, GatewayError> {
        match call.action {
            GatewayAction::Authorize => self.gateway.authorize(charge(call)).await,
            GatewayAction::Capture => self.gateway.capture(follow_up(call)).await,
            GatewayAction::Void => self.gateway.void(follow_up(call)).await,
            GatewayAction::Refund => self.gateway.refund(follow_up(call)).await,
        }
    }
}

impl fmt::Debug for GatewayCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayCalls({})", self.gateway.name())
    }
}

impl Handler<OrderId, Event<GatewayEffect>> for GatewayCalls {
    type Key = OrderId;
    type Value = Event<PaymentCommand>;

    async fn handle(
        &self,
        event: &Input<OrderId, Event<GatewayEffect>>,
    ) -> Handled<OrderId, Event<PaymentCommand>> {
        let GatewayEffect::Call(call) = &event.value.body;
        let answer = self.ask(call, event.attempt).await?;
        let command = PaymentCommand::from(GatewayReported::from(answer));
        let (now, source) = (
            self.clock.now(),
            format!("/gateways/{}", self.gateway.name()),
        );
        let meta = event.value.meta.derive(command.type_name(), 0, source, now);
        Ok(vec![Output::new(
            event.key.clone(),
            Event {
                meta,
                body: command,
            },
            now,
        )])
    }
}

fn charge(call: &GatewayCall) -> Charge {
    Charge {
        order_id: call.order_id.clone(),
        payment_id: call.payment_id.clone(),
        idempotency_key: call.idempotency_key.clone(),
        amount: call.amount,
        method: call.method.clone(),
        capture: call.capture,
    }
}

fn follow_up(call: &GatewayCall) -> FollowUp {
    FollowUp {
        order_id: call.order_id.clone(),
        payment_id: call.payment_id.clone(),
        idempotency_key: call.idempotency_key.clone(),
        amount: call.amount,
        reference: call.reference.clone(),
        refund_id: call.refund_id.clone(),
    }
}

fn failure(error: &GatewayError) -> Failure {
    let text = error.to_string();
    match error {
        GatewayError::Refused(_) => Failure::Reject(text),
        _ => Failure::Retry(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_call_is_given_up_within_a_minute() {
        let config = GatewayCalls::bounded(EffectsConfig::default());
        let attempt = config.attempt_timeout + config.retry.longest;
        assert!(attempt * config.retry.attempts_max < Duration::from_secs(60));
    }
}

//! The payments of an order: attempts, refunds, and what gateways say.
//!
//! What a gateway says is never applied to a balance. It is kept as a set of facts, grouped by the
//! gateway's own reference, of which the newest counts; status and amounts are computed from the
//! set anew ([`fold`]). So a fact may come twice, late or before its turn.
//!
//! What a gateway is asked is driven by the attempt's state: it is asked again with the same
//! idempotency key until it answers, and given up after a bounded number of tries. An attempt that
//! was given up, or whose order has ended, is *unwanted*: whatever it still takes goes back by
//! itself. A refund is held against the captured amount from the moment it is requested.

pub mod fold;
mod follow;
mod limits;
mod run;
mod told;
mod view;

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::common::{AuditEvent, ReplyEvent};
use millrace_avro::events::payments::{
    GatewayEffect, PaymentCommand, PaymentEvent, PaymentView, PaymentsState,
};
use millrace_avro::keys::{AggregateId, OrderId, PaymentId};
use millrace_streams::Timestamp;

pub use limits::PaymentLimits;
pub use told::standing;
pub use view::view;

use crate::emit::{Emitter, Note, Refusal, Verdict};
use crate::transition::{Step, Transition};
use run::{Run, next_due};

/// Where the rule's events come from.
const SOURCE: &str = "/payments";

/// The rule of an order's payments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Payments {
    /// Its times and counts.
    pub limits: PaymentLimits,
}

/// What the payments of an order want done.
#[derive(Clone, Debug, PartialEq)]
pub enum PaymentEffect {
    /// Tell a fact.
    Fact(Event<PaymentEvent>),
    /// Ask the gateway.
    Call(Event<GatewayEffect>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Tell the audit log.
    Audit(Event<AuditEvent>),
    /// Show an attempt as it is now.
    View(PaymentId, Box<PaymentView>),
}

impl Transition for Payments {
    type Key = OrderId;
    type State = PaymentsState;
    type Event = Event<PaymentCommand>;
    type Effect = PaymentEffect;

    fn on_event(
        &self,
        key: &OrderId,
        state: Option<PaymentsState>,
        event: &Event<PaymentCommand>,
        at: Timestamp,
    ) -> Step<PaymentsState, PaymentEffect> {
        let mut emit = Emitter::of(&event.meta, event.body.type_name(), SOURCE, at);
        let payments = match (state, &event.body) {
            (Some(payments), _) => payments,
            (None, PaymentCommand::Start(_) | PaymentCommand::Undo(_)) => nothing_yet(key, &emit),
            (None, PaymentCommand::GatewayReported(_)) => {
                let note = Note::alert("unknown-payment", "a gateway speaks of an unknown order");
                let entry = emit.audit(AggregateId::from(key), "payment", note);
                return stays_unknown(PaymentEffect::Audit(entry));
            }
            (None, PaymentCommand::Capture(_) | PaymentCommand::Refund(_)) => {
                let refusal = Refusal::new("unknown-payment", "the order has no payment");
                let verdict = Verdict::Refused(refusal);
                let reply = emit.reply(AggregateId::from(key), 0, &verdict);
                return stays_unknown(PaymentEffect::Reply(reply));
            }
        };
        let mut run = Run::new(payments, &self.limits, emit);
        run.obey(&event.body);
        run.finish()
    }

    fn on_deadline(
        &self,
        key: &OrderId,
        state: PaymentsState,
        at: Timestamp,
    ) -> Step<PaymentsState, PaymentEffect> {
        let (seq, origin, due) = (state.seq, &state.origin, next_due(&state));
        let emit = Emitter::of_deadline(key.as_str(), seq, origin, SOURCE, due, at);
        let mut run = Run::new(state, &self.limits, emit);
        run.ask_again();
        run.finish()
    }
}

fn nothing_yet(key: &OrderId, emit: &Emitter) -> PaymentsState {
    PaymentsState {
        order_id: key.clone(),
        currency: None,
        attempts: Vec::new(),
        refunds: Vec::new(),
        undone: false,
        undo_rounds: 0,
        seq: 0,
        origin: emit.origin(),
    }
}

fn stays_unknown(effect: PaymentEffect) -> Step<PaymentsState, PaymentEffect> {
    Step {
        state: None,
        effects: vec![effect],
        deadline: None,
    }
}

#[cfg(test)]
mod tests;

//! The order saga: pending -> reserve every line -> pay -> commit -> confirmed -> shipped.
//!
//! One task owns an order and hears everything about it: commands of clients, answers of the
//! stock, facts of its payments, deadlines. Each is classified as one [`Input`]; the [`table`]
//! says what that input does in the order's state; acts turn it into effects. A duplicate does
//! nothing, and what is stale or impossible leaves an entry in the audit log.
//!
//! Money and goods outrank intent: once an order has ended, whatever still comes in goes back.

mod act;
mod guard;
mod hear;
mod limits;
mod place;
mod run;
mod ship;
pub mod table;
mod view;

use millrace_avro::event::{Event, EventSet, Meta};
use millrace_avro::events::carts::CartCommand;
use millrace_avro::events::common::{AuditEvent, ReplyEvent};
use millrace_avro::events::inventory::{InventoryCommand, InventoryEvent};
use millrace_avro::events::orders::{OrderCommand, OrderEvent, OrderState, OrderView};
use millrace_avro::events::payments::{PaymentCommand, PaymentEvent};
use millrace_avro::keys::{AggregateId, CartId, OrderId, Sku};
use millrace_streams::Timestamp;

pub use act::Act;
pub use guard::Guard;

pub use limits::OrderLimits;
pub use table::{Cell, Input};
pub use view::{status_name, view};

use crate::emit::{Emitter, Note, Refusal, Verdict};
use crate::transition::{Step, Transition};
use run::Run;

/// Where the saga's events come from.
const SOURCE: &str = "/orders";

/// The rule of an order.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderSaga {
    /// Its times and counts.
    pub limits: OrderLimits,
}

/// What an order hears.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderInput {
    /// A client asks.
    Command(Event<OrderCommand>),
    /// The stock answers.
    Stock(Event<InventoryEvent>),
    /// Its payments have moved.
    Payment(Event<PaymentEvent>),
}

impl OrderInput {
    /// The metadata of the event.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Command(event) => &event.meta,
            Self::Stock(event) => &event.meta,
            Self::Payment(event) => &event.meta,
        }
    }

    /// The type of the event.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Command(event) => event.body.type_name(),
            Self::Stock(event) => event.body.type_name(),
            Self::Payment(event) => event.body.type_name(),
        }
    }
}

/// What an order wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderEffect {
    /// Tell a fact.
    Fact(Event<OrderEvent>),
    /// Ask the stock of a SKU.
    Stock(Sku, Event<InventoryCommand>),
    /// Ask the payments of this order.
    Payment(Event<PaymentCommand>),
    /// Ask a cart.
    Cart(CartId, Event<CartCommand>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Tell the audit log.
    Audit(Event<AuditEvent>),
    /// Show the order as it is now.
    View(Box<OrderView>),
}

impl Transition for OrderSaga {
    type Key = OrderId;
    type State = OrderState;
    type Event = OrderInput;
    type Effect = OrderEffect;

    fn on_event(
        &self,
        key: &OrderId,
        state: Option<OrderState>,
        event: &OrderInput,
        at: Timestamp,
    ) -> Step<OrderState, OrderEffect> {
        let emit = Emitter::of(event.meta(), event.type_name(), SOURCE, at);
        match (state, event) {
            (Some(order), event) => {
                let mut run = Run::new(order, &self.limits, emit);
                run.hear(event);
                run.finish()
            }
            (None, OrderInput::Command(event)) => match &event.body {
                OrderCommand::Placed(placed) => place::place(key, placed, &self.limits, emit),
                _ => refuse(
                    key,
                    emit,
                    Refusal::new("unknown-order", "there is no such order"),
                ),
            },
            (None, _) => of_nobody(key, emit),
        }
    }

    fn on_deadline(
        &self,
        key: &OrderId,
        state: OrderState,
        at: Timestamp,
    ) -> Step<OrderState, OrderEffect> {
        let due = state.deadline_ms.map(Timestamp::from_millis);
        let (seq, origin) = (state.seq, &state.origin);
        let emit = Emitter::of_deadline(key.as_str(), seq, origin, SOURCE, due, at);
        let mut run = Run::new(state, &self.limits, emit);
        run.hear_deadline();
        run.finish()
    }
}

/// No order comes into being.
fn refuse(key: &OrderId, mut emit: Emitter, refusal: Refusal) -> Step<OrderState, OrderEffect> {
    let reply = emit.reply(AggregateId::from(key), 0, &Verdict::Refused(refusal));
    Step {
        state: None,
        effects: vec![OrderEffect::Reply(reply)],
        deadline: None,
    }
}

/// Goods or money speak of an order that does not exist: somebody has to look.
fn of_nobody(key: &OrderId, mut emit: Emitter) -> Step<OrderState, OrderEffect> {
    let note = Note::alert(
        "unknown-order",
        "an event about an order that does not exist",
    );
    let entry = emit.audit(AggregateId::from(key), "order", note);
    Step {
        state: None,
        effects: vec![OrderEffect::Audit(entry)],
        deadline: None,
    }
}

#[cfg(test)]
mod tests;

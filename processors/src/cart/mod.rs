//! Carts: what a customer or a guest wants, with the price that was shown.
//!
//! - A line is identified by its SKU. Every change takes the price and the stock of that moment.
//! - A guest's cart gives its lines to the user's cart on sign-in. Both then have every line; of a
//!   SKU that both had, the larger quantity counts, so a merge that is repeated changes nothing.
//!   The guest's cart is empty afterwards and points to the user's. Should the user's cart have got
//!   lines in another currency in that very moment, the guest's cart gets its own back.
//! - An order takes out of the cart what it took; what was added meanwhile stays.
//! - A cart with lines that nobody has changed for a while is told to be abandoned, once until it
//!   changes again. An empty cart never is, so neither is one that became an order.
//! - A cart that nobody has changed for long is forgotten, whatever is in it.

mod limits;
mod run;
mod view;

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::carts::{CartCommand, CartEvent, CartState, CartView};
use millrace_avro::events::common::{Recent, ReplyEvent};
use millrace_avro::keys::CartId;
use millrace_streams::Timestamp;

pub use limits::CartLimits;
pub use view::view;

use crate::emit::Emitter;
use crate::transition::{Step, Transition};
use run::{Run, next_due};

/// Where the rule's events come from.
const SOURCE: &str = "/carts";

/// The rule of a cart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carts {
    /// Its times and counts.
    pub limits: CartLimits,
}

/// What a cart wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum CartEffect {
    /// Tell a fact.
    Fact(Event<CartEvent>),
    /// Ask another cart.
    Cart(CartId, Event<CartCommand>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Show the cart as it is now; none when it is forgotten.
    View(Option<Box<CartView>>),
}

impl Transition for Carts {
    type Key = CartId;
    type State = CartState;
    type Event = Event<CartCommand>;
    type Effect = CartEffect;

    fn on_event(
        &self,
        key: &CartId,
        state: Option<CartState>,
        event: &Event<CartCommand>,
        at: Timestamp,
    ) -> Step<CartState, CartEffect> {
        let emit = Emitter::of(&event.meta, event.body.type_name(), SOURCE, at);
        let cart = state.unwrap_or_else(|| new_cart(key, &emit));
        let mut run = Run::new(cart, &self.limits, emit);
        run.obey(&event.body);
        run.finish()
    }

    fn on_deadline(
        &self,
        key: &CartId,
        state: CartState,
        at: Timestamp,
    ) -> Step<CartState, CartEffect> {
        let (seq, origin, due) = (state.seq, &state.origin, next_due(&state, &self.limits));
        let emit = Emitter::of_deadline(key.as_str(), seq, origin, SOURCE, Some(due), at);
        let mut run = Run::new(state, &self.limits, emit);
        match run.is_over() {
            true => run.forget(),
            false => {
                run.abandon_if_idle();
                run.finish()
            }
        }
    }
}

fn new_cart(key: &CartId, emit: &Emitter) -> CartState {
    CartState {
        cart_id: key.clone(),
        user_id: None,
        lines: Vec::new(),
        merged_into: None,
        changed_at_ms: emit.at().as_millis(),
        abandoned: false,
        seq: 0,
        origin: emit.origin(),
        recent: Recent::new(),
        last_order: None,
    }
}

#[cfg(test)]
mod tests;

//! Carts: what customers and guests want, and what becomes of it at checkout.

use millrace_avro::catalog::{CART_BY_ID, CART_COMMANDS, CART_EVENTS, CARTS, COMMAND_REPLIES};
use millrace_avro::keys::{AggregateId, CartId};
use millrace_processors::cart::{CartEffect, CartLimits, Carts};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// When each cart counts as abandoned, or is forgotten.
const DEADLINES: Store<CartId, i64> = Store::new("cart-by-id-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "carts",
    purpose: "decides what is in a cart",
    define: |limits| carts(limits.carts),
    configure: |_| {},
};

/// ```text
/// cart-commands -> [cart-by-id] -+-> cart-events, carts
///       ^                        +-> command-replies
///       +--------(by cart)-------+
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn carts(limits: CartLimits) -> Result<Topology, TopologyError> {
    Topology::define("carts", |t| {
        let effects = t
            .stream(CART_COMMANDS)
            .transition(CART_BY_ID, DEADLINES, Carts { limits });
        effects
            .flat_map_values(|_, effect| match effect {
                CartEffect::Fact(fact) => Some(fact.clone()),
                _ => None,
            })
            .to(CART_EVENTS);
        effects
            .flat_map(|_, effect| match effect {
                CartEffect::Cart(cart, command) => Some((cart.clone(), command.clone())),
                _ => None,
            })
            .to(CART_COMMANDS);
        effects
            .flat_map(|cart, effect| match effect {
                CartEffect::Reply(reply) => Some((AggregateId::of(cart), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map_values(|_, effect| match effect {
                CartEffect::View(view) => Some(view.as_deref().cloned()),
                _ => None,
            })
            .to(CARTS);
    })
}

//! Orders: the saga, from `order.placed` to `order.delivered`.

use millrace_avro::catalog::{
    AUDIT_EVENTS, CART_COMMANDS, COMMAND_REPLIES, INVENTORY_COMMANDS, ORDER_COMMANDS, ORDER_EVENTS,
    ORDER_SAGA, ORDERS, PAYMENT_COMMANDS, PAYMENT_EVENTS, RESERVATION_REPLIES,
};
use millrace_avro::keys::{AggregateId, OrderId};
use millrace_processors::order::{OrderEffect, OrderInput, OrderLimits, OrderSaga};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// When each waiting order is looked at again.
const DEADLINES: Store<OrderId, i64> = Store::new("order-saga-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "orders",
    purpose: "leads an order through stock and payment",
    define: |limits| orders(limits.orders),
    configure: |_| {},
};

/// ```text
/// order-commands ------+
/// reservation-replies -+-> [order-saga] -+-> order-events, orders
/// payment-events ------+                 +-> inventory-commands (by SKU)
///                                        +-> payment-commands
///                                        +-> cart-commands (by cart)
///                                        +-> command-replies, audit-events
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn orders(limits: OrderLimits) -> Result<Topology, TopologyError> {
    Topology::define("orders", |t| {
        let commands = t
            .stream(ORDER_COMMANDS)
            .map_values(|_, event| OrderInput::Command(event.clone()));
        let stock = t
            .stream(RESERVATION_REPLIES)
            .map_values(|_, event| OrderInput::Stock(event.clone()));
        let payments = t
            .stream(PAYMENT_EVENTS)
            .map_values(|_, event| OrderInput::Payment(event.clone()));
        let effects = commands.merge(stock).merge(payments).transition(
            ORDER_SAGA,
            DEADLINES,
            OrderSaga { limits },
        );
        effects
            .flat_map_values(|_, effect| match effect {
                OrderEffect::Fact(fact) => Some(fact.clone()),
                _ => None,
            })
            .to(ORDER_EVENTS);
        effects
            .flat_map(|_, effect| match effect {
                OrderEffect::Stock(sku, command) => Some((sku.clone(), command.clone())),
                _ => None,
            })
            .to(INVENTORY_COMMANDS);
        effects
            .flat_map_values(|_, effect| match effect {
                OrderEffect::Payment(command) => Some(command.clone()),
                _ => None,
            })
            .to(PAYMENT_COMMANDS);
        effects
            .flat_map(|_, effect| match effect {
                OrderEffect::Cart(cart, command) => Some((cart.clone(), command.clone())),
                _ => None,
            })
            .to(CART_COMMANDS);
        effects
            .flat_map(|order, effect| match effect {
                OrderEffect::Reply(reply) => Some((AggregateId::of(order), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map(|order, effect| match effect {
                OrderEffect::Audit(entry) => Some((AggregateId::of(order), entry.clone())),
                _ => None,
            })
            .to(AUDIT_EVENTS);
        effects
            .flat_map_values(|_, effect| match effect {
                OrderEffect::View(view) => Some((**view).clone()),
                _ => None,
            })
            .to(ORDERS);
    })
}

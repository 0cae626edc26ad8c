//! Payments: the attempts and refunds of an order, decided by the one task that owns the order.

use millrace_avro::catalog::{
    AUDIT_EVENTS, COMMAND_REPLIES, GATEWAY_CALLS, PAYMENT_COMMANDS, PAYMENT_EVENTS, PAYMENTS,
    PAYMENTS_BY_ORDER,
};
use millrace_avro::keys::{AggregateId, OrderId};
use millrace_processors::payment::{PaymentEffect, PaymentLimits, Payments};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// When each order's payments are looked at again.
const DEADLINES: Store<OrderId, i64> = Store::new("payments-by-order-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "payments",
    purpose: "decides about the money of an order",
    define: |limits| payments(limits.payments),
    configure: |_| {},
};

/// ```text
/// payment-commands -> [payments-by-order] -+-> payment-events, payments
///                                          +-> gateway-calls
///                                          +-> command-replies, audit-events
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn payments(limits: PaymentLimits) -> Result<Topology, TopologyError> {
    Topology::define("payments", |t| {
        let effects = t.stream(PAYMENT_COMMANDS).transition(
            PAYMENTS_BY_ORDER,
            DEADLINES,
            Payments { limits },
        );
        effects
            .flat_map_values(|_, effect| match effect {
                PaymentEffect::Fact(fact) => Some(fact.clone()),
                _ => None,
            })
            .to(PAYMENT_EVENTS);
        effects
            .flat_map_values(|_, effect| match effect {
                PaymentEffect::Call(call) => Some(call.clone()),
                _ => None,
            })
            .to(GATEWAY_CALLS);
        effects
            .flat_map(|order, effect| match effect {
                PaymentEffect::Reply(reply) => Some((AggregateId::of(order), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map(|order, effect| match effect {
                PaymentEffect::Audit(entry) => Some((AggregateId::of(order), entry.clone())),
                _ => None,
            })
            .to(AUDIT_EVENTS);
        effects
            .flat_map(|_, effect| match effect {
                PaymentEffect::View(payment, view) => Some((payment.clone(), (**view).clone())),
                _ => None,
            })
            .to(PAYMENTS);
    })
}

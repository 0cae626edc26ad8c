//! Inventory: the stock of a SKU at its locations, decided by the one task that owns the SKU.

use millrace_avro::catalog::{
    AUDIT_EVENTS, COMMAND_REPLIES, INVENTORY_COMMANDS, INVENTORY_EVENTS, RESERVATION_REPLIES,
    STOCK_BY_SKU, STOCK_LEVELS,
};
use millrace_avro::keys::{AggregateId, Sku};
use millrace_processors::inventory::{Inventory, InventoryEffect, InventoryLimits};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// When the first reservation of each SKU expires.
const DEADLINES: Store<Sku, i64> = Store::new("stock-by-sku-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "inventory",
    purpose: "decides about the stock of a SKU",
    define: |limits| inventory(limits.inventory),
    configure: |_| {},
};

/// ```text
/// inventory-commands -> [stock-by-sku] -+-> inventory-events, stock-levels
///                                       +-> reservation-replies (by order)
///                                       +-> command-replies, audit-events
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn inventory(limits: InventoryLimits) -> Result<Topology, TopologyError> {
    Topology::define("inventory", |t| {
        let effects =
            t.stream(INVENTORY_COMMANDS)
                .transition(STOCK_BY_SKU, DEADLINES, Inventory { limits });
        effects
            .flat_map_values(|_, effect| match effect {
                InventoryEffect::Fact(fact) => Some(fact.clone()),
                _ => None,
            })
            .to(INVENTORY_EVENTS);
        effects
            .flat_map(|_, effect| match effect {
                InventoryEffect::Answer(order, fact) => Some((order.clone(), fact.clone())),
                _ => None,
            })
            .to(RESERVATION_REPLIES);
        effects
            .flat_map(|sku, effect| match effect {
                InventoryEffect::Reply(reply) => Some((AggregateId::of(sku), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map(|sku, effect| match effect {
                InventoryEffect::Audit(entry) => Some((AggregateId::of(sku), entry.clone())),
                _ => None,
            })
            .to(AUDIT_EVENTS);
        effects
            .flat_map_values(|_, effect| match effect {
                InventoryEffect::View(view) => Some((**view).clone()),
                _ => None,
            })
            .to(STOCK_LEVELS);
    })
}

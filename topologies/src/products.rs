//! Products: what is offered, with its variants and prices.

use millrace_avro::catalog::{
    COMMAND_REPLIES, INVENTORY_COMMANDS, PRODUCT_BY_ID, PRODUCT_COMMANDS, PRODUCT_EVENTS, PRODUCTS,
};
use millrace_avro::keys::{AggregateId, ProductId};
use millrace_processors::product::{ProductEffect, ProductLimits, Products};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// Products wait for nothing; the store stays empty.
const DEADLINES: Store<ProductId, i64> = Store::new("product-by-id-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "products",
    purpose: "decides what is offered",
    define: |limits| products(limits.products),
    configure: |_| {},
};

/// ```text
/// product-commands -> [product-by-id] -+-> product-events, products
///                                      +-> inventory-commands (by SKU)
///                                      +-> command-replies
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn products(limits: ProductLimits) -> Result<Topology, TopologyError> {
    Topology::define("products", |t| {
        let effects =
            t.stream(PRODUCT_COMMANDS)
                .transition(PRODUCT_BY_ID, DEADLINES, Products { limits });
        effects
            .flat_map_values(|_, effect| match effect {
                ProductEffect::Fact(fact) => Some(fact.clone()),
                _ => None,
            })
            .to(PRODUCT_EVENTS);
        effects
            .flat_map(|_, effect| match effect {
                ProductEffect::Stock(sku, command) => Some((sku.clone(), command.clone())),
                _ => None,
            })
            .to(INVENTORY_COMMANDS);
        effects
            .flat_map(|product, effect| match effect {
                ProductEffect::Reply(reply) => Some((AggregateId::of(product), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map(|_, effect| match effect {
                ProductEffect::View(product, view) => {
                    Some((product.clone(), view.as_deref().cloned()))
                }
                _ => None,
            })
            .to(PRODUCTS);
    })
}

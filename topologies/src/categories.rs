//! Categories: the tree under which products are found, decided as one.

use millrace_avro::catalog::{
    CATEGORIES, CATEGORY_COMMANDS, CATEGORY_EVENTS, CATEGORY_TREE, COMMAND_REPLIES,
};
use millrace_avro::keys::{AggregateId, CatalogueId};
use millrace_processors::product::{Categories, CategoryEffect};
use millrace_streams::{Store, Topology, TopologyError};

use crate::registry::Entry;

/// Categories wait for nothing; the store stays empty.
const DEADLINES: Store<CatalogueId, i64> = Store::new("category-tree-deadlines");

pub(crate) const ENTRY: Entry = Entry {
    name: "categories",
    purpose: "decides how the offer is arranged",
    define: |_| categories(),
    configure: |_| {},
};

/// ```text
/// category-commands -> [category-tree] -+-> category-events, categories (by category)
///                                       +-> command-replies
/// ```
///
/// # Errors
/// Never, while its names are its own.
pub fn categories() -> Result<Topology, TopologyError> {
    Topology::define("categories", |t| {
        let effects =
            t.stream(CATEGORY_COMMANDS)
                .transition(CATEGORY_TREE, DEADLINES, Categories::default());
        effects
            .flat_map(|_, effect| match effect {
                CategoryEffect::Fact(category, fact) => Some((category.clone(), fact.clone())),
                _ => None,
            })
            .to(CATEGORY_EVENTS);
        effects
            .flat_map(|tree, effect| match effect {
                CategoryEffect::Reply(reply) => Some((AggregateId::of(tree), reply.clone())),
                _ => None,
            })
            .to(COMMAND_REPLIES);
        effects
            .flat_map(|_, effect| match effect {
                CategoryEffect::View(category, view) => {
                    Some((category.clone(), view.as_deref().cloned()))
                }
                _ => None,
            })
            .to(CATEGORIES);
    })
}

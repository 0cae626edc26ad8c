//! Products and categories: what administrators offer.
//!
//! Each fact carries its product or its category whole, so a compacted topic of facts is the
//! catalogue. The version is the number of the last fact; a change may name the version that it
//! was made for, and is refused when another came first.

mod category;
mod offer;
mod view;

use millrace_avro::event::{Event, EventSet};
use millrace_avro::events::common::ReplyEvent;
use millrace_avro::events::inventory::InventoryCommand;
use millrace_avro::events::products::{
    CategoryCommand, CategoryEvent, CategoryTree, CategoryView, ProductCommand, ProductEvent,
    ProductState, ProductView,
};
use millrace_avro::keys::{CatalogueId, CategoryId, ProductId, Sku};
use millrace_streams::Timestamp;

pub use view::{category_view, product_view};

use crate::emit::Emitter;
use crate::transition::{Step, Transition};

/// Where the events of products come from.
const SOURCE: &str = "/products";
/// Where the events of categories come from.
const CATEGORY_SOURCE: &str = "/categories";

/// The counts that bound the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductLimits {
    /// How many variants a product may have.
    pub variants_max: usize,
    /// How many characters a text may have.
    pub text_max: usize,
    /// How many tags, and how many pictures, a product may have.
    pub tags_max: usize,
    /// How many categories a tree may have.
    pub categories_max: usize,
    /// How many levels a tree may have.
    pub depth_max: usize,
}

impl Default for ProductLimits {
    fn default() -> Self {
        Self {
            variants_max: 200,
            text_max: 20_000,
            tags_max: 50,
            categories_max: 2_000,
            depth_max: 12,
        }
    }
}

/// The rule of a product.
#[derive(Clone, Copy, Debug, Default)]
pub struct Products {
    /// Its counts.
    pub limits: ProductLimits,
}

/// What a product wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum ProductEffect {
    /// Tell a fact.
    Fact(Event<ProductEvent>),
    /// Make a SKU known to the stock.
    Stock(Sku, Event<InventoryCommand>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Show the product as it is now; none when it is gone.
    View(ProductId, Option<Box<ProductView>>),
}

impl Transition for Products {
    type Key = ProductId;
    type State = ProductState;
    type Event = Event<ProductCommand>;
    type Effect = ProductEffect;

    fn on_event(
        &self,
        key: &ProductId,
        state: Option<ProductState>,
        event: &Event<ProductCommand>,
        at: Timestamp,
    ) -> Step<ProductState, ProductEffect> {
        let emit = Emitter::of(&event.meta, event.body.type_name(), SOURCE, at);
        offer::step(key, state, &event.body, &self.limits, emit)
    }

    /// A product waits for nothing.
    fn on_deadline(
        &self,
        _: &ProductId,
        state: ProductState,
        _: Timestamp,
    ) -> Step<ProductState, ProductEffect> {
        Step {
            state: Some(state),
            effects: Vec::new(),
            deadline: None,
        }
    }
}

/// The rule of a tree of categories: one tree is one decision, so it never has a circle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Categories {
    /// Its counts.
    pub limits: ProductLimits,
}

/// What a tree of categories wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum CategoryEffect {
    /// Tell a fact about one category.
    Fact(CategoryId, Event<CategoryEvent>),
    /// Answer a client.
    Reply(Event<ReplyEvent>),
    /// Show a category as it is now; none when it is gone.
    View(CategoryId, Option<Box<CategoryView>>),
}

impl Transition for Categories {
    type Key = CatalogueId;
    type State = CategoryTree;
    type Event = Event<CategoryCommand>;
    type Effect = CategoryEffect;

    fn on_event(
        &self,
        key: &CatalogueId,
        state: Option<CategoryTree>,
        event: &Event<CategoryCommand>,
        at: Timestamp,
    ) -> Step<CategoryTree, CategoryEffect> {
        let emit = Emitter::of(&event.meta, event.body.type_name(), CATEGORY_SOURCE, at);
        category::step(key, state, &event.body, &self.limits, emit)
    }

    /// A tree waits for nothing.
    fn on_deadline(
        &self,
        _: &CatalogueId,
        state: CategoryTree,
        _: Timestamp,
    ) -> Step<CategoryTree, CategoryEffect> {
        Step {
            state: Some(state),
            effects: Vec::new(),
            deadline: None,
        }
    }
}

#[cfg(test)]
mod tests;

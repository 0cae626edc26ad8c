//! What the rules remember of products and categories, and what clients read.

use serde::{Deserialize, Serialize};

use super::{CategoryNode, ProductDraft, Variant};
use crate::keys::{CatalogueId, CategoryId, ProductId};
use crate::money::{Money, Rate};
use crate::{avro_data, avro_record};

/// A product, as the rule remembers it and as its facts carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductState {
    /// The product.
    pub product_id: ProductId,
    /// What is said about it.
    pub draft: ProductDraft,
    /// True when it is no longer in the catalogue.
    pub deleted: bool,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The sequence number of its last fact.
    pub version: i64,
}
avro_record!(
    ProductState = "millrace.products.ProductState",
    "products/ProductState.avsc"
);
avro_data!(ProductState);

/// A product, as clients see it; what is available is in the stock's view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductView {
    /// The product.
    pub id: ProductId,
    /// The name to show.
    pub name: String,
    /// The text to show.
    pub description: String,
    /// The category.
    pub category_id: CategoryId,
    /// The brand.
    pub brand: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Addresses of pictures.
    pub images: Vec<String>,
    /// The price of the cheapest variant, without tax.
    pub price: Money,
    /// The tax rate, in millionths.
    pub tax_rate: Rate,
    /// What is sold of it.
    pub variants: Vec<Variant>,
    /// True when it is for sale.
    pub active: bool,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The sequence number of its last fact.
    pub version: i64,
}
avro_record!(
    ProductView = "millrace.products.ProductView",
    "products/ProductView.avsc"
);
avro_data!(ProductView);

/// A tree of categories, as the rule remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryTree {
    /// The catalogue.
    pub catalogue_id: CatalogueId,
    /// The categories, in the order of their ids.
    pub categories: Vec<CategoryNode>,
    /// The sequence number of the last fact.
    pub seq: i64,
}
avro_record!(
    CategoryTree = "millrace.products.CategoryTree",
    "products/CategoryTree.avsc"
);
avro_data!(CategoryTree);

/// A category, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryView {
    /// The category.
    pub id: CategoryId,
    /// The name to show.
    pub name: String,
    /// The category above it; none at the top.
    pub parent_id: Option<CategoryId>,
    /// The categories from the top down to this one.
    pub path: Vec<CategoryId>,
    /// The place among its siblings.
    pub position: i64,
    /// The number of changes so far.
    pub version: i64,
}
avro_record!(
    CategoryView = "millrace.products.CategoryView",
    "products/CategoryView.avsc"
);
avro_data!(CategoryView);

//! What the records of products are made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::keys::{CategoryId, Sku};
use crate::money::{Money, Rate};

/// What is sold of a product: one SKU with its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The SKU.
    pub sku: Sku,
    /// What tells it from the others: size, colour.
    pub options: BTreeMap<String, String>,
    /// The price of one, without tax.
    pub price: Money,
}

/// What an administrator says about a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDraft {
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
    /// The tax rate, in millionths.
    pub tax_rate: Rate,
    /// What is sold of it; at least one.
    pub variants: Vec<Variant>,
    /// True when it is for sale.
    pub active: bool,
}

/// A category within its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryNode {
    /// The category.
    pub category_id: CategoryId,
    /// The name to show.
    pub name: String,
    /// The category above it; none at the top.
    pub parent_id: Option<CategoryId>,
    /// The place among its siblings.
    pub position: i64,
    /// The number of changes so far.
    pub version: i64,
}

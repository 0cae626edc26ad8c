//! What has become of products and categories.

use serde::{Deserialize, Serialize};

use super::{CategoryNode, ProductState};
use crate::{avro_record, events};

/// A product exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductCreated {
    /// The product, whole.
    pub product: ProductState,
}
avro_record!(
    ProductCreated = "millrace.products.ProductCreated",
    "products/ProductCreated.avsc"
);

/// A product has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductUpdated {
    /// The product, whole.
    pub product: ProductState,
}
avro_record!(
    ProductUpdated = "millrace.products.ProductUpdated",
    "products/ProductUpdated.avsc"
);

/// A product is no longer in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDeleted {
    /// The product as it was.
    pub product: ProductState,
}
avro_record!(
    ProductDeleted = "millrace.products.ProductDeleted",
    "products/ProductDeleted.avsc"
);

events! {
    /// What has become of products. Each fact is whole, so the last one is enough.
    pub enum ProductEvent {
        Created(ProductCreated) = "product.created",
        Updated(ProductUpdated) = "product.updated",
        Deleted(ProductDeleted) = "product.deleted",
    }
}

/// A category exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryCreated {
    /// The category.
    pub category: CategoryNode,
}
avro_record!(
    CategoryCreated = "millrace.products.CategoryCreated",
    "products/CategoryCreated.avsc"
);

/// A category has another name or place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryChanged {
    /// The category.
    pub category: CategoryNode,
}
avro_record!(
    CategoryChanged = "millrace.products.CategoryChanged",
    "products/CategoryChanged.avsc"
);

/// A category is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryDeleted {
    /// The category as it was.
    pub category: CategoryNode,
}
avro_record!(
    CategoryDeleted = "millrace.products.CategoryDeleted",
    "products/CategoryDeleted.avsc"
);

events! {
    /// What has become of categories.
    pub enum CategoryEvent {
        Created(CategoryCreated) = "category.created",
        Changed(CategoryChanged) = "category.changed",
        Deleted(CategoryDeleted) = "category.deleted",
    }
}

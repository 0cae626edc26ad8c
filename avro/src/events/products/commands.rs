//! What administrators ask of products and categories.

use serde::{Deserialize, Serialize};

use super::ProductDraft;
use crate::keys::{CategoryId, ProductId};
use crate::{avro_record, events};

/// The command to create a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateProduct {
    /// The product.
    pub product_id: ProductId,
    /// What is said about it.
    pub draft: ProductDraft,
}
avro_record!(
    CreateProduct = "millrace.products.CreateProduct",
    "products/CreateProduct.avsc"
);

/// The command to replace what is said about a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateProduct {
    /// The product.
    pub product_id: ProductId,
    /// What is said about it.
    pub draft: ProductDraft,
    /// The version that the client saw; refused when it is another.
    pub expected_version: Option<i64>,
}
avro_record!(
    UpdateProduct = "millrace.products.UpdateProduct",
    "products/UpdateProduct.avsc"
);

/// The command to take a product off the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteProduct {
    /// The product.
    pub product_id: ProductId,
    /// The version that the client saw; refused when it is another.
    pub expected_version: Option<i64>,
}
avro_record!(
    DeleteProduct = "millrace.products.DeleteProduct",
    "products/DeleteProduct.avsc"
);

events! {
    /// What administrators ask of products.
    pub enum ProductCommand {
        Create(CreateProduct) = "product.create",
        Update(UpdateProduct) = "product.update",
        Delete(DeleteProduct) = "product.delete",
    }
}

/// The command to create a category, or to rename or move it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutCategory {
    /// The category.
    pub category_id: CategoryId,
    /// The name to show.
    pub name: String,
    /// The category above it; none at the top.
    pub parent_id: Option<CategoryId>,
    /// The place among its siblings.
    pub position: i64,
}
avro_record!(
    PutCategory = "millrace.products.PutCategory",
    "products/PutCategory.avsc"
);

/// The command to delete a category without children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteCategory {
    /// The category.
    pub category_id: CategoryId,
}
avro_record!(
    DeleteCategory = "millrace.products.DeleteCategory",
    "products/DeleteCategory.avsc"
);

events! {
    /// What administrators ask of the tree of categories.
    pub enum CategoryCommand {
        Put(PutCategory) = "category.put",
        Delete(DeleteCategory) = "category.delete",
    }
}

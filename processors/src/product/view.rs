//! Products and categories as clients see them.

use millrace_avro::events::products::{
    CategoryNode, CategoryTree, CategoryView, ProductState, ProductView,
};
use millrace_avro::keys::CategoryId;
use millrace_avro::money::{Currency, Money};

/// The product as clients see it.
pub fn product_view(product: &ProductState) -> ProductView {
    let draft = &product.draft;
    let prices = draft.variants.iter().map(|variant| variant.price);
    let cheapest = prices.min_by_key(|price| price.minor);
    ProductView {
        id: product.product_id.clone(),
        name: draft.name.clone(),
        description: draft.description.clone(),
        category_id: draft.category_id.clone(),
        brand: draft.brand.clone(),
        tags: draft.tags.clone(),
        images: draft.images.clone(),
        // Invariant: a product has at least one variant.
        price: cheapest.unwrap_or(Money::zero(Currency::EUR)),
        tax_rate: draft.tax_rate,
        variants: draft.variants.clone(),
        active: draft.active,
        created_at: product.created_at.clone(),
        updated_at: product.updated_at.clone(),
        version: product.version,
    }
}

/// A category of a tree as clients see it.
pub fn category_view(tree: &CategoryTree, node: &CategoryNode) -> CategoryView {
    CategoryView {
        id: node.category_id.clone(),
        name: node.name.clone(),
        parent_id: node.parent_id.clone(),
        path: path(tree, &node.category_id),
        position: node.position,
        version: node.version,
    }
}

/// The categories from the top down to this one.
pub(super) fn path(tree: &CategoryTree, id: &CategoryId) -> Vec<CategoryId> {
    let mut path = vec![id.clone()];
    let mut at = id;
    // A tree has no circle; the bound says so once more.
    while path.len() <= tree.categories.len() {
        let mut all = tree.categories.iter();
        let node = all.find(|node| node.category_id == *at);
        match node.and_then(|node| node.parent_id.as_ref()) {
            Some(parent) => {
                path.push(parent.clone());
                at = parent;
            }
            None => break,
        }
    }
    path.reverse();
    path
}

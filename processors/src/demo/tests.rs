//! The demonstration catalogue is one that the rules accept.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_same_seed_makes_the_same_catalogue() {
    assert_eq!(demo(7, 100), demo(7, 100));
    assert_ne!(demo(7, 100), demo(8, 100));
}

#[test]
fn every_sku_is_unique_and_every_category_is_known() {
    let Demo {
        categories,
        products,
        ..
    } = demo(42, 400);
    let known: BTreeSet<_> = categories.iter().map(|c| &c.category_id).collect();
    let variants = || products.iter().flat_map(|product| &product.draft.variants);
    let skus: BTreeSet<_> = variants().map(|variant| &variant.sku).collect();
    assert_eq!(skus.len(), variants().count());
    assert!(
        products
            .iter()
            .all(|p| known.contains(&p.draft.category_id))
    );
}

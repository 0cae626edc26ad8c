//! Products and categories, in scenes.

use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::products::{
    CreateProduct, DeleteCategory, DeleteProduct, ProductDraft, PutCategory, UpdateProduct, Variant,
};
use millrace_avro::money::{Currency, Money, Rate};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn key() -> ProductId {
    ProductId::new("product").unwrap()
}

fn draft(skus: &[(&str, i64)]) -> ProductDraft {
    let variant = |(sku, minor): &(&str, i64)| Variant {
        sku: Sku::new(sku).unwrap(),
        options: [("colour".to_owned(), "red".to_owned())].into(),
        price: Money::new(*minor, Currency::EUR),
    };
    ProductDraft {
        name: "A mug".to_owned(),
        description: String::new(),
        category_id: CategoryId::new("mugs").unwrap(),
        brand: None,
        tags: Vec::new(),
        images: Vec::new(),
        tax_rate: Rate::ZERO,
        variants: skus.iter().map(variant).collect(),
        active: true,
    }
}

fn create(draft: ProductDraft) -> ProductCommand {
    CreateProduct {
        product_id: key(),
        draft,
    }
    .into()
}

fn update(draft: ProductDraft, expected_version: Option<i64>) -> ProductCommand {
    UpdateProduct {
        product_id: key(),
        draft,
        expected_version,
    }
    .into()
}

fn delete() -> ProductCommand {
    DeleteProduct {
        product_id: key(),
        expected_version: None,
    }
    .into()
}

fn play(state: &mut Option<ProductState>, command: ProductCommand) -> Vec<String> {
    let meta = Meta::new(EventId::new("event"), "/test", NOW);
    let event = Event::new(meta, command);
    let step = Products::default().on_event(&key(), state.take(), &event, NOW);
    *state = step.state;
    let name = |effect: &ProductEffect| match effect {
        ProductEffect::Fact(event) => Some(event.body.type_name().to_owned()),
        ProductEffect::Stock(sku, _) => Some(format!("stock {sku}")),
        ProductEffect::Reply(event) => {
            let ReplyEvent::Replied(reply) = &event.body;
            reply.code.clone()
        }
        ProductEffect::View(_, None) => Some("gone".to_owned()),
        ProductEffect::View(_, Some(_)) => None,
    };
    step.effects.iter().filter_map(name).collect()
}

#[test]
fn a_product_is_created_changed_and_deleted() {
    let mut product = None;
    let told = play(&mut product, create(draft(&[("a", 900), ("b", 700)])));
    assert_eq!(told, ["product.created", "stock a", "stock b"]);
    assert_eq!(product_view(product.as_ref().unwrap()).price.minor, 700);
    let changed = draft(&[("a", 900), ("c", 800)]);
    let told = play(&mut product, update(changed.clone(), Some(1)));
    assert_eq!(told, ["product.updated", "stock c"]);
    assert_eq!(play(&mut product, update(changed.clone(), None)), [""; 0]);
    let told = play(&mut product, update(changed, Some(1)));
    assert_eq!(told, ["version-conflict"]);
    assert_eq!(play(&mut product, delete()), ["product.deleted", "gone"]);
    assert_eq!(play(&mut product, delete()), [""; 0]);
    let told = play(&mut product, create(draft(&[("a", 1)])));
    assert_eq!(told, ["product.created"], "the stock knows the SKU");
    assert_eq!(product.unwrap().version, 4);
}

#[test]
fn a_product_that_makes_no_sense_is_refused() {
    let mut product = None;
    let nameless = ProductDraft {
        name: " ".to_owned(),
        ..draft(&[("a", 1)])
    };
    for bad in [
        nameless,
        draft(&[]),
        draft(&[("a", 1), ("a", 2)]),
        draft(&[("a", -1)]),
    ] {
        assert_eq!(play(&mut product, create(bad)), ["invalid-product"]);
    }
    let told = play(&mut product, update(draft(&[("a", 1)]), None));
    assert_eq!(told, ["unknown-product"]);
}

fn put(id: &str, parent: Option<&str>) -> CategoryCommand {
    PutCategory {
        category_id: CategoryId::new(id).unwrap(),
        name: id.to_owned(),
        parent_id: parent.map(|parent| CategoryId::new(parent).unwrap()),
        position: 0,
    }
    .into()
}

fn grow(tree: &mut Option<CategoryTree>, command: CategoryCommand) -> Vec<String> {
    let meta = Meta::new(EventId::new("event"), "/test", NOW);
    let event = Event::new(meta, command);
    let key = CatalogueId::new("main").unwrap();
    let step = Categories::default().on_event(&key, tree.take(), &event, NOW);
    *tree = step.state;
    let name = |effect: &CategoryEffect| match effect {
        CategoryEffect::Fact(id, event) => Some(format!("{} {id}", event.body.type_name())),
        CategoryEffect::Reply(event) => {
            let ReplyEvent::Replied(reply) = &event.body;
            reply.code.clone()
        }
        CategoryEffect::View(id, None) => Some(format!("{id} is gone")),
        CategoryEffect::View(_, Some(view)) => {
            let path: Vec<_> = view.path.iter().map(CategoryId::as_str).collect();
            Some(path.join("/"))
        }
    };
    step.effects.iter().filter_map(name).collect()
}

#[test]
fn a_tree_grows_moves_and_never_has_a_circle() {
    let mut tree = None;
    assert_eq!(grow(&mut tree, put("a", None)), ["category.created a", "a"]);
    grow(&mut tree, put("b", Some("a")));
    grow(&mut tree, put("c", Some("b")));
    assert_eq!(grow(&mut tree, put("c", Some("b"))), [""; 0]);
    assert_eq!(grow(&mut tree, put("a", Some("c"))), ["category-circle"]);
    assert_eq!(grow(&mut tree, put("a", Some("a"))), ["category-circle"]);
    assert_eq!(grow(&mut tree, put("d", Some("x"))), ["unknown-category"]);
    let told = grow(&mut tree, put("b", None));
    assert_eq!(told, ["category.changed b", "b", "b/c"]);
}

#[test]
fn a_category_with_children_stays() {
    let mut tree = None;
    grow(&mut tree, put("a", None));
    grow(&mut tree, put("b", Some("a")));
    let delete = |id: &str| -> CategoryCommand {
        DeleteCategory {
            category_id: CategoryId::new(id).unwrap(),
        }
        .into()
    };
    assert_eq!(grow(&mut tree, delete("a")), ["category-has-children"]);
    assert_eq!(
        grow(&mut tree, delete("b")),
        ["category.deleted b", "b is gone"]
    );
    assert_eq!(grow(&mut tree, delete("b")), ["unknown-category"]);
}

//! One step of a product: created, replaced, taken off.

use millrace_avro::events::common::rfc3339;
use millrace_avro::events::inventory::{ConfigureStock, InventoryCommand};
use millrace_avro::events::products::{
    ProductCommand, ProductCreated, ProductDeleted, ProductDraft, ProductEvent, ProductState,
    ProductUpdated,
};
use millrace_avro::keys::{AggregateId, ProductId};

use super::view::product_view;
use super::{ProductEffect, ProductLimits};
use crate::emit::{Emitter, Refusal, Verdict};
use crate::transition::Step;

/// Takes a command in.
pub(super) fn step(
    key: &ProductId,
    state: Option<ProductState>,
    command: &ProductCommand,
    limits: &ProductLimits,
    mut emit: Emitter,
) -> Step<ProductState, ProductEffect> {
    let (state, mut effects, verdict) = match decide(key, state.as_ref(), command, limits, &emit) {
        Ok(None) => (state, Vec::new(), Verdict::Unchanged),
        Ok(Some(change)) => {
            let before = state.as_ref();
            let (after, effects) = carry_out(change, before, &mut emit);
            (Some(after), effects, Verdict::Accepted)
        }
        Err(refusal) => (state, Vec::new(), Verdict::Refused(refusal)),
    };
    let version = state.as_ref().map_or(0, |product| product.version);
    let reply = emit.reply(AggregateId::of(key), version, &verdict);
    effects.push(ProductEffect::Reply(reply));
    Step {
        state,
        effects,
        deadline: None,
    }
}

/// What is to become of a product.
struct Change {
    after: ProductState,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Created,
    Updated,
    Deleted,
}

/// Checks a command; `None` when what it asks for is so already.
fn decide(
    key: &ProductId,
    state: Option<&ProductState>,
    command: &ProductCommand,
    limits: &ProductLimits,
    emit: &Emitter,
) -> Result<Option<Change>, Refusal> {
    let live = state.filter(|product| !product.deleted);
    let now = rfc3339(emit.at());
    match (command, live) {
        (ProductCommand::Create(create), None) => {
            check(&create.draft, limits)?;
            let version = state.map_or(0, |gone| gone.version);
            let after = ProductState {
                product_id: key.clone(),
                draft: create.draft.clone(),
                deleted: false,
                created_at: now.clone(),
                updated_at: now,
                version,
            };
            Ok(Some(Change {
                after,
                kind: Kind::Created,
            }))
        }
        (ProductCommand::Create(create), Some(product)) if create.draft == product.draft => {
            Ok(None)
        }
        (ProductCommand::Create(_), Some(_)) => {
            Err(Refusal::new("already-exists", "there is such a product"))
        }
        (ProductCommand::Update(update), Some(product)) => {
            check_version(update.expected_version, product)?;
            check(&update.draft, limits)?;
            let after = ProductState {
                draft: update.draft.clone(),
                updated_at: now,
                ..product.clone()
            };
            let changes = after.draft != product.draft;
            Ok(changes.then_some(Change {
                after,
                kind: Kind::Updated,
            }))
        }
        (ProductCommand::Delete(delete), Some(product)) => {
            check_version(delete.expected_version, product)?;
            let after = ProductState {
                deleted: true,
                updated_at: now,
                ..product.clone()
            };
            Ok(Some(Change {
                after,
                kind: Kind::Deleted,
            }))
        }
        (ProductCommand::Delete(_), None) if state.is_some() => Ok(None),
        (ProductCommand::Update(_) | ProductCommand::Delete(_), None) => {
            Err(Refusal::new("unknown-product", "there is no such product"))
        }
    }
}

fn carry_out(
    change: Change,
    before: Option<&ProductState>,
    emit: &mut Emitter,
) -> (ProductState, Vec<ProductEffect>) {
    let Change { mut after, kind } = change;
    let mut seq = after.version;
    after.version += 1;
    let product = after.clone();
    let fact = match kind {
        Kind::Created => ProductEvent::from(ProductCreated { product }),
        Kind::Updated => ProductUpdated { product }.into(),
        Kind::Deleted => ProductDeleted { product }.into(),
    };
    let mut effects = vec![ProductEffect::Fact(emit.fact(&mut seq, fact))];
    if kind != Kind::Deleted {
        effects.extend(new_skus(&after, before, emit));
    }
    let shown = (!after.deleted).then(|| Box::new(product_view(&after)));
    effects.push(ProductEffect::View(after.product_id.clone(), shown));
    (after, effects)
}

/// Makes the SKUs that are new known to the stock, which otherwise refuses them.
fn new_skus(
    after: &ProductState,
    before: Option<&ProductState>,
    emit: &mut Emitter,
) -> Vec<ProductEffect> {
    let known: Vec<_> = before.iter().flat_map(|p| &p.draft.variants).collect();
    let variants = after.draft.variants.iter();
    let new = variants.filter(|variant| !known.iter().any(|known| known.sku == variant.sku));
    new.map(|variant| {
        let command = emit.event::<InventoryCommand>(ConfigureStock {
            sku: variant.sku.clone(),
            policy: None,
            low_stock_threshold: None,
            expected_version: None,
        });
        ProductEffect::Stock(variant.sku.clone(), command)
    })
    .collect()
}

fn check_version(expected: Option<i64>, product: &ProductState) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != product.version => {
            let detail = format!("the product is at version {}", product.version);
            Err(Refusal::new("version-conflict", detail))
        }
        _ => Ok(()),
    }
}

fn check(draft: &ProductDraft, limits: &ProductLimits) -> Result<(), Refusal> {
    let invalid = |detail: String| Err(Refusal::new("invalid-product", detail));
    if draft.name.trim().is_empty() {
        return invalid("a product has a name".to_owned());
    }
    let too_long = |text: &String| text.chars().count() > limits.text_max;
    let mut texts = [&draft.name, &draft.description].into_iter();
    if texts.any(too_long) || draft.tags.iter().chain(&draft.images).any(too_long) {
        return invalid(format!("a text has at most {} characters", limits.text_max));
    }
    if draft.tags.len() > limits.tags_max || draft.images.len() > limits.tags_max {
        return invalid(format!("at most {} tags and pictures", limits.tags_max));
    }
    if draft.variants.is_empty() || draft.variants.len() > limits.variants_max {
        return invalid(format!("1 to {} variants", limits.variants_max));
    }
    check_variants(draft)
}

fn check_variants(draft: &ProductDraft) -> Result<(), Refusal> {
    let invalid = |detail: String| Err(Refusal::new("invalid-product", detail));
    let currency = draft.variants.first().map(|v| v.price.currency);
    for (index, variant) in draft.variants.iter().enumerate() {
        if variant.price.minor < 0 || Some(variant.price.currency) != currency {
            return invalid(format!("`{}`: a price of the one currency", variant.sku));
        }
        let mut earlier = draft.variants.iter().take(index);
        if earlier.any(|other| other.sku == variant.sku) {
            return invalid(format!("`{}` stands twice", variant.sku));
        }
    }
    Ok(())
}

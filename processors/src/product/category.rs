//! One step of a tree of categories.

use millrace_avro::events::products::{
    CategoryChanged, CategoryCommand, CategoryCreated, CategoryDeleted, CategoryEvent,
    CategoryNode, CategoryTree, DeleteCategory, PutCategory,
};
use millrace_avro::keys::{AggregateId, CatalogueId, CategoryId};

use super::view::{category_view, path};
use super::{CategoryEffect, ProductLimits};
use crate::emit::{Emitter, Refusal, Verdict};
use crate::transition::Step;

/// Takes a command in.
pub(super) fn step(
    key: &CatalogueId,
    state: Option<CategoryTree>,
    command: &CategoryCommand,
    limits: &ProductLimits,
    mut emit: Emitter,
) -> Step<CategoryTree, CategoryEffect> {
    let mut tree = state.unwrap_or_else(|| CategoryTree {
        catalogue_id: key.clone(),
        categories: Vec::new(),
        seq: 0,
    });
    let decided = match command {
        CategoryCommand::Put(put) => self::put(&mut tree, put, limits),
        CategoryCommand::Delete(delete) => self::delete(&mut tree, delete),
    };
    let mut effects = Vec::new();
    let verdict = match decided {
        Ok(Some(fact)) => {
            effects = tell(&mut tree, fact, &mut emit);
            Verdict::Accepted
        }
        Ok(None) => Verdict::Unchanged,
        Err(refusal) => Verdict::Refused(refusal),
    };
    let reply = emit.reply(AggregateId::of(key), tree.seq, &verdict);
    effects.push(CategoryEffect::Reply(reply));
    let is_nothing = tree.seq == 0;
    Step {
        state: (!is_nothing).then_some(tree),
        effects,
        deadline: None,
    }
}

fn put(
    tree: &mut CategoryTree,
    put: &PutCategory,
    limits: &ProductLimits,
) -> Result<Option<CategoryEvent>, Refusal> {
    check(tree, put, limits)?;
    let mut node = CategoryNode {
        category_id: put.category_id.clone(),
        name: put.name.clone(),
        parent_id: put.parent_id.clone(),
        position: put.position,
        version: 1,
    };
    match index_of(tree, &put.category_id) {
        Ok(index) => {
            let known = &mut tree.categories[index];
            node.version = known.version;
            if *known == node {
                return Ok(None);
            }
            node.version += 1;
            known.clone_from(&node);
            Ok(Some(CategoryChanged { category: node }.into()))
        }
        Err(index) => {
            if tree.categories.len() >= limits.categories_max {
                let detail = format!("a tree has at most {} categories", limits.categories_max);
                return Err(Refusal::new("too-many-categories", detail));
            }
            tree.categories.insert(index, node.clone());
            Ok(Some(CategoryCreated { category: node }.into()))
        }
    }
}

fn check(tree: &CategoryTree, put: &PutCategory, limits: &ProductLimits) -> Result<(), Refusal> {
    if put.name.trim().is_empty() || put.name.chars().count() > limits.text_max {
        return Err(Refusal::new("invalid-category", "a category has a name"));
    }
    let Some(parent) = &put.parent_id else {
        return Ok(());
    };
    if index_of(tree, parent).is_err() {
        let detail = format!("there is no category `{parent}`");
        return Err(Refusal::new("unknown-category", detail));
    }
    let above = path(tree, parent);
    if above.contains(&put.category_id) {
        let detail = format!("`{parent}` is below `{}`", put.category_id);
        return Err(Refusal::new("category-circle", detail));
    }
    if above.len() + height(tree, &put.category_id) > limits.depth_max {
        let detail = format!("a tree has at most {} levels", limits.depth_max);
        return Err(Refusal::new("too-deep", detail));
    }
    Ok(())
}

/// The number of levels from a category down, at least 1.
fn height(tree: &CategoryTree, id: &CategoryId) -> usize {
    let below = tree.categories.iter().map(|node| {
        let path = path(tree, &node.category_id);
        let from = path.iter().position(|above| above == id);
        from.map_or(1, |from| path.len() - from)
    });
    below.max().unwrap_or(1)
}

fn delete(
    tree: &mut CategoryTree,
    delete: &DeleteCategory,
) -> Result<Option<CategoryEvent>, Refusal> {
    let id = &delete.category_id;
    let Ok(index) = index_of(tree, id) else {
        return Err(Refusal::new(
            "unknown-category",
            "there is no such category",
        ));
    };
    let mut all = tree.categories.iter();
    if all.any(|node| node.parent_id.as_ref() == Some(id)) {
        return Err(Refusal::new(
            "category-has-children",
            "move its children first",
        ));
    }
    let category = tree.categories.remove(index);
    Ok(Some(CategoryDeleted { category }.into()))
}

fn tell(tree: &mut CategoryTree, fact: CategoryEvent, emit: &mut Emitter) -> Vec<CategoryEffect> {
    let (CategoryEvent::Created(CategoryCreated { category })
    | CategoryEvent::Changed(CategoryChanged { category })
    | CategoryEvent::Deleted(CategoryDeleted { category })) = &fact;
    let id = category.category_id.clone();
    let event = emit.fact(&mut tree.seq, fact);
    let mut effects = vec![CategoryEffect::Fact(id.clone(), event)];
    match index_of(tree, &id) {
        // The paths of all categories below change with it.
        Ok(_) => {
            for node in &tree.categories {
                let path = path(tree, &node.category_id);
                if path.contains(&id) {
                    let shown = Box::new(category_view(tree, node));
                    let effect = CategoryEffect::View(node.category_id.clone(), Some(shown));
                    effects.push(effect);
                }
            }
        }
        Err(_) => effects.push(CategoryEffect::View(id, None)),
    }
    effects
}

/// Where a category stands, or would stand.
fn index_of(tree: &CategoryTree, id: &CategoryId) -> Result<usize, usize> {
    tree.categories
        .binary_search_by(|node| node.category_id.cmp(id))
}

//! The catalogue: products with what is available of them, and the tree of categories.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::get;
use millrace_avro::events::products::{CategoryView, ProductView};
use millrace_avro::keys::{CategoryId, ProductId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, Market, Router, key};
use crate::http::cursor::{Before, Page, decode, limit, links, parameter};
use crate::http::etag::conditional;
use crate::http::extract::{Path, Query};
use crate::http::problem::{Kind, Result};

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/products", get(list))
        .route("/api/products/{id}", get(show))
        .route("/api/categories", get(tree))
        .route("/api/categories/{id}/products", get(of_category))
}

/// What a list of products is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
struct Filter {
    q: Option<String>,
    category: Option<String>,
    min_price: Option<i64>,
    max_price: Option<i64>,
    in_stock: Option<bool>,
    sort: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Filter {
    fn filters(&self) -> bool {
        let texts = self.q.is_some() || self.category.is_some() || self.in_stock.is_some();
        texts || self.min_price.is_some() || self.max_price.is_some()
    }
}

/// In which order products are listed; ids decide among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Price,
    PriceDown,
    Newest,
}

/// Where a product stands in a list: what it is sorted by, and its id.
type Standing = (String, i64, ProductId);

impl Sort {
    fn of(text: Option<&str>) -> Result<Self> {
        Ok(match text {
            None | Some("name") => Self::Name,
            Some("price") => Self::Price,
            Some("-price") => Self::PriceDown,
            Some("newest" | "-created_at") => Self::Newest,
            Some(_) => {
                return Err(parameter(
                    "sort",
                    "name, price, -price or newest".to_owned(),
                ));
            }
        })
    }

    fn standing(self, product: &ProductView) -> Standing {
        let id = product.id.clone();
        match self {
            Self::Name => (product.name.to_lowercase(), 0, id),
            Self::Price => (String::new(), product.price.minor, id),
            Self::PriceDown => (String::new(), product.price.minor.saturating_neg(), id),
            Self::Newest => (product.created_at.clone(), 0, id),
        }
    }

    fn compare(self, a: &Standing, b: &Standing) -> Ordering {
        match self {
            Self::Newest => b.cmp(a),
            _ => a.cmp(b),
        }
    }
}

async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Result<Response> {
    page(&app, &headers, &uri, &filter)
}

async fn of_category(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    Path(id): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Response> {
    app.views.category(&key(&id)?).ok_or(Kind::NotFound)?;
    page(
        &app,
        &headers,
        &uri,
        &Filter {
            category: Some(id),
            ..filter
        },
    )
}

async fn show(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response> {
    let seen = app
        .views
        .product(&key(&id)?)
        .filter(|seen| seen.view.active);
    let product = seen.ok_or(Kind::NotFound)?.view;
    let mut body = shown(&app, &product);
    for (index, variant) in product.variants.iter().enumerate() {
        let place = format!("/variants/{index}/available");
        if let Some(available) = body.pointer_mut(&place) {
            *available = json!(app.available(&variant.sku).await);
        }
    }
    conditional(&headers, product.version, &body)
}

fn page(app: &Market, headers: &HeaderMap, uri: &Uri, filter: &Filter) -> Result<Response> {
    let (limit, sort) = (limit(filter.limit)?, Sort::of(filter.sort.as_deref())?);
    let after: Option<Standing> = filter.cursor.as_deref().map(decode).transpose()?;
    let found = found(app, filter);
    let facets = filter.filters().then(|| facets(app, &found));
    let mut standings: Vec<_> = found.iter().map(|p| (sort.standing(p), p)).collect();
    standings.sort_unstable_by(|(a, _), (b, _)| sort.compare(a, b));
    let begin = after.as_ref().map_or(0, |after| {
        standings.partition_point(|(standing, _)| sort.compare(standing, after).is_le())
    });
    let before = Before::of(after.as_ref(), |_| {
        let last = begin.checked_sub(limit + 1)?;
        standings.get(last).map(|(standing, _)| standing.clone())
    });
    let rest = standings.into_iter().skip(begin).take(limit + 1).collect();
    let page = Page::of(rest, limit, |(standing, _)| standing.clone());
    let items: Vec<_> = page
        .items
        .iter()
        .map(|(_, product)| shown(app, product))
        .collect();
    let mut body = json!({ "items": items, "next_cursor": page.next_cursor });
    if let (Some(body), Some(facets)) = (body.as_object_mut(), facets) {
        body.insert("facets".to_owned(), facets);
    }
    let mut response = conditional(headers, 0, &body)?;
    response
        .headers_mut()
        .extend(links(uri, &before, page.next_cursor.as_deref()));
    Ok(response)
}

fn found(app: &Market, filter: &Filter) -> Vec<Arc<ProductView>> {
    let words = filter.q.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<_> = words.split_whitespace().collect();
    let categories = filter.category.as_deref().map(|id| below(app, id));
    let fits = |product: &ProductView| {
        let price = product.price.minor;
        product.active
            && categories
                .as_ref()
                .is_none_or(|ids| ids.contains(&product.category_id))
            && filter.min_price.is_none_or(|min| price >= min)
            && filter.max_price.is_none_or(|max| price <= max)
            && (words.is_empty() || has_words(product, &words))
            && filter
                .in_stock
                .is_none_or(|wanted| in_stock(app, product) == wanted)
    };
    app.views
        .products()
        .into_iter()
        .filter(|product| fits(product))
        .collect()
}

fn has_words(product: &ProductView, words: &[&str]) -> bool {
    let tags = product.tags.join(" ");
    let brand = product.brand.as_deref().unwrap_or_default();
    let text = format!("{} {} {tags} {brand}", product.name, product.description).to_lowercase();
    words.iter().all(|word| text.contains(word))
}

/// A category, and those below it.
fn below(app: &Market, id: &str) -> BTreeSet<CategoryId> {
    let categories = app.views.categories();
    let inside = categories.iter().filter(|category| {
        category.id.as_str() == id || category.path.iter().any(|above| above.as_str() == id)
    });
    inside.map(|category| category.id.clone()).collect()
}

fn in_stock(app: &Market, product: &ProductView) -> bool {
    product.variants.iter().any(|variant| {
        app.views
            .stock(&variant.sku)
            .is_some_and(|stock| stock.view.available > 0)
    })
}

fn facets(app: &Market, found: &[Arc<ProductView>]) -> Value {
    let mut categories: BTreeMap<&CategoryId, usize> = BTreeMap::new();
    for product in found {
        *categories.entry(&product.category_id).or_default() += 1;
    }
    let categories: Vec<_> = categories
        .iter()
        .map(|(id, count)| json!({ "category_id": id, "count": count }))
        .collect();
    let prices = || found.iter().map(|product| product.price.minor);
    let stocked = found
        .iter()
        .filter(|product| in_stock(app, product))
        .count();
    json!({
        "categories": categories,
        "price": { "min": prices().min(), "max": prices().max() },
        "in_stock": stocked,
        "total": found.len(),
    })
}

/// A product as clients see it: with what is available of each variant.
pub(super) fn shown(app: &Market, product: &ProductView) -> Value {
    let mut body = serde_json::to_value(product).unwrap_or_default();
    let variants = body.get_mut("variants").and_then(Value::as_array_mut);
    for (body, variant) in variants.into_iter().flatten().zip(&product.variants) {
        let stock = app.views.stock(&variant.sku);
        let available = stock.map_or(0, |stock| stock.view.available);
        if let Some(members) = body.as_object_mut() {
            members.insert("available".to_owned(), json!(available));
        }
    }
    if let Some(members) = body.as_object_mut() {
        members.insert("rating".to_owned(), json!({ "average": null, "count": 0 }));
    }
    body
}

/// A category with those below it.
#[derive(Debug, Serialize)]
struct Branch {
    #[serde(flatten)]
    category: Arc<CategoryView>,
    children: Vec<Branch>,
}

async fn tree(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    let categories = app.views.categories();
    let mut children: BTreeMap<Option<&CategoryId>, Vec<&Arc<CategoryView>>> = BTreeMap::new();
    for category in &categories {
        children
            .entry(category.parent_id.as_ref())
            .or_default()
            .push(category);
    }
    let items = branches(&children, None);
    conditional(&headers, 0, &json!({ "items": items }))
}

/// The decision keeps the tree free of cycles, so this ends.
fn branches(
    children: &BTreeMap<Option<&CategoryId>, Vec<&Arc<CategoryView>>>,
    parent: Option<&CategoryId>,
) -> Vec<Branch> {
    let mut here = children.get(&parent).cloned().unwrap_or_default();
    here.sort_by_key(|category| (category.position, category.id.clone()));
    let branch = |category: &Arc<CategoryView>| Branch {
        category: category.clone(),
        children: branches(children, Some(&category.id)),
    };
    here.into_iter().map(branch).collect()
}

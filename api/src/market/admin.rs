//! Products and categories, for administrators.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use millrace_avro::event::EventId;
use millrace_avro::events::common::CommandReply;
use millrace_avro::events::products::{
    CategoryCommand, CreateProduct, DeleteCategory, DeleteProduct, ProductCommand, ProductDraft,
    PutCategory, UpdateProduct, Variant,
};
use millrace_avro::keys::{CatalogueId, CategoryId, ProductId, Sku};
use millrace_avro::money::{Money, Rate};
use serde::Deserialize;
use serde_json::json;

use super::{App, Market, Router, accepted, catalogue, created, key};
use crate::http::auth::{Admin, Client};
use crate::http::etag::{if_match, versioned};
use crate::http::extract::Path;
use crate::http::idempotency::{Idempotent, Once};
use crate::http::json::{Checks, Json, MoneyBody, Object};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::ports::{Message, ViewKey};

/// The one catalogue of the market.
pub(crate) const CATALOGUE: &str = "main";
const NAME_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 20_000;
const VARIANTS_MAX: usize = 200;
/// The highest price, in minor units: a full cart of the dearest still has a sum.
const PRICE_MINOR_MAX: i64 = 1_000_000_000_000;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/admin/products", post(create))
        .route("/api/admin/products/{id}", put(update).delete(delete))
        .route("/api/admin/categories", post(create_category))
        .route(
            "/api/admin/categories/{id}",
            put(put_category).delete(delete_category),
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductBody {
    id: Option<String>,
    name: String,
    #[serde(default)]
    description: String,
    category_id: String,
    brand: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    images: Vec<String>,
    /// The price of variants that name none.
    price: Option<MoneyBody>,
    tax_rate: Option<Rate>,
    variants: Vec<Object<VariantBody>>,
    active: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantBody {
    sku: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
    price: Option<MoneyBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryBody {
    id: Option<String>,
    name: String,
    parent_id: Option<String>,
    #[serde(default)]
    position: i64,
}

async fn create(
    State(app): State<App>,
    Admin(client): Admin,
    Idempotent { body, intent }: Idempotent<ProductBody, false>,
) -> Result<Response> {
    let mut checks = Checks::new();
    let named = body.id.as_deref().map(ProductId::new);
    let named = named.and_then(|id| checks.value("/id", id));
    let draft = draft(&mut checks, body);
    if let Some(draft) = &draft {
        check_category(&app, &mut checks, &draft.category_id);
    }
    checks.done()?;
    let draft = draft.ok_or(Kind::InvalidFields)?;
    let work = async move |once: Once| {
        let product_id = match named {
            Some(id) => id,
            None => once.key("prd", "product")?,
        };
        let command_id = once.id("product.create", 0);
        let command = CreateProduct {
            product_id: product_id.clone(),
            draft,
        };
        check_skus(&app, &product_id, &command.draft)?;
        let location = format!("/api/products/{product_id}");
        let reply = give(&app, &client, command_id, &product_id, command.into()).await?;
        match shown(&app, &product_id, reply).await {
            Some(response) => Ok(created(&location, response)),
            None => Ok(accepted(&location, Answer(json!({ "id": product_id })))),
        }
    };
    intent.once(work).await
}

async fn update(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ProductBody>,
) -> Result<Response> {
    let product_id: ProductId = key(&id)?;
    app.views.product(&product_id).ok_or(Kind::NotFound)?;
    let expected_version = if_match(&headers, app.settings.limits.require_if_match)?;
    let mut checks = Checks::new();
    let is_same = body.id.as_ref().is_none_or(|named| *named == id);
    checks.require(is_same, "/id", "mismatch", "the id of the address");
    let draft = draft(&mut checks, body);
    if let Some(draft) = &draft {
        check_category(&app, &mut checks, &draft.category_id);
    }
    checks.done()?;
    let draft = draft.ok_or(Kind::InvalidFields)?;
    check_skus(&app, &product_id, &draft)?;
    let command = UpdateProduct {
        product_id: product_id.clone(),
        draft,
        expected_version,
    };
    let reply = give(
        &app,
        &client,
        EventId::random(),
        &product_id,
        command.into(),
    )
    .await?;
    match shown(&app, &product_id, reply).await {
        Some(response) => Ok(response),
        None => Ok(accepted(
            &format!("/api/products/{product_id}"),
            Answer(json!({ "id": id })),
        )),
    }
}

async fn delete(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let product_id: ProductId = key(&id)?;
    app.views.product(&product_id).ok_or(Kind::NotFound)?;
    let expected_version = if_match(&headers, app.settings.limits.require_if_match)?;
    let command = DeleteProduct {
        product_id: product_id.clone(),
        expected_version,
    };
    let reply = give(
        &app,
        &client,
        EventId::random(),
        &product_id,
        command.into(),
    )
    .await?;
    let look = || app.views.product(&product_id).is_none().then_some(());
    let gone = app
        .settled(&ViewKey::Product(product_id.clone()), look)
        .await;
    Ok(match (reply, gone) {
        (Some(_), Some(())) => StatusCode::NO_CONTENT.into_response(),
        _ => accepted(&format!("/api/products/{product_id}"), ()),
    })
}

async fn give(
    app: &Market,
    client: &Client,
    command_id: EventId,
    id: &ProductId,
    command: ProductCommand,
) -> Result<Option<CommandReply>> {
    let meta = request::current().command(command_id, client.user.as_str());
    let message = Message::Product(id.clone(), command);
    app.ask(meta, message, app.settings.times.command_wait)
        .await
}

/// The product as the command left it; `None` when that is not seen in time.
async fn shown(app: &Market, id: &ProductId, reply: Option<CommandReply>) -> Option<Response> {
    let version = reply?.version;
    let look = || {
        app.views
            .product(id)
            .filter(|seen| seen.view.version >= version)
    };
    let seen = app.settled(&ViewKey::Product(id.clone()), look).await?;
    Some(versioned(
        seen.view.version,
        &catalogue::shown(app, &seen.view),
    ))
}

fn draft(checks: &mut Checks, body: ProductBody) -> Option<ProductDraft> {
    checks.text("/name", &body.name, NAME_CHARS_MAX);
    let fits = body.description.chars().count() <= TEXT_CHARS_MAX;
    let message = format!("at most {TEXT_CHARS_MAX} characters");
    checks.require(fits, "/description", "length", &message);
    let category_id = checks.value("/category_id", CategoryId::new(&body.category_id));
    let tax_rate = body.tax_rate.unwrap_or_default();
    let fits = (0..=Rate::WHOLE.as_ppm()).contains(&tax_rate.as_ppm());
    checks.require(fits, "/tax_rate", "range", "millionths, 0 to 1000000");
    let variants = variants(checks, body.variants, body.price.map(|price| price.0));
    Some(ProductDraft {
        name: body.name,
        description: body.description,
        category_id: category_id?,
        brand: body.brand,
        tags: body.tags,
        images: body.images,
        tax_rate,
        variants,
        active: body.active.unwrap_or(true),
    })
}

fn check_category(app: &Market, checks: &mut Checks, id: &CategoryId) {
    let exists = app.views.category(id).is_some();
    checks.require(
        exists,
        "/category_id",
        "unknown-category",
        "no such category",
    );
}

/// A SKU is of one product: carts and stock know nothing else. Looks at what is known here, so two
/// administrators in the same moment can still collide.
fn check_skus(app: &Market, id: &ProductId, draft: &ProductDraft) -> Result<()> {
    let other = |variant: &&Variant| {
        let owner = app.views.product_of(&variant.sku);
        owner.is_some_and(|owner| owner.view.id != *id)
    };
    match draft.variants.iter().find(other) {
        None => Ok(()),
        Some(variant) => Err(Problem::new(Kind::Refused)
            .with("reason", "sku-taken")
            .detail(format!("`{}` is a variant of another product", variant.sku))),
    }
}

fn variants(
    checks: &mut Checks,
    bodies: Vec<Object<VariantBody>>,
    price: Option<Money>,
) -> Vec<Variant> {
    let fits = (1..=VARIANTS_MAX).contains(&bodies.len());
    checks.require(fits, "/variants", "length", &format!("1 to {VARIANTS_MAX}"));
    let mut seen = BTreeSet::new();
    let mut variants = Vec::with_capacity(bodies.len());
    for (index, Object(body)) in bodies.into_iter().enumerate() {
        let pointer = |field: &str| format!("/variants/{index}/{field}");
        let sku = checks.value(&pointer("sku"), Sku::new(&body.sku));
        let is_new = seen.insert(body.sku);
        checks.require(is_new, &pointer("sku"), "duplicate", "each SKU once");
        let price = body.price.map(|price| price.0).or(price);
        checks.require(price.is_some(), &pointer("price"), "required", "a price");
        let fits = price.is_none_or(|price| (0..=PRICE_MINOR_MAX).contains(&price.minor));
        let message = format!("a price of 0 to {PRICE_MINOR_MAX}");
        checks.require(fits, &pointer("price"), "range", &message);
        if let (Some(sku), Some(price)) = (sku, price) {
            variants.push(Variant {
                sku,
                options: body.options,
                price,
            });
        }
    }
    variants
}

async fn create_category(
    State(app): State<App>,
    Admin(client): Admin,
    Idempotent { body, intent }: Idempotent<CategoryBody, false>,
) -> Result<Response> {
    let named = body.id.clone();
    let (named, put) = category(named.as_deref(), body)?;
    let work = async move |once: Once| {
        let id = match named {
            Some(id) => id,
            None => once.key("cat", "category")?,
        };
        let command_id = once.id("category.put", 0);
        ask_put(&app, &client, command_id, put(id), true).await
    };
    intent.once(work).await
}

async fn put_category(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    Json(body): Json<CategoryBody>,
) -> Result<Response> {
    app.views.category(&key(&id)?).ok_or(Kind::NotFound)?;
    let mut checks = Checks::new();
    let is_same = body.id.as_ref().is_none_or(|named| *named == id);
    checks.require(is_same, "/id", "mismatch", "the id of the address");
    checks.done()?;
    let (id, put) = category(Some(&id), body)?;
    let id = id.ok_or(Kind::InvalidFields)?;
    ask_put(&app, &client, EventId::random(), put(id), false).await
}

async fn delete_category(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let category_id: CategoryId = key(&id)?;
    app.views.category(&category_id).ok_or(Kind::NotFound)?;
    let delete = DeleteCategory {
        category_id: category_id.clone(),
    };
    let reply = give_tree(&app, &client, EventId::random(), delete.into()).await?;
    let look = || app.views.category(&category_id).is_none().then_some(());
    let gone = app
        .settled(&ViewKey::Category(category_id.clone()), look)
        .await;
    Ok(match (reply, gone) {
        (Some(_), Some(())) => StatusCode::NO_CONTENT.into_response(),
        _ => accepted(&format!("/api/categories/{category_id}/products"), ()),
    })
}

/// The id that a category is given, if any, and what makes the command of an id.
fn category(
    id: Option<&str>,
    body: CategoryBody,
) -> Result<(
    Option<CategoryId>,
    impl FnOnce(CategoryId) -> PutCategory + use<>,
)> {
    let mut checks = Checks::new();
    let id = id.map(CategoryId::new);
    let id = id.and_then(|id| checks.value("/id", id));
    checks.text("/name", &body.name, NAME_CHARS_MAX);
    let parent = body.parent_id.as_deref().map(CategoryId::new);
    let parent_id = parent.and_then(|parent| checks.value("/parent_id", parent));
    checks.done()?;
    let put = move |category_id| PutCategory {
        category_id,
        name: body.name,
        parent_id,
        position: body.position,
    };
    Ok((id, put))
}

async fn ask_put(
    app: &Market,
    client: &Client,
    command_id: EventId,
    put: PutCategory,
    is_new: bool,
) -> Result<Response> {
    let wanted = put.clone();
    let location = format!("/api/categories/{}/products", wanted.category_id);
    let reply = give_tree(app, client, command_id, put.into()).await?;
    let look = || {
        let seen = app.views.category(&wanted.category_id)?;
        let category = &seen.view;
        let is_done = category.name == wanted.name
            && category.parent_id == wanted.parent_id
            && category.position == wanted.position;
        is_done.then(|| seen.view.clone())
    };
    let shown = match reply {
        Some(_) => {
            app.settled(&ViewKey::Category(wanted.category_id.clone()), look)
                .await
        }
        None => None,
    };
    Ok(match shown {
        Some(category) if is_new => created(&location, Answer(category)),
        Some(category) => Answer(category).into_response(),
        None => accepted(&location, Answer(json!({ "id": wanted.category_id }))),
    })
}

async fn give_tree(
    app: &Market,
    client: &Client,
    command_id: EventId,
    command: CategoryCommand,
) -> Result<Option<CommandReply>> {
    let catalogue = CatalogueId::new(CATALOGUE).map_err(|_| Problem::new(Kind::Internal))?;
    let meta = request::current().command(command_id, client.user.as_str());
    app.ask(
        meta,
        Message::Category(catalogue, command),
        app.settings.times.command_wait,
    )
    .await
}

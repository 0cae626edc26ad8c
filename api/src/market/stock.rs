//! Stock, for administrators.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::inventory::{
    AdjustStock, ConfigureStock, InventoryCommand, StockPolicy,
};
use millrace_avro::keys::{LocationId, Sku};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, Market, Router, accepted, created, key};
use crate::http::auth::Admin;
use crate::http::etag::{conditional, if_match, versioned};
use crate::http::extract::Path;
use crate::http::idempotency::Idempotent;
use crate::http::json::{Checks, Json};
use crate::http::problem::{Kind, Result};
use crate::http::request;
use crate::ports::{Message, ViewKey};

const REASON_CHARS_MAX: usize = 200;
const DELTA_MAX: i64 = 1_000_000_000;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/admin/inventory/adjustments", post(adjust))
        .route("/api/admin/inventory/{sku}", get(show).put(configure))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    sku: String,
    location: String,
    delta: i64,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    policy: Option<StockPolicy>,
    low_stock_threshold: Option<i64>,
}

async fn show(
    State(app): State<App>,
    _admin: Admin,
    headers: HeaderMap,
    Path(sku): Path<String>,
) -> Result<Response> {
    let seen = app.views.stock(&key(&sku)?).ok_or(Kind::NotFound)?;
    conditional(&headers, seen.view.version, &*seen.view)
}

async fn adjust(
    State(app): State<App>,
    Admin(client): Admin,
    Idempotent { body, intent }: Idempotent<Adjustment>,
) -> Result<Response> {
    let mut checks = Checks::new();
    let sku = checks.value("/sku", Sku::new(&body.sku));
    let location = checks.value("/location", LocationId::new(&body.location));
    let fits = body.delta != 0 && body.delta.unsigned_abs() <= DELTA_MAX.unsigned_abs();
    checks.require(
        fits,
        "/delta",
        "range",
        &format!("not 0, at most {DELTA_MAX} either way"),
    );
    checks.text("/reason", &body.reason, REASON_CHARS_MAX);
    checks.done()?;
    let (Some(sku), Some(location)) = (sku, location) else {
        return Err(Kind::InvalidFields.into());
    };
    check_known(&app, &sku)?;
    let adjust = AdjustStock {
        sku,
        location,
        delta: body.delta,
        reason: body.reason,
    };
    intent
        .once(|once| async move {
            let id = once.id("inventory.adjust", 0);
            let meta = request::current().command(id, client.user.as_str());
            ask_adjust(&app, meta, adjust).await
        })
        .await
}

/// Stock is kept of what is for sale, or was.
fn check_known(app: &Market, sku: &Sku) -> Result<()> {
    match app.views.product_of(sku).is_some() || app.views.stock(sku).is_some() {
        true => Ok(()),
        false => Err(Kind::NotFound.into()),
    }
}

async fn ask_adjust(app: &Market, meta: Meta, adjust: AdjustStock) -> Result<Response> {
    let (sku, location) = (adjust.sku.clone(), adjust.location.clone());
    let url = format!("/api/admin/inventory/{sku}");
    let message = Message::Inventory(sku.clone(), InventoryCommand::Adjust(adjust));
    let Some(reply) = app
        .ask(meta, message, app.settings.times.command_wait)
        .await?
    else {
        return Ok(accepted(
            &url,
            Answer(json!({ "sku": sku, "location": location })),
        ));
    };
    let look = || {
        let stock = app.views.stock(&sku)?.view;
        let level = stock
            .locations
            .iter()
            .find(|level| level.location == location)?;
        (stock.version >= reply.version).then(|| level.clone())
    };
    let level = app.settled(&ViewKey::Stock(sku.clone()), look).await;
    let Some(Value::Object(mut body)) = level.and_then(|l| serde_json::to_value(l).ok()) else {
        return Ok(accepted(
            &url,
            Answer(json!({ "sku": sku, "location": location })),
        ));
    };
    body.insert("sku".to_owned(), json!(sku));
    Ok(created(&url, Answer(body)))
}

async fn configure(
    State(app): State<App>,
    Admin(client): Admin,
    Path(sku): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Configuration>,
) -> Result<Response> {
    let sku: Sku = key(&sku)?;
    check_known(&app, &sku)?;
    let expected_version = if_match(&headers, app.settings.limits.require_if_match)?;
    let mut checks = Checks::new();
    let fits = body
        .low_stock_threshold
        .is_none_or(|threshold| threshold >= 0);
    checks.require(fits, "/low_stock_threshold", "range", "at least 0");
    checks.done()?;
    let Configuration {
        policy,
        low_stock_threshold,
    } = body;
    let configure = ConfigureStock {
        sku: sku.clone(),
        policy,
        low_stock_threshold,
        expected_version,
    };
    let meta = request::current().command(EventId::random(), client.user.as_str());
    let message = Message::Inventory(sku.clone(), InventoryCommand::Configure(configure));
    let url = format!("/api/admin/inventory/{sku}");
    let Some(reply) = app
        .ask(meta, message, app.settings.times.command_wait)
        .await?
    else {
        return Ok(accepted(&url, Answer(json!({ "sku": sku }))));
    };
    let look = || {
        app.views
            .stock(&sku)
            .filter(|seen| seen.view.version >= reply.version)
    };
    match app.settled(&ViewKey::Stock(sku.clone()), look).await {
        Some(seen) => Ok(versioned(seen.view.version, &*seen.view)),
        None => Ok(accepted(&url, Answer(json!({ "sku": sku })))),
    }
}

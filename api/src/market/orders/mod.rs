//! Orders: to watch and to cancel; checkout and fulfilment stand beside.

mod checkout;
mod fulfilment;
mod turn;

pub(super) use turn::Turns;

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use millrace_avro::event::EventId;
use millrace_avro::events::orders::{OrderCancelRequested, OrderCommand, OrderStatus, OrderView};
use millrace_avro::keys::{OrderId, UserId};
use serde::Deserialize;
use serde_json::Value;

use super::{App, Market, Router, accepted, key};
use crate::accounts::Role;
use crate::http::auth::{Admin, Client};
use crate::http::cursor::{Before, Page, decode, limit, links};
use crate::http::etag::versioned;
use crate::http::extract::{Path, Query};
use crate::http::json::{Checks, Raw, parse};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::http::sse::Snapshot;
use crate::ports::{Message, Seen, ViewKey, wait_for};

const REASON_CHARS_MAX: usize = 500;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/orders", post(checkout::place).get(list))
        .route("/api/orders/{id}", get(show))
        .route("/api/orders/{id}/events", get(progress))
        .route("/api/orders/{id}/cancel", put(cancel))
        .route("/api/admin/orders", get(list_all))
        .route("/api/admin/orders/{id}/shipments", post(fulfilment::ship))
        .route("/api/admin/orders/{id}/delivery", put(fulfilment::deliver))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct ShowQuery {
    wait: Option<u64>,
}

async fn seen(
    app: &Market,
    id: &OrderId,
    limit: Duration,
    is_enough: impl Fn(&Seen<OrderView>) -> bool,
) -> Option<Seen<OrderView>> {
    let key = ViewKey::Order(id.clone());
    let found = wait_for(app.views.as_ref(), &key, limit, || {
        app.views.order(id).filter(&is_enough)
    });
    // Whoever waits when the process is about to end is told what is known.
    let found = tokio::select! {
        found = found => found,
        () = app.streams.closed() => None,
    };
    found.or_else(|| app.views.order(id))
}

/// The order as its owner or an administrator sees it: with its address, as long as the key to it
/// exists, and with what they may do.
async fn body(app: &Market, client: &Client, order: &OrderView) -> Result<Value> {
    let mut body = serde_json::to_value(order).map_err(|_| Problem::new(Kind::Internal))?;
    let address = match &order.shipping_address {
        Some(sealed) => app.accounts.sealer().open(&order.user_id, sealed).await?,
        None => None,
    };
    let address = address.and_then(|text| serde_json::from_str(&text).ok());
    if let Some(members) = body.as_object_mut() {
        members.insert(
            "shipping_address".to_owned(),
            address.unwrap_or(Value::Null),
        );
    }
    keep_allowed(client, &mut body);
    Ok(body)
}

/// Leaves of `allowed_actions` what the client may do.
fn keep_allowed(client: &Client, body: &mut Value) {
    let actions = body.get_mut("allowed_actions");
    if let Some(actions) = actions.and_then(Value::as_array_mut) {
        actions.retain(|action| action.as_str().is_some_and(|it| may(client, it)));
    }
}

/// Customers cancel; to ship and to deliver is up to administrators.
fn may(client: &Client, action: &str) -> bool {
    client.role == Role::Admin || action == "cancel"
}

async fn shown(app: &Market, client: &Client, order: &OrderView) -> Result<Response> {
    Ok(versioned(order.version, &body(app, client, order).await?))
}

/// The order `id`, if it is the client's to see.
fn visible(app: &Market, client: &Client, id: &OrderId) -> Result<Seen<OrderView>> {
    let seen = app.views.order(id);
    seen.filter(|seen| may_see(client, &seen.view))
        .ok_or_else(|| Kind::NotFound.into())
}

fn may_see(client: &Client, order: &OrderView) -> bool {
    client.role == Role::Admin || order.user_id == client.user
}

async fn show(
    State(app): State<App>,
    client: Client,
    Path(id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0)).min(app.settings.times.wait_max);
    if !wait.is_zero() {
        // The wait for an order of others is as long as that for none.
        let is_enough =
            |seen: &Seen<OrderView>| may_see(&client, &seen.view) && seen.view.final_or_waiting;
        seen(&app, &id, wait, is_enough).await;
    }
    shown(&app, &client, &visible(&app, &client, &id)?.view).await
}

async fn list(
    State(app): State<App>,
    client: Client,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    page(&app, &client, Some(&client.user), &uri, &query).await
}

async fn list_all(
    State(app): State<App>,
    Admin(client): Admin,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    page(&app, &client, None, &uri, &query).await
}

/// A page of the orders of `user`, or of everybody, newest first.
async fn page(
    app: &Market,
    client: &Client,
    user: Option<&UserId>,
    uri: &Uri,
    query: &ListQuery,
) -> Result<Response> {
    let limit = limit(query.limit)?;
    let cursor = query.cursor.as_deref().map(decode).transpose()?;
    let orders = app.views.orders_of(user, cursor.as_ref(), limit + 1);
    let before = Before::of(cursor.as_ref(), |place| {
        app.views.newer_order(user, place, limit)
    });
    let page = Page::of(orders, limit, |order| {
        (order.created_at.clone(), order.id.clone())
    });
    let mut items = Vec::with_capacity(page.items.len());
    for order in &page.items {
        items.push(body(app, client, order).await?);
    }
    let links = links(uri, &before, page.next_cursor.as_deref());
    let page = Page {
        items,
        next_cursor: page.next_cursor,
    };
    Ok((links, Answer(page)).into_response())
}

async fn progress(
    State(app): State<App>,
    client: Client,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let (views, order) = (app.views.clone(), id.clone());
    let user = client.user.clone();
    let look = move || {
        let Seen { view, at } = views.order(&order)?;
        let mut body = serde_json::to_value(&*view).ok()?;
        body.as_object_mut()?.remove("shipping_address");
        keep_allowed(&client, &mut body);
        Some(Snapshot {
            at,
            event: "order",
            body,
            last: is_over(&view),
        })
    };
    let views = app.views.clone();
    let key = ViewKey::Order(id);
    app.streams.open(user.as_str(), views, key, &headers, look)
}

/// Whether nothing more is expected of an order.
fn is_over(order: &OrderView) -> bool {
    use OrderStatus::{Cancelled, Delivered, Expired, PaymentFailed, Rejected};
    matches!(
        order.status,
        Cancelled | Delivered | Expired | PaymentFailed | Rejected
    )
}

async fn cancel(
    State(app): State<App>,
    client: Client,
    Path(id): Path<String>,
    Raw(body): Raw,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let cancellation: Cancellation = match body.is_empty() {
        true => Cancellation::default(),
        false => parse(&body)?,
    };
    let mut checks = Checks::new();
    if let Some(reason) = &cancellation.reason {
        checks.text("/reason", reason, REASON_CHARS_MAX);
    }
    checks.done()?;
    let request = OrderCancelRequested {
        order_id: id.clone(),
        reason: cancellation.reason,
    };
    let command = OrderCommand::CancelRequested(request);
    decide(&app, &client, &id, EventId::random(), command).await
}

/// Gives a command to an order and answers with the order after it.
async fn decide(
    app: &Market,
    client: &Client,
    id: &OrderId,
    command_id: EventId,
    command: OrderCommand,
) -> Result<Response> {
    let meta = request::current().command(command_id, client.user.as_str());
    let message = Message::Order(id.clone(), command);
    let location = format!("/api/orders/{id}");
    let asked = app
        .ask(meta, message, app.settings.times.command_wait)
        .await;
    let asked = asked.map_err(|problem| problem.retain("allowed", |action| may(client, action)))?;
    let Some(reply) = asked else {
        let order = visible(app, client, id)?.view;
        return Ok(accepted(&location, shown(app, client, &order).await?));
    };
    reached(app, id, reply.version).await;
    shown(app, client, &visible(app, client, id)?.view).await
}

/// The order as a decision left it, or later; `None` when that is not seen in time.
async fn reached(app: &Market, id: &OrderId, version: i64) -> Option<Arc<OrderView>> {
    let look = || {
        let seen = app.views.order(id)?;
        (seen.view.version >= version).then_some(seen.view)
    };
    app.settled(&ViewKey::Order(id.clone()), look).await
}

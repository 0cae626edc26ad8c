//! Orders: place, watch, cancel; ship and deliver, for administrators.

use std::time::Duration;

use axum::Json as Answer;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use millrace_avro::event::EventId;
use millrace_avro::events::carts::{CartItemView, CartView};
use millrace_avro::events::orders::{
    CaptureMode, OrderCancelRequested, OrderCommand, OrderDeliveryReported, OrderPlaced,
    OrderShipmentRequested, OrderStatus, OrderView, PlacedLine, ShippedItem,
};
use millrace_avro::keys::{OrderId, ShipmentId, Sku};
use millrace_avro::money::{Currency, Money, Rate};
use millrace_processors::pricing::{self, Basket, Priced};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, Market, Router, accepted, carts, created, key};
use crate::accounts::Role;
use crate::http::auth::{Admin, Client};
use crate::http::cursor::{Page, decode, limit, link_next};
use crate::http::etag::versioned;
use crate::http::idempotency::{Attempt, Idempotent, Intent};
use crate::http::json::{Checks, parse};
use crate::http::limits::Class;
use crate::http::prefer::Wait;
use crate::http::problem::{FieldError, Kind, Problem, Result};
use crate::http::request;
use crate::http::sse::Snapshot;
use crate::ports::{Message, Seen, ViewKey, wait_for};

const ADDRESS_BYTES_MAX: usize = 4096;
const METHOD_CHARS_MAX: usize = 128;
const REASON_CHARS_MAX: usize = 500;

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/orders", post(place).get(list))
        .route("/api/orders/{id}", get(show))
        .route("/api/orders/{id}/events", get(progress))
        .route("/api/orders/{id}/cancel", put(cancel))
        .route("/api/admin/orders/{id}/shipments", post(ship))
        .route("/api/admin/orders/{id}/delivery", put(deliver))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    payment_method: String,
    shipping_address: Value,
    expected_total: Option<Money>,
    currency: Option<Currency>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewShipment {
    #[serde(default)]
    items: Vec<NewShippedItem>,
    tracking: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewShippedItem {
    sku: String,
    quantity: i64,
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

async fn place(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Idempotent { body, intent }: Idempotent<NewOrder>,
) -> Result<Response> {
    app.limits.take(Class::Checkout, client.user.as_str())?;
    let mut checks = Checks::new();
    checks.text("/payment_method", &body.payment_method, METHOD_CHARS_MAX);
    let address = body.shipping_address.to_string();
    let is_address = match &body.shipping_address {
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.trim().is_empty(),
        _ => false,
    };
    let message = format!("an address, an object of at most {ADDRESS_BYTES_MAX} bytes");
    let fits = is_address && address.len() <= ADDRESS_BYTES_MAX;
    checks.require(fits, "/shipping_address", "invalid", &message);
    checks.done()?;
    let wait = Wait::of(&headers, app.settings.times.wait_max);
    intent
        .clone()
        .attempt(|attempt| async move {
            let asked = Asked {
                body,
                intent,
                attempt,
                wait,
            };
            order(&app, &client, asked).await
        })
        .await
}

/// An order that is asked for.
struct Asked {
    body: NewOrder,
    intent: Intent,
    attempt: Attempt,
    wait: Wait,
}

async fn order(app: &Market, client: &Client, asked: Asked) -> Result<Response> {
    let Asked {
        body,
        intent,
        attempt,
        wait,
    } = asked;
    let id = order_id(&intent)?;
    let location = format!("/api/orders/{id}");
    if app.views.order(&id).is_none() {
        let (placed, denied) = match (placed(app, client, &id, body).await, attempt) {
            (Ok(placed), _) => (placed, None),
            (Err(problem), Attempt::First) => return Err(problem),
            (Err(problem), Attempt::Repeated) => {
                (question(client, &id, app.settings.currency), Some(problem))
            }
        };
        let meta = request::current().command(intent.id("order.placed", 0), client.user.as_str());
        let message = Message::Order(id.clone(), OrderCommand::Placed(placed));
        let patience = match wait {
            Wait::No => Duration::ZERO,
            _ => app.settings.times.command_wait,
        };
        let asked = app.ask(meta, message, patience).await;
        let asked = asked.map_err(|problem| match (problem.kind, denied) {
            (Kind::EmptyCart, Some(denied)) => denied,
            _ => problem,
        })?;
        if asked.is_none() {
            return Ok(accepted(
                &location,
                Answer(json!({ "id": id, "status": "pending" })),
            ));
        }
    }
    let (limit, last_word) = match wait {
        Wait::No => (Duration::ZERO, false),
        Wait::Usual => (app.settings.times.command_wait, false),
        Wait::ForLastWord(limit) => (limit, true),
    };
    match seen(app, &id, limit, last_word).await {
        Some(seen) => Ok(created(&location, shown(app, &seen.view).await?)),
        None => Ok(accepted(
            &location,
            Answer(json!({ "id": id, "status": "pending" })),
        )),
    }
}

/// The order's id follows from the key: one order per key, whatever happens to the answer.
fn order_id(intent: &Intent) -> Result<OrderId> {
    let id = format!("ord_{}", intent.id("order", 0));
    OrderId::new(&id).map_err(|_| Kind::Internal.into())
}

/// What only asks whether the order was made: one that exists takes a repetition for what it is,
/// and without lines none is made. For when the cart says no, because it was emptied for this very
/// order, and the order itself is not seen yet.
fn question(client: &Client, id: &OrderId, currency: Currency) -> OrderPlaced {
    OrderPlaced {
        order_id: id.clone(),
        user_id: client.user.clone(),
        cart_id: None,
        currency,
        lines: Vec::new(),
        discounts: Vec::new(),
        shipping: Money::zero(currency),
        shipping_tax_rate: Rate::ZERO,
        payment_method: String::new(),
        capture: CaptureMode::Automatic,
        shipping_address: None,
        expected_total: None,
        near: Vec::new(),
    }
}

async fn placed(
    app: &Market,
    client: &Client,
    id: &OrderId,
    body: NewOrder,
) -> Result<OrderPlaced> {
    let cart_id = carts::cart_of(&client.user);
    let cart = app.views.cart(&cart_id).map(|seen| seen.view);
    let cart = cart
        .filter(|cart| !cart.items.is_empty())
        .ok_or(Kind::EmptyCart)?;
    let lines = lines(app, &cart)?;
    let priced_in = lines
        .first()
        .map_or(app.settings.currency, |line| line.unit_price.currency);
    let currency = body.currency.unwrap_or(priced_in);
    let rules = crate::serve::rules(&app.settings).carts;
    let shipping = Money::new(rules.shipping_minor, currency);
    let priced = pricing::price(&Basket {
        currency,
        lines: &lines,
        discounts: &[],
        shipping,
        shipping_tax_rate: rules.shipping_tax_rate,
    });
    let priced = priced.map_err(|error| invalid("/currency", "currency", error.to_string()))?;
    if pricing::has_risen(body.expected_total, priced.totals.total) {
        return Err(price_changed(&priced));
    }
    let address = body.shipping_address.to_string();
    Ok(OrderPlaced {
        order_id: id.clone(),
        user_id: client.user.clone(),
        cart_id: Some(cart_id),
        currency,
        lines,
        discounts: Vec::new(),
        shipping,
        shipping_tax_rate: rules.shipping_tax_rate,
        payment_method: body.payment_method,
        capture: CaptureMode::Automatic,
        shipping_address: app.accounts.sealer().seal(&client.user, &address).await?,
        expected_total: body.expected_total,
        near: Vec::new(),
    })
}

/// The lines of a cart, at what the catalogue says now.
fn lines(app: &Market, cart: &CartView) -> Result<Vec<PlacedLine>> {
    let line = |item: &CartItemView| {
        let product = app.views.product_of(&item.sku)?.view;
        let variant = product
            .variants
            .iter()
            .find(|variant| variant.sku == item.sku)?;
        product.active.then(|| PlacedLine {
            sku: item.sku.clone(),
            product_id: product.id.clone(),
            name: product.name.clone(),
            quantity: item.quantity,
            unit_price: variant.price,
            tax_rate: product.tax_rate,
        })
    };
    let gone = |item: &CartItemView| {
        Problem::new(Kind::Refused)
            .with("reason", "not-for-sale")
            .detail(format!("`{}` is not for sale any more", item.name))
    };
    cart.items
        .iter()
        .map(|item| line(item).ok_or_else(|| gone(item)))
        .collect()
}

fn price_changed(priced: &Priced) -> Problem {
    Problem::new(Kind::PriceChanged)
        .with("lines", &priced.lines)
        .with("totals", &priced.totals)
}

fn invalid(pointer: &str, code: &'static str, message: String) -> Problem {
    let error = FieldError {
        pointer: pointer.to_owned(),
        code,
        message,
    };
    Problem::new(Kind::InvalidFields).errors(vec![error])
}

async fn seen(
    app: &Market,
    id: &OrderId,
    limit: Duration,
    last_word: bool,
) -> Option<Seen<OrderView>> {
    let key = ViewKey::Order(id.clone());
    let is_enough = |seen: &Seen<OrderView>| !last_word || seen.view.final_or_waiting;
    let found = wait_for(app.views.as_ref(), &key, limit, || {
        app.views.order(id).filter(is_enough)
    });
    // Whoever waits when the process is about to end is told what is known.
    let found = tokio::select! {
        found = found => found,
        () = app.streams.closed() => None,
    };
    found.or_else(|| app.views.order(id))
}

/// The order as its owner sees it: with its address, as long as the key to it exists.
async fn body(app: &Market, order: &OrderView) -> Result<Value> {
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
    Ok(body)
}

async fn shown(app: &Market, order: &OrderView) -> Result<Response> {
    Ok(versioned(order.version, &body(app, order).await?))
}

/// The order `id`, if it is the client's to see.
fn visible(app: &Market, client: &Client, id: &OrderId) -> Result<Seen<OrderView>> {
    let seen = app.views.order(id);
    let is_visible =
        |seen: &Seen<OrderView>| client.role == Role::Admin || seen.view.user_id == client.user;
    seen.filter(is_visible).ok_or_else(|| Kind::NotFound.into())
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
        seen(&app, &id, wait, true).await;
    }
    shown(&app, &visible(&app, &client, &id)?.view).await
}

async fn list(
    State(app): State<App>,
    client: Client,
    uri: Uri,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    let limit = limit(query.limit)?;
    let before = query.cursor.as_deref().map(decode).transpose()?;
    let orders = app
        .views
        .orders_of(&client.user, before.as_ref(), limit + 1);
    let page = Page::of(orders, limit, |order| {
        (order.created_at.clone(), order.id.clone())
    });
    let mut items = Vec::with_capacity(page.items.len());
    for order in &page.items {
        items.push(body(&app, order).await?);
    }
    let link = link_next(&uri, page.next_cursor.as_deref());
    let page = Page {
        items,
        next_cursor: page.next_cursor,
    };
    Ok((link, Answer(page)).into_response())
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
    let look = move || {
        let Seen { view, at } = views.order(&order)?;
        let mut body = serde_json::to_value(&*view).ok()?;
        body.as_object_mut()?.remove("shipping_address");
        Some(Snapshot {
            at,
            event: "order",
            body,
            last: is_over(&view),
        })
    };
    app.streams
        .open(app.views.clone(), ViewKey::Order(id), &headers, look)
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
    body: Bytes,
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

async fn deliver(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let report = OrderDeliveryReported {
        order_id: id.clone(),
    };
    decide(
        &app,
        &client,
        &id,
        EventId::random(),
        OrderCommand::DeliveryReported(report),
    )
    .await
}

async fn ship(
    State(app): State<App>,
    Admin(client): Admin,
    Path(id): Path<String>,
    Idempotent { body, intent }: Idempotent<NewShipment, false>,
) -> Result<Response> {
    let id: OrderId = key(&id)?;
    visible(&app, &client, &id)?;
    let mut checks = Checks::new();
    let mut items = Vec::with_capacity(body.items.len());
    for (index, item) in body.items.iter().enumerate() {
        let sku = checks.value(&format!("/items/{index}/sku"), Sku::new(&item.sku));
        let pointer = format!("/items/{index}/quantity");
        checks.require(item.quantity > 0, &pointer, "range", "at least 1");
        items.extend(sku.map(|sku| ShippedItem {
            sku,
            quantity: item.quantity,
        }));
    }
    checks.done()?;
    let shipment_id = ShipmentId::new(&format!("shp_{}", intent.id("shipment", 0)));
    let shipment_id = shipment_id.map_err(|_| Problem::new(Kind::Internal))?;
    let tracking = body.tracking;
    let command = intent.id("order.shipment_requested", 0);
    let request = OrderShipmentRequested {
        order_id: id.clone(),
        shipment_id: shipment_id.clone(),
        items,
        tracking,
    };
    let work = async move {
        let request = OrderCommand::ShipmentRequested(request);
        let location = format!("/api/orders/{id}");
        let meta = request::current().command(command, client.user.as_str());
        let message = Message::Order(id.clone(), request);
        let wait = app.settings.times.command_wait;
        let reply = app.ask(meta, message, wait).await?;
        let look = || {
            let order = app.views.order(&id)?.view;
            order
                .shipments
                .iter()
                .find(|shipment| shipment.shipment_id == shipment_id)
                .cloned()
        };
        match reply {
            Some(_) => match app.settled(&ViewKey::Order(id.clone()), look).await {
                Some(shipment) => Ok(created(&location, Answer(shipment))),
                None => Ok(accepted(
                    &location,
                    Answer(json!({ "shipment_id": shipment_id })),
                )),
            },
            None => Ok(accepted(
                &location,
                Answer(json!({ "shipment_id": shipment_id })),
            )),
        }
    };
    intent.once(work).await
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
    let Some(reply) = app
        .ask(meta, message, app.settings.times.command_wait)
        .await?
    else {
        return Ok(accepted(
            &location,
            shown(app, &visible(app, client, id)?.view).await?,
        ));
    };
    let look = || {
        app.views
            .order(id)
            .filter(|seen| seen.view.version >= reply.version)
    };
    app.settled(&ViewKey::Order(id.clone()), look).await;
    shown(app, &visible(app, client, id)?.view).await
}

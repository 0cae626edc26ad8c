//! Checkout: a cart becomes an order, at what the catalogue says now.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use millrace_avro::events::carts::{CartItemView, CartView};
use millrace_avro::events::common::rfc3339;
use millrace_avro::events::orders::{
    CaptureMode, OrderCommand, OrderPlaced, OrderView, PlacedLine,
};
use millrace_avro::keys::OrderId;
use millrace_avro::money::{Currency, Money, Rate};
use millrace_processors::pricing::{self, Basket, Priced};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{seen, shown, turn};
use crate::clock;
use crate::http::auth::Client;
use crate::http::idempotency::{Attempt, Idempotent, Once};
use crate::http::json::{Checks, MoneyBody};
use crate::http::limits::Class;
use crate::http::prefer::Wait;
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::market::{App, Market, accepted, carts, created};
use crate::ports::{Message, Seen};

const ADDRESS_BYTES_MAX: usize = 4096;
const METHOD_CHARS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    payment_method: String,
    shipping_address: Value,
    expected_total: Option<MoneyBody>,
    currency: Option<Currency>,
}

pub(super) async fn place(
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
        .once(|once| async move {
            let asked = Asked { body, once, wait };
            order(&app, &client, asked).await
        })
        .await
}

/// An order that is asked for.
struct Asked {
    body: NewOrder,
    once: Once,
    wait: Wait,
}

async fn order(app: &Market, client: &Client, asked: Asked) -> Result<Response> {
    let Asked { body, once, wait } = asked;
    // One order per key, whatever happens to the answer.
    let id: OrderId = once.key("ord", "order")?;
    let location = format!("/api/orders/{id}");
    let mut pending = json!({ "id": id, "status": "pending" });
    // A repetition after a crash finds the order made, and the cart empty.
    if app.views.order(&id).is_none() {
        turn::take(app, &client.user, &id).await?;
        let (placed, denied) = match (placed(app, client, &id, body).await, once.attempt) {
            (Ok((placed, priced)), _) => {
                pending = begun(&id, &priced);
                (placed, None)
            }
            (Err(problem), Attempt::First) => {
                app.turns.give_back(&client.user, &id);
                return Err(problem);
            }
            (Err(problem), Attempt::Repeated) => {
                (question(client, &id, app.settings.currency), Some(problem))
            }
        };
        let meta = request::current().command(once.id("order.placed", 0), client.user.as_str());
        let message = Message::Order(id.clone(), OrderCommand::Placed(placed));
        if wait == Wait::No && denied.is_none() {
            app.give(meta, message).await?;
            return Ok(accepted(&location, Answer(pending)));
        }
        let asked = app
            .ask(meta, message, app.settings.times.command_wait)
            .await;
        let asked = asked.map_err(|problem| {
            app.turns.give_back(&client.user, &id);
            match (problem.kind, denied) {
                (Kind::EmptyCart, Some(denied)) => denied,
                _ => problem,
            }
        })?;
        if asked.is_none() {
            return Ok(accepted(&location, Answer(pending)));
        }
    }
    let (limit, last_word) = match wait {
        Wait::No => (Duration::ZERO, false),
        Wait::Usual => (app.settings.times.command_wait, false),
        Wait::ForLastWord(limit) => (limit, true),
    };
    let is_enough = |seen: &Seen<OrderView>| !last_word || seen.view.final_or_waiting;
    match seen(app, &id, limit, is_enough).await {
        Some(seen) => Ok(created(&location, shown(app, client, &seen.view).await?)),
        None => Ok(accepted(&location, Answer(pending))),
    }
}

/// An order of which nothing is known but that it was placed.
fn begun(id: &OrderId, priced: &Priced) -> Value {
    json!({
        "id": id,
        "status": "pending",
        "payment_status": "unpaid",
        "fulfilment_status": "unfulfilled",
        "items": priced.lines,
        "totals": priced.totals,
        "payments": [],
        "created_at": rfc3339(clock::now()),
    })
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
) -> Result<(OrderPlaced, Priced)> {
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
    let rules = app.settings.rules().carts;
    let shipping = Money::new(rules.shipping_minor, currency);
    let priced = pricing::price(&Basket {
        currency,
        lines: &lines,
        discounts: &[],
        shipping,
        shipping_tax_rate: rules.shipping_tax_rate,
    });
    let priced =
        priced.map_err(|error| Problem::field("/currency", "currency", error.to_string()))?;
    let expected_total = body.expected_total.map(|MoneyBody(total)| total);
    if expected_total.is_some_and(|expected| expected.currency != currency) {
        let message = format!("the order is in {currency}");
        let pointer = "/expected_total/currency";
        return Err(Problem::field(pointer, "currency", message));
    }
    if pricing::has_risen(expected_total, priced.totals.total) {
        return Err(price_changed(&priced));
    }
    let address = body.shipping_address.to_string();
    let placed = OrderPlaced {
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
        expected_total,
        near: Vec::new(),
    };
    Ok((placed, priced))
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

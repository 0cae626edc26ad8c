//! Carts: of users and, by a signed token, of guests.
//!
//! A user has one cart, whose id follows from the user's. A guest's is random, and its token is the
//! id with a signature. A request that bears both gives the guest's lines to the user's cart.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use millrace_avro::event::EventId;
use millrace_avro::events::carts::{
    AddCartItem, CartCommand, CartItemView, CartView, MergeCart, Quote, RemoveCartItem, SetCartItem,
};
use millrace_avro::events::inventory::StockPolicy;
use millrace_avro::keys::{CartId, Sku, UserId};
use millrace_avro::money::Money;
use serde::Deserialize;
use sha2::Sha256;
use tokio::time::timeout;

use super::{App, Market, Router, accepted};
use crate::http::auth::{Client, MaybeClient};
use crate::http::etag::{if_match, versioned};
use crate::http::extract::Path;
use crate::http::json::{Checks, Json};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::ports::{Message, ViewKey};

/// The header with a guest's token.
const CART_TOKEN: &str = "x-cart-token";

pub(super) fn router() -> Router {
    Router::new()
        .route("/api/cart", get(show))
        .route("/api/cart/items", post(add))
        .route("/api/cart/items/{id}", put(set).delete(remove))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewItem {
    sku: String,
    quantity: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    quantity: i64,
}

/// Signs and checks the tokens of guests' carts.
#[derive(Clone)]
pub(super) struct CartTokens {
    key: Vec<u8>,
}

impl CartTokens {
    pub(super) fn new(key: Vec<u8>) -> Self {
        Self { key }
    }

    fn sign(&self, cart: &CartId) -> String {
        let signature = self.mac(cart).finalize().into_bytes();
        format!("{cart}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn check(&self, token: &str) -> Option<CartId> {
        let (cart, signature) = token.rsplit_once('.')?;
        let cart = CartId::new(cart).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.mac(&cart).verify_slice(&signature).ok().map(|()| cart)
    }

    fn mac(&self, cart: &CartId) -> Hmac<Sha256> {
        // Invariant: HMAC takes keys of any length.
        let mac = Hmac::<Sha256>::new_from_slice(&self.key);
        let mut mac = mac.unwrap_or_else(|_| unreachable!("HMAC takes any key"));
        mac.update(cart.as_str().as_bytes());
        mac
    }
}

impl std::fmt::Debug for CartTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CartTokens")
    }
}

/// Whose cart a request is about.
struct Holder {
    cart: CartId,
    user: Option<UserId>,
    /// The token that a guest has not yet.
    fresh_token: Option<String>,
}

impl Holder {
    async fn of(app: &Market, client: Option<Client>, headers: &HeaderMap) -> Result<Self> {
        if let Some(client) = client {
            merge_guest(app, headers, &client.user).await?;
            let cart = cart_of(&client.user);
            return Ok(Self {
                cart,
                user: Some(client.user),
                fresh_token: None,
            });
        }
        let known = match headers.get(CART_TOKEN) {
            Some(token) => Some(guest_cart(app, token)?),
            None => None,
        };
        // A cart that was merged is the user's now: the guest begins anew.
        let is_merged = |cart: &CartId| {
            app.views
                .cart(cart)
                .is_some_and(|seen| seen.view.merged_into.is_some())
        };
        match known.filter(|cart| !is_merged(cart)) {
            Some(cart) => Ok(Self {
                cart,
                user: None,
                fresh_token: None,
            }),
            None => {
                let cart = key_of(&format!("guest_{}", EventId::random()));
                let fresh_token = Some(app.cart_tokens.sign(&cart));
                Ok(Self {
                    cart,
                    user: None,
                    fresh_token,
                })
            }
        }
    }

    fn actor(&self) -> &str {
        self.user
            .as_ref()
            .map_or(self.cart.as_str(), UserId::as_str)
    }
}

/// The cart of a user.
pub(super) fn cart_of(user: &UserId) -> CartId {
    key_of(&format!("cart_{user}"))
}

fn key_of(text: &str) -> CartId {
    // Invariant: a short prefix and an id that was made here are a valid key.
    CartId::new(text).unwrap_or_else(|_| unreachable!("a prefixed id is a key"))
}

fn guest_cart(app: &Market, token: &HeaderValue) -> Result<CartId> {
    let cart = token
        .to_str()
        .ok()
        .and_then(|token| app.cart_tokens.check(token));
    cart.ok_or_else(|| Problem::new(Kind::Malformed).detail("`X-Cart-Token` is not valid"))
}

/// Gives the lines of the guest's cart that `headers` name to the cart of `user`.
pub(super) async fn merge_guest(app: &Market, headers: &HeaderMap, user: &UserId) -> Result<()> {
    let token = headers.get(CART_TOKEN);
    let Some(guest) = token.and_then(|token| guest_cart(app, token).ok()) else {
        return Ok(());
    };
    let Some(seen) = app.views.cart(&guest) else {
        return Ok(());
    };
    if seen.view.merged_into.is_some() || seen.view.items.is_empty() {
        return Ok(());
    }
    let into = cart_of(user);
    if !can_take(app, &into, &seen.view) {
        return Ok(());
    }
    let merge = MergeCart {
        cart_id: guest.clone(),
        into: into.clone(),
        user_id: user.clone(),
    };
    let id = merge_id(&seen.view, &into);
    let meta = request::current().command(id, user.as_str());
    let message = Message::Cart(guest.clone(), CartCommand::Merge(merge));
    let wait = app.settings.times.command_wait;
    let merged = async {
        let Some(reply) = app.ask(meta, message, wait).await? else {
            return Ok(());
        };
        let given = || {
            let guest = app.views.cart(&guest);
            guest.filter(|cart| cart.view.version >= reply.version)
        };
        app.settled(&ViewKey::Cart(guest.clone()), given).await;
        let look = || {
            app.views
                .cart(&into)
                .filter(|cart| has_all(&cart.view, &seen.view))
        };
        app.settled(&ViewKey::Cart(into.clone()), look).await;
        Ok(())
    };
    // What is not merged in time is merged all the same, and seen later.
    timeout(wait, merged).await.unwrap_or(Ok(()))
}

/// The same for each repetition, so that two logins at once merge once; another one as soon as the
/// guest's cart has changed, so that a line that came later is merged as well. A cart that was
/// forgotten and filled again has its versions anew, but not its times.
fn merge_id(guest: &CartView, into: &CartId) -> EventId {
    let (version, at) = (guest.version, &guest.updated_at);
    let merge = format!("{}\n{into}\n{version}\n{at}", guest.id);
    EventId::derive(&EventId::new(merge), "cart.merge", 0)
}

/// Whether a cart may take a guest's lines: lines in two currencies have no sum, and there is place for
/// so many. Else the guest's cart stays as it is.
fn can_take(app: &Market, into: &CartId, guest: &CartView) -> bool {
    let Some(cart) = app.views.cart(into) else {
        return true;
    };
    let mine = &cart.view.items;
    let is_new = |line: &&CartItemView| !mine.iter().any(|mine| mine.sku == line.sku);
    let lines = mine.len() + guest.items.iter().filter(is_new).count();
    let has_sum = mine.is_empty() || cart.view.total.currency == guest.total.currency;
    has_sum && lines <= app.settings.rules().carts.lines_max
}

/// Whether a cart has every line of a guest's, in its number at least: what a merge leaves.
fn has_all(cart: &CartView, guest: &CartView) -> bool {
    let has = |line: &CartItemView| {
        let mut mine = cart.items.iter();
        mine.any(|mine| mine.sku == line.sku && mine.quantity >= line.quantity)
    };
    guest.items.iter().all(has)
}

async fn show(
    State(app): State<App>,
    MaybeClient(client): MaybeClient,
    headers: HeaderMap,
) -> Result<Response> {
    let is_nobody = client.is_none() && headers.get(CART_TOKEN).is_none();
    let mut holder = Holder::of(&app, client, &headers).await?;
    if is_nobody {
        // A guest gets a token with the first line.
        holder.fresh_token = None;
    }
    answer(&app, &holder).await
}

async fn add(
    State(app): State<App>,
    MaybeClient(client): MaybeClient,
    headers: HeaderMap,
    Json(body): Json<NewItem>,
) -> Result<Response> {
    let mut checks = Checks::new();
    let sku = checks.value("/sku", Sku::new(&body.sku));
    check_quantity(&app, &mut checks, 1, body.quantity);
    checks.done()?;
    let sku = sku.ok_or(Kind::InvalidFields)?;
    let quote = quote(&app, &sku).ok_or_else(unknown_sku)?;
    let expected_version = if_match(&headers, false)?;
    let holder = Holder::of(&app, client, &headers).await?;
    let add = AddCartItem {
        cart_id: holder.cart.clone(),
        user_id: holder.user.clone(),
        sku,
        quantity: body.quantity,
        quote,
        expected_version,
    };
    give(&app, &holder, CartCommand::AddItem(add)).await
}

async fn set(
    State(app): State<App>,
    MaybeClient(client): MaybeClient,
    Path(line_id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Quantity>,
) -> Result<Response> {
    let mut checks = Checks::new();
    check_quantity(&app, &mut checks, 0, body.quantity);
    checks.done()?;
    let expected_version = if_match(&headers, app.settings.limits.require_if_match)?;
    let holder = Holder::of(&app, client, &headers).await?;
    let sku = line_sku(&app, &holder, &line_id)?;
    let set = SetCartItem {
        cart_id: holder.cart.clone(),
        line_id,
        quantity: body.quantity,
        quote: quote(&app, &sku),
        expected_version,
    };
    give(&app, &holder, CartCommand::SetItem(set)).await
}

async fn remove(
    State(app): State<App>,
    MaybeClient(client): MaybeClient,
    Path(line_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let expected_version = if_match(&headers, app.settings.limits.require_if_match)?;
    let holder = Holder::of(&app, client, &headers).await?;
    line_sku(&app, &holder, &line_id)?;
    let remove = RemoveCartItem {
        cart_id: holder.cart.clone(),
        line_id,
        expected_version,
    };
    give(&app, &holder, CartCommand::RemoveItem(remove)).await
}

async fn give(app: &Market, holder: &Holder, command: CartCommand) -> Result<Response> {
    let meta = request::current().command(EventId::random(), holder.actor());
    let message = Message::Cart(holder.cart.clone(), command);
    let Some(reply) = app
        .ask(meta, message, app.settings.times.command_wait)
        .await?
    else {
        return Ok(accepted("/api/cart", answer(app, holder).await?));
    };
    let look = || {
        app.views
            .cart(&holder.cart)
            .filter(|seen| seen.view.version >= reply.version)
    };
    app.settled(&ViewKey::Cart(holder.cart.clone()), look).await;
    answer(app, holder).await
}

async fn answer(app: &Market, holder: &Holder) -> Result<Response> {
    let mut cart = match app.cart(&holder.cart).await? {
        Some(cart) => CartView::clone(&cart),
        None => empty_cart(app, holder),
    };
    for item in &mut cart.items {
        item.available = app.available(&item.sku).await;
    }
    let mut response = versioned(cart.version, &cart).into_response();
    let token = holder.fresh_token.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(token)) = token {
        response.headers_mut().insert(CART_TOKEN, token);
    }
    Ok(response)
}

fn empty_cart(app: &Market, holder: &Holder) -> CartView {
    let zero = Money::zero(app.settings.currency);
    CartView {
        id: holder.cart.clone(),
        user_id: holder.user.clone(),
        items: Vec::new(),
        subtotal: zero,
        discount: zero,
        tax: zero,
        shipping: zero,
        total: zero,
        merged_into: None,
        version: 0,
        updated_at: millrace_avro::events::common::rfc3339(crate::clock::now()),
        last_order: None,
    }
}

/// What the catalogue and the stock say of a SKU that is for sale.
fn quote(app: &Market, sku: &Sku) -> Option<Quote> {
    let product = app.views.product_of(sku)?.view;
    let variant = product
        .variants
        .iter()
        .find(|variant| variant.sku == *sku)?;
    let stock = app.views.stock(sku);
    product.active.then(|| Quote {
        product_id: product.id.clone(),
        name: product.name.clone(),
        unit_price: variant.price,
        tax_rate: product.tax_rate,
        available: stock.as_ref().map_or(0, |stock| stock.view.available),
        on_demand: stock.is_some_and(|stock| stock.view.policy != StockPolicy::Deny),
    })
}

fn unknown_sku() -> Problem {
    Problem::field("/sku", "unknown-sku", "not for sale")
}

fn line_sku(app: &Market, holder: &Holder, line_id: &str) -> Result<Sku> {
    let cart = app.views.cart(&holder.cart).ok_or(Kind::NotFound)?;
    let line = cart.view.items.iter().find(|item| item.id == line_id);
    line.map(|line| line.sku.clone())
        .ok_or_else(|| Kind::NotFound.into())
}

fn check_quantity(app: &Market, checks: &mut Checks, min: i64, quantity: i64) {
    let max = app.settings.rules().carts.quantity_max;
    let fits = (min..=max).contains(&quantity);
    checks.require(fits, "/quantity", "range", &format!("{min} to {max}"));
}

#[cfg(test)]
mod tests {
    use millrace_avro::money::Currency;

    use super::*;

    #[test]
    fn a_merge_is_repeated_under_its_id_until_the_cart_has_changed() {
        let cart = |name: &str, version| CartView {
            id: key_of(name),
            user_id: None,
            items: Vec::new(),
            subtotal: Money::zero(Currency::EUR),
            discount: Money::zero(Currency::EUR),
            tax: Money::zero(Currency::EUR),
            shipping: Money::zero(Currency::EUR),
            total: Money::zero(Currency::EUR),
            merged_into: None,
            version,
            updated_at: String::new(),
            last_order: None,
        };
        let into = key_of("cart_user");
        let id = merge_id(&cart("guest", 1), &into);
        assert_eq!(id, merge_id(&cart("guest", 1), &into));
        assert_ne!(id, merge_id(&cart("guest", 2), &into));
        assert_ne!(id, merge_id(&cart("other", 1), &into));
        let filled_again = CartView {
            updated_at: "2026-11-26T05:54:49Z".to_owned(),
            ..cart("guest", 1)
        };
        assert_ne!(id, merge_id(&filled_again, &into));
    }

    #[test]
    fn a_cart_token_that_was_changed_or_signed_elsewhere_is_refused() {
        let (ours, other) = (
            CartTokens::new(b"a".to_vec()),
            CartTokens::new(b"b".to_vec()),
        );
        let cart = CartId::new("guest_1").unwrap();
        let token = ours.sign(&cart);
        assert_eq!(ours.check(&token), Some(cart));
        assert_eq!(other.check(&token), None);
        assert_eq!(ours.check(&token.replace("guest_1", "guest_2")), None);
        assert_eq!(ours.check("guest_1"), None);
    }
}

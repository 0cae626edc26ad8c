//! What carts and stock levels look like in Redis: their keys, what is written, how it is read.

use std::collections::HashMap;

use millrace_avro::events::carts::{CartItemView, CartView};
use millrace_avro::events::inventory::StockView;
use millrace_avro::keys::{CartId, Sku, UserId};
use millrace_avro::money::Money;
use millrace_streams::log::Offset;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The fields of a hash.
pub(super) type Fields = HashMap<String, String>;

/// The stock of a SKU, as Redis has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedStock {
    /// What lies in all locations.
    pub on_hand: i64,
    /// What of it is reserved.
    pub reserved: i64,
    /// On hand less reserved.
    pub available: i64,
    /// The sequence number of the last fact.
    pub version: i64,
}

/// One change of a key: what it is from now on.
#[derive(Debug, Serialize)]
pub(super) struct Write {
    k: String,
    /// Names and values in turn; none to remove the key.
    f: Vec<String>,
}

/// A record's changes, as the script takes them.
#[derive(Serialize)]
pub(super) struct Writes {
    pub(super) o: Offset,
    pub(super) w: Vec<Write>,
}

/// Records of one partition, as the script takes them.
pub(super) struct Batch {
    pub(super) partition: String,
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// Whether the partition begins at `from`.
    pub(super) begins: bool,
    pub(super) records: Vec<String>,
}

pub(super) fn lines_key(cart: &CartId) -> String {
    format!("cart-lines:{cart}")
}

pub(super) fn totals_key(cart: &CartId) -> String {
    format!("cart-totals:{cart}")
}

pub(super) fn stock_key(sku: &Sku) -> String {
    format!("stock:{sku}")
}

/// An empty cart is shown like one that is forgotten: not at all.
pub(super) fn cart_writes(id: &CartId, cart: &Option<CartView>) -> Vec<Write> {
    let shown = cart.as_ref().filter(|cart| !cart.items.is_empty());
    let lines = shown.into_iter().flat_map(|cart| &cart.items);
    let lines = lines.flat_map(|item| [item.sku.to_string(), json(item)]);
    vec![
        Write {
            k: lines_key(id),
            f: lines.collect(),
        },
        Write {
            k: totals_key(id),
            f: shown.map_or_else(Vec::new, totals),
        },
    ]
}

fn totals(cart: &CartView) -> Vec<String> {
    let fields = [
        ("subtotal", json(&cart.subtotal)),
        ("discount", json(&cart.discount)),
        ("tax", json(&cart.tax)),
        ("shipping", json(&cart.shipping)),
        ("total", json(&cart.total)),
        ("version", cart.version.to_string()),
        ("updated_at", cart.updated_at.clone()),
    ];
    let user = cart
        .user_id
        .iter()
        .map(|user| ("user_id", user.to_string()));
    in_turn(fields.into_iter().chain(user))
}

pub(super) fn stock_writes(_sku: &Sku, stock: &StockView) -> Vec<Write> {
    let fields = [
        ("on_hand", stock.on_hand),
        ("reserved", stock.reserved),
        ("available", stock.available),
        ("version", stock.version),
    ];
    let fields = fields.map(|(name, number)| (name, number.to_string()));
    vec![Write {
        k: stock_key(&stock.sku),
        f: in_turn(fields),
    }]
}

fn in_turn(fields: impl IntoIterator<Item = (&'static str, String)>) -> Vec<String> {
    let both = |(name, value): (&str, String)| [name.to_owned(), value];
    fields.into_iter().flat_map(both).collect()
}

/// The cart of both hashes; `None` when one of them is not whole.
pub(super) fn read_cart(id: &CartId, lines: &Fields, totals: &Fields) -> Option<CartView> {
    let mut items: Vec<CartItemView> = lines
        .values()
        .map(|text| serde_json::from_str(text).ok())
        .collect::<Option<_>>()?;
    items.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
    let sum = |name| read_json::<Money>(totals, name);
    let user_id = totals.get("user_id").map(|user| UserId::new(user));
    Some(CartView {
        id: id.clone(),
        user_id: user_id.transpose().ok()?,
        items,
        subtotal: sum("subtotal")?,
        discount: sum("discount")?,
        tax: sum("tax")?,
        shipping: sum("shipping")?,
        total: sum("total")?,
        merged_into: None,
        version: read_json(totals, "version")?,
        updated_at: totals.get("updated_at")?.clone(),
        last_order: None,
    })
}

/// The stock of a hash; `None` when it is not whole.
pub(super) fn read_stock(fields: &Fields) -> Option<CachedStock> {
    let number = |name| read_json(fields, name);
    Some(CachedStock {
        on_hand: number("on_hand")?,
        reserved: number("reserved")?,
        available: number("available")?,
        version: number("version")?,
    })
}

fn read_json<T: DeserializeOwned>(fields: &Fields, name: &str) -> Option<T> {
    serde_json::from_str(fields.get(name)?).ok()
}

/// Records of text and numbers always have a form in JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

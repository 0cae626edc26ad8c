//! What the cart rule remembers of a cart, and what clients read.

use serde::{Deserialize, Serialize};

use super::CartLine;
use crate::events::common::Recent;
use crate::events::orders::Origin;
use crate::keys::{CartId, OrderId, ProductId, Sku, UserId};
use crate::money::Money;
use crate::{avro_data, avro_record};

/// What the cart rule remembers of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartState {
    /// The cart.
    pub cart_id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The lines, in the order in which they were added.
    pub lines: Vec<CartLine>,
    /// The cart that has taken its lines.
    pub merged_into: Option<CartId>,
    /// When a line last changed.
    pub changed_at_ms: i64,
    /// True when this idle spell was reported.
    pub abandoned: bool,
    /// The sequence number of the last fact.
    pub seq: i64,
    /// Where its correlation began.
    pub origin: Origin,
    /// Commands that were answered lately.
    pub recent: Recent,
    /// The last order that has taken lines out.
    pub last_order: Option<OrderId>,
}
avro_record!(
    CartState = "millrace.carts.CartState",
    "carts/CartState.avsc"
);
avro_data!(CartState);

/// A line of a cart, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartItemView {
    /// The line.
    pub id: String,
    /// What is wanted.
    pub sku: Sku,
    /// The product that the SKU is a variant of.
    pub product_id: ProductId,
    /// The name to show.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// The price of one, without tax.
    pub unit_price: Money,
    /// Price times quantity.
    pub line_total: Money,
    /// How many there were when the line last changed.
    pub available: i64,
}

/// A cart, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartView {
    /// The cart.
    pub id: CartId,
    /// The owner; none for a guest.
    pub user_id: Option<UserId>,
    /// The lines.
    pub items: Vec<CartItemView>,
    /// The lines, before discount and tax.
    pub subtotal: Money,
    /// What is taken off.
    pub discount: Money,
    /// The taxes.
    pub tax: Money,
    /// The shipping, before tax.
    pub shipping: Money,
    /// Subtotal - discount + tax + shipping.
    pub total: Money,
    /// The cart that has taken its lines.
    pub merged_into: Option<CartId>,
    /// The sequence number of the last fact.
    pub version: i64,
    /// When a line last changed, RFC 3339.
    pub updated_at: String,
    /// The last order that has taken lines out.
    pub last_order: Option<OrderId>,
}
avro_record!(CartView = "millrace.carts.CartView", "carts/CartView.avsc");
avro_data!(CartView);

//! What the records of carts are made of.

use serde::{Deserialize, Serialize};

use crate::keys::{ProductId, Sku};
use crate::money::{Money, Rate};

/// What the catalogue and the stock say about a SKU at the moment of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The product that the SKU is a variant of.
    pub product_id: ProductId,
    /// The name to show.
    pub name: String,
    /// The price of one, without tax.
    pub unit_price: Money,
    /// The tax rate, in millionths.
    pub tax_rate: Rate,
    /// How many there are.
    pub available: i64,
    /// True when demand beyond the stock is promised.
    pub on_demand: bool,
}

/// A line of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// The line; it is the same for the same SKU.
    pub id: String,
    /// What is wanted.
    pub sku: Sku,
    /// How many.
    pub quantity: i64,
    /// What the catalogue said when the line last changed.
    pub quote: Quote,
}

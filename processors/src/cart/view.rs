//! A cart as clients see it.

use millrace_avro::events::carts::{CartItemView, CartLine, CartState, CartView};
use millrace_avro::events::common::rfc3339;
use millrace_avro::events::orders::{PlacedLine, Totals};
use millrace_avro::money::{Currency, Money};
use millrace_streams::Timestamp;

use super::CartLimits;
use crate::pricing::{self, Basket, Priced};

/// The cart as clients see it.
///
/// Its lines have one currency and bounded amounts, which every change checks; should a sum be
/// impossible all the same, the sums are shown as nothing.
pub fn view(cart: &CartState, limits: &CartLimits) -> CartView {
    let currency = currency(cart, limits);
    let priced = price(&cart.lines, currency, limits);
    let totals = priced.map_or_else(|| nothing(currency), |priced| priced.totals);
    CartView {
        id: cart.cart_id.clone(),
        user_id: cart.user_id.clone(),
        items: cart.lines.iter().map(item).collect(),
        subtotal: totals.subtotal,
        discount: totals.discount,
        tax: totals.tax,
        shipping: totals.shipping,
        total: totals.total,
        merged_into: cart.merged_into.clone(),
        version: cart.seq,
        updated_at: rfc3339(Timestamp::from_millis(cart.changed_at_ms)),
        last_order: cart.last_order.clone(),
    }
}

/// The lines with all their amounts; `None` when they have no sum.
pub(super) fn price(lines: &[CartLine], currency: Currency, limits: &CartLimits) -> Option<Priced> {
    let shipping = match lines {
        [] => Money::zero(currency),
        _ => limits.shipping(currency),
    };
    let lines: Vec<PlacedLine> = lines.iter().map(placed).collect();
    let basket = Basket {
        currency,
        lines: &lines,
        discounts: &[],
        shipping,
        shipping_tax_rate: limits.shipping_tax_rate,
    };
    pricing::price(&basket).ok()
}

/// The currency of the lines.
pub(super) fn currency(cart: &CartState, limits: &CartLimits) -> Currency {
    let first = cart.lines.first();
    first.map_or(limits.currency, |line| line.quote.unit_price.currency)
}

fn placed(line: &CartLine) -> PlacedLine {
    PlacedLine {
        sku: line.sku.clone(),
        product_id: line.quote.product_id.clone(),
        name: line.quote.name.clone(),
        quantity: line.quantity,
        unit_price: line.quote.unit_price,
        tax_rate: line.quote.tax_rate,
    }
}

fn item(line: &CartLine) -> CartItemView {
    let price = line.quote.unit_price;
    CartItemView {
        id: line.id.clone(),
        sku: line.sku.clone(),
        product_id: line.quote.product_id.clone(),
        name: line.quote.name.clone(),
        quantity: line.quantity,
        unit_price: price,
        line_total: Money::new(price.minor.saturating_mul(line.quantity), price.currency),
        available: line.quote.available,
    }
}

fn nothing(currency: Currency) -> Totals {
    let nothing = Money::zero(currency);
    Totals {
        subtotal: nothing,
        discount: nothing,
        tax: nothing,
        shipping: nothing,
        total: nothing,
    }
}

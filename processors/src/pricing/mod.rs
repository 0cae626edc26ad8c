//! Pricing: the totals of a cart or an order, exact to the minor unit.
//!
//! - `subtotal` is the sum of price times quantity.
//! - `discount` is the sum of all reductions, each computed on what the ones before have left, and
//!   never more than that. It is split over the lines in proportion by the largest remainder.
//! - `tax` is the sum of the taxes of the lines, each rounded half-even on price less discount,
//!   and the tax on the shipping.
//! - `total` = subtotal - discount + tax + shipping.
//!
//! Line discounts and line taxes sum to the order's, because the order's are their sums.

use millrace_avro::events::orders::{Discount, OrderLine, PlacedLine, Totals};
use millrace_avro::money::{Amount, Currency, Ledger, Money, MoneyError, Rate, in_currency};

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Basket<'a> {
    /// The currency of every amount.
    pub currency: Currency,
    /// The lines.
    pub lines: &'a [PlacedLine],
    /// The reductions, in the order in which they apply.
    pub discounts: &'a [Discount],
    /// The shipping, before tax.
    pub shipping: Money,
    /// The tax rate of the shipping.
    pub shipping_tax_rate: Rate,
}

/// A basket with its prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The lines with their amounts.
    pub lines: Vec<OrderLine>,
    /// The sums.
    pub totals: Totals,
}

/// Computes all amounts of a basket.
///
/// # Errors
/// [`MoneyError::CurrencyMismatch`] when an amount is in another currency,
/// [`MoneyError::Overflow`] when a sum exceeds 64 bits.
pub fn price(basket: &Basket<'_>) -> Result<Priced, MoneyError> {
    in_currency(basket.currency, |ledger| price_in(ledger, basket))
}

/// What `pieces` of a line cost, less discount and with tax, when `before` of it were counted
/// before. However a line is cut, its parts sum to the line.
///
/// # Errors
/// As [`price`].
pub fn share_of_line(line: &OrderLine, before: i64, pieces: i64) -> Result<Money, MoneyError> {
    in_currency(line.line_total.currency, |ledger| {
        let whole =
            ledger.take(line.line_total)? - ledger.take(line.discount)? + ledger.take(line.tax)?;
        let up_to = |count: i64| {
            let weights = [one(ledger) * count, one(ledger) * (line.quantity - count)];
            ledger.allocate(whole, &weights).first().copied()
        };
        let (from, to) = (up_to(before), up_to(before + pieces));
        ledger.money(to.unwrap_or(ledger.zero()) - from.unwrap_or(ledger.zero()))
    })
}

/// True if the client saw a lower total: the price has risen. A fall passes on.
pub fn has_risen(expected: Option<Money>, total: Money) -> bool {
    expected.is_some_and(|seen| seen.currency != total.currency || seen.minor < total.minor)
}

fn one(ledger: Ledger<'_>) -> Amount<'_> {
    // Invariant: one minor unit of the ledger's own currency is always taken.
    let unit = Money::new(1, ledger.currency());
    ledger.take(unit).unwrap_or_else(|_| ledger.zero())
}

fn price_in(ledger: Ledger<'_>, basket: &Basket<'_>) -> Result<Priced, MoneyError> {
    let nets = basket
        .lines
        .iter()
        .map(|line| Ok(ledger.take(line.unit_price)? * line.quantity))
        .collect::<Result<Vec<_>, MoneyError>>()?;
    let subtotal: Amount<'_> = nets.iter().copied().sum();
    let discount = discount_of(ledger, subtotal, basket.discounts)?;
    let discounts = ledger.allocate(discount, &nets);
    let mut tax = ledger.zero();
    let mut lines = Vec::with_capacity(basket.lines.len());
    for ((line, net), discount) in basket.lines.iter().zip(&nets).zip(discounts) {
        let line_tax = (*net - discount).at(line.tax_rate);
        tax += line_tax;
        lines.push(priced_line(ledger, line, *net, discount, line_tax)?);
    }
    let shipping = ledger.take(basket.shipping)?;
    tax += shipping.at(basket.shipping_tax_rate);
    let totals = Totals {
        subtotal: ledger.money(subtotal)?,
        discount: ledger.money(discount)?,
        tax: ledger.money(tax)?,
        shipping: basket.shipping,
        total: ledger.money(subtotal - discount + tax + shipping)?,
    };
    Ok(Priced { lines, totals })
}

fn discount_of<'s>(
    ledger: Ledger<'s>,
    subtotal: Amount<'s>,
    discounts: &[Discount],
) -> Result<Amount<'s>, MoneyError> {
    let mut left = subtotal;
    for discount in discounts {
        let by_rate = left.at(discount.percent_off.unwrap_or_default());
        let by_amount = match discount.amount_off {
            Some(amount) => ledger.take(amount)?,
            None => ledger.zero(),
        };
        left -= (by_rate + by_amount).min(left).max(ledger.zero());
    }
    Ok(subtotal - left)
}

fn priced_line<'s>(
    ledger: Ledger<'s>,
    line: &PlacedLine,
    net: Amount<'s>,
    discount: Amount<'s>,
    tax: Amount<'s>,
) -> Result<OrderLine, MoneyError> {
    Ok(OrderLine {
        sku: line.sku.clone(),
        product_id: line.product_id.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        tax_rate: line.tax_rate,
        discount: ledger.money(discount)?,
        tax: ledger.money(tax)?,
        line_total: ledger.money(net)?,
        shipped: 0,
        cancelled: 0,
    })
}

#[cfg(test)]
mod tests;

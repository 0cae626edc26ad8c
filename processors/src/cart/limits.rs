//! The times and counts that bound a cart.

use std::time::Duration;

use millrace_avro::money::{Currency, Money, Rate};

/// The times and counts that bound a cart, and what shipping costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartLimits {
    /// After which time without a change a cart counts as abandoned.
    pub idle_after: Duration,
    /// After which time without a change a cart is forgotten.
    pub keep_for: Duration,
    /// How many lines a cart may have.
    pub lines_max: usize,
    /// How many pieces a line may have.
    pub quantity_max: i64,
    /// How many commands a cart remembers, to know a duplicate.
    pub recent_max: usize,
    /// The currency of an empty cart's sums.
    pub currency: Currency,
    /// What shipping costs, in minor units of the cart's currency.
    pub shipping_minor: i64,
    /// The tax rate of the shipping.
    pub shipping_tax_rate: Rate,
}

impl Default for CartLimits {
    fn default() -> Self {
        Self {
            idle_after: Duration::from_secs(60 * 60),
            keep_for: Duration::from_secs(30 * 24 * 60 * 60),
            lines_max: 100,
            quantity_max: 999,
            recent_max: 32,
            currency: Currency::EUR,
            shipping_minor: 0,
            shipping_tax_rate: Rate::ZERO,
        }
    }
}

impl CartLimits {
    /// What shipping costs in a currency.
    pub fn shipping(&self, currency: Currency) -> Money {
        Money::new(self.shipping_minor, currency)
    }
}

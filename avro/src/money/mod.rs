//! Money: integer minor units with a currency, and arithmetic that cannot mix two currencies.
//!
//! A [`Money`] is what a record carries. It has no `+`: two of them may differ in currency, and
//! only running code could tell. Sums happen inside [`in_currency`], which checks each value once
//! at the door and hands out [`Amount`]s that are branded with that one scope. Amounts of two
//! scopes have different types, so adding them does not compile; amounts of one scope are plain
//! integers of 128 bits, so a sum of every order ever placed does not overflow.
//!
//! ```
//! use millrace_avro::money::{Currency, Money, Rate, in_currency};
//!
//! let price = Money::new(1999, Currency::EUR);
//! let total = in_currency(Currency::EUR, |euro| {
//!     let net = euro.take(price)? * 3;
//!     euro.money(net + net.at(Rate::percent("19")?))
//! })?;
//! assert_eq!(total, Money::new(7136, Currency::EUR));
//! assert_eq!(total.to_string(), "71.36 EUR");
//! # Ok::<(), millrace_avro::money::MoneyError>(())
//! ```
//!
//! ```compile_fail
//! use millrace_avro::money::{Currency, Money};
//!
//! let _ = Money::new(1, Currency::EUR) + Money::new(1, Currency::USD);
//! ```
//!
//! ```compile_fail
//! use millrace_avro::money::{Currency, in_currency};
//!
//! in_currency(Currency::EUR, |euro| {
//!     in_currency(Currency::USD, |dollar| euro.zero() + dollar.zero());
//! });
//! ```

mod currency;
mod ledger;
mod rate;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use currency::Currency;
pub use ledger::{Amount, Ledger, in_currency};
pub use rate::Rate;

/// An amount of money in the minor unit of its currency: cents of EUR, whole JPY, fils of KWD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The amount in minor units; negative for what is owed the other way.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// `minor` minor units of `currency`.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// True for an amount of nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] for two currencies, [`MoneyError::Overflow`] beyond 64 bits.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        in_currency(self.currency, |ledger| {
            ledger.money(ledger.take(self)? + ledger.take(other)?)
        })
    }

    /// The difference.
    ///
    /// # Errors
    /// As [`Money::plus`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        in_currency(self.currency, |ledger| {
            ledger.money(ledger.take(self)? - ledger.take(other)?)
        })
    }
}

/// Prints the amount with the currency's decimals: `19.99 EUR`, `500 JPY`, `1.250 KWD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.currency.exponent());
        let unit = 10_u64.pow(u32::from(self.currency.exponent()));
        let sign = if self.minor < 0 { "-" } else { "" };
        let size = self.minor.unsigned_abs();
        write!(f, "{sign}{}", size / unit)?;
        if decimals > 0 {
            write!(f, ".{:0decimals$}", size % unit)?;
        }
        write!(f, " {}", self.currency)
    }
}

/// Why amounts could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Two currencies where one was expected.
    #[error("amount in {found} where {expected} is expected; convert it first")]
    CurrencyMismatch {
        /// The currency of the computation.
        expected: Currency,
        /// The currency of the amount.
        found: Currency,
    },
    /// The result does not fit 64 bits of minor units.
    #[error("amount beyond 64 bits of minor units")]
    Overflow,
    /// The text names no currency of ISO 4217.
    #[error("unknown currency `{code}`; use a code of ISO 4217, as `EUR`")]
    UnknownCurrency {
        /// The text.
        code: String,
    },
    /// The text is not a decimal with at most six places.
    #[error("malformed rate `{text}`; write a decimal, as `0.19`")]
    MalformedRate {
        /// The text.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_prints_with_the_decimals_of_its_currency() {
        let currency = |code| Currency::new(code).unwrap();
        for (minor, code, text) in [
            (1999, "EUR", "19.99 EUR"),
            (-5, "USD", "-0.05 USD"),
            (500, "JPY", "500 JPY"),
            (1250, "KWD", "1.250 KWD"),
            (i64::MIN, "JPY", "-9223372036854775808 JPY"),
        ] {
            assert_eq!(Money::new(minor, currency(code)).to_string(), text);
        }
    }

    #[test]
    fn sums_of_two_currencies_and_sums_beyond_64_bits_are_errors() {
        let euro = Money::new(i64::MAX, Currency::EUR);
        assert_eq!(
            euro.plus(Money::new(1, Currency::USD)),
            Err(MoneyError::CurrencyMismatch {
                expected: Currency::EUR,
                found: Currency::USD
            })
        );
        assert_eq!(
            euro.plus(Money::new(1, Currency::EUR)),
            Err(MoneyError::Overflow)
        );
        assert_eq!(euro.minus(euro), Ok(Money::zero(Currency::EUR)));
    }
}

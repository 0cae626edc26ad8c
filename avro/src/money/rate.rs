//! Exact decimal rates: taxes, percentages off.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MoneyError;

const ONE: i64 = 1_000_000;

/// An exact decimal factor in millionths: 19 % is 190 000, the 8.875 % of New York is 88 750.
///
/// In records it is that integer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rate(i64);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The whole.
    pub const WHOLE: Self = Self(ONE);

    /// A rate of `ppm` millionths.
    pub const fn ppm(ppm: i64) -> Self {
        Self(ppm)
    }

    /// A rate of `points` basis points: 1900 is 19 %.
    pub const fn basis_points(points: i32) -> Self {
        Self(points as i64 * 100)
    }

    /// A rate from a percentage, as `"8.875"`; at most four decimals.
    ///
    /// # Errors
    /// [`MoneyError::MalformedRate`].
    pub fn percent(text: &str) -> Result<Self, MoneyError> {
        parse(text, 4).map(Self)
    }

    /// Millionths.
    pub const fn as_ppm(self) -> i64 {
        self.0
    }

    /// `amount` times this rate, rounded half-even.
    pub(super) fn of(self, amount: i128) -> i128 {
        half_even(amount.saturating_mul(i128::from(self.0)), i128::from(ONE))
    }
}

/// Reads a factor, as `"0.19"`; at most six decimals.
impl FromStr for Rate {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse(text, 6).map(Self)
    }
}

/// Prints a percentage without trailing zeros: `8.875%`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        let decimals = format!("{:04}", size % 10_000);
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{point}{decimals}%", size / 10_000)
    }
}

/// Reads a decimal as an integer scaled by `10^places`.
fn parse(text: &str, places: usize) -> Result<i64, MoneyError> {
    let malformed = || MoneyError::MalformedRate { text: text.into() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) || part.len() > places {
        return Err(malformed());
    }
    let size: i64 = format!("{whole}{part:0<places$}")
        .parse()
        .map_err(|_| malformed())?;
    Ok(if digits.len() < text.len() {
        -size
    } else {
        size
    })
}

/// `value / unit`, of two equally near integers the even one; `unit` is positive and even.
fn half_even(value: i128, unit: i128) -> i128 {
    let (floor, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let up = rest > unit / 2 || (rest == unit / 2 && floor % 2 != 0);
    floor + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_even() {
        let half = Rate::percent("50").unwrap();
        for (amount, rounded) in [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (4, 2)] {
            assert_eq!(half.of(amount), rounded, "half of {amount}");
        }
    }

    #[test]
    fn rates_are_read_exactly_and_print_as_percentages() {
        assert_eq!(Rate::percent("8.875").unwrap(), Rate::ppm(88_750));
        assert_eq!("0.19".parse::<Rate>().unwrap(), Rate::basis_points(1900));
        assert_eq!("-1".parse::<Rate>().unwrap(), Rate::ppm(-ONE));
        assert_eq!(Rate::ppm(88_750).to_string(), "8.875%");
        assert_eq!(Rate::basis_points(1900).to_string(), "19%");
    }

    #[test]
    fn text_that_is_not_an_exact_decimal_is_refused() {
        for text in ["", ".", "1e3", "0.1234567", "1,5", "+1", "--1", "nan"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}

//! Sums within one currency, where mixing two does not compile.

use std::iter::Sum;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use super::{Currency, Money, MoneyError, Rate};

/// Makes `'scope` invariant, so that no two scopes are ever taken for one another.
type Brand<'scope> = PhantomData<fn(&'scope ()) -> &'scope ()>;

/// Runs `compute` with a ledger of one currency.
///
/// The lifetime `'scope` is new for each call and brands the amounts of this ledger.
pub fn in_currency<R>(
    currency: Currency,
    compute: impl for<'scope> FnOnce(Ledger<'scope>) -> R,
) -> R {
    compute(Ledger {
        currency,
        brand: PhantomData,
    })
}

/// The door between [`Money`] and the [`Amount`]s of one currency.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'scope> {
    currency: Currency,
    brand: Brand<'scope>,
}

impl<'scope> Ledger<'scope> {
    /// The currency of every amount of this ledger.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Nothing.
    pub fn zero(self) -> Amount<'scope> {
        Amount::new(0)
    }

    /// Takes money in.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] for money of another currency.
    pub fn take(self, money: Money) -> Result<Amount<'scope>, MoneyError> {
        if money.currency == self.currency {
            Ok(Amount::new(i128::from(money.minor)))
        } else {
            Err(MoneyError::CurrencyMismatch {
                expected: self.currency,
                found: money.currency,
            })
        }
    }

    /// Hands money out.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] for an amount beyond 64 bits.
    pub fn money(self, amount: Amount<'scope>) -> Result<Money, MoneyError> {
        let minor = i64::try_from(amount.minor).map_err(|_| MoneyError::Overflow)?;
        Ok(Money::new(minor, self.currency))
    }

    /// Splits `amount` in proportion to `weights` by the largest remainder: the parts sum to the
    /// amount to the minor unit, and among equal remainders the earlier part gets the unit.
    ///
    /// Negative weights count as zero; if all are zero, the first part takes everything.
    pub fn allocate(
        self,
        amount: Amount<'scope>,
        weights: &[Amount<'scope>],
    ) -> Vec<Amount<'scope>> {
        let weights: Vec<i128> = weights.iter().map(|weight| weight.minor.max(0)).collect();
        split(amount.minor, &weights)
            .into_iter()
            .map(Amount::new)
            .collect()
    }
}

fn split(amount: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().fold(0, |sum, w| sum.saturating_add(*w));
    if sum == 0 {
        let rest = std::iter::repeat_n(0, weights.len().saturating_sub(1));
        let first = (!weights.is_empty()).then_some(amount);
        return first.into_iter().chain(rest).collect();
    }
    let share = |weight: &i128| amount.saturating_mul(*weight);
    let mut parts: Vec<i128> = weights.iter().map(|w| share(w).div_euclid(sum)).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(share(&weights[i]).rem_euclid(sum)));
    let given: i128 = parts.iter().sum();
    let missing = usize::try_from(amount - given).unwrap_or(0);
    for &index in order.iter().take(missing) {
        parts[index] += 1;
    }
    parts
}

/// An amount within one [`in_currency`] scope, in minor units of 128 bits.
///
/// Arithmetic saturates far beyond any money there is; [`Ledger::money`] then answers with an
/// error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount<'scope> {
    minor: i128,
    brand: Brand<'scope>,
}

impl Amount<'_> {
    const fn new(minor: i128) -> Self {
        Self {
            minor,
            brand: PhantomData,
        }
    }

    /// True for nothing.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// This amount at a rate, rounded half-even to the minor unit.
    #[must_use]
    pub fn at(self, rate: Rate) -> Self {
        Self::new(rate.of(self.minor))
    }
}

impl Add for Amount<'_> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.minor.saturating_add(other.minor))
    }
}

impl Sub for Amount<'_> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.minor.saturating_sub(other.minor))
    }
}

impl Neg for Amount<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        Self::new(self.minor.saturating_neg())
    }
}

impl AddAssign for Amount<'_> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Amount<'_> {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Mul<i64> for Amount<'_> {
    type Output = Self;

    fn mul(self, times: i64) -> Self {
        Self::new(self.minor.saturating_mul(i128::from(times)))
    }
}

impl Sum for Amount<'_> {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::new(0), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole_and_the_largest_remainder_gets_the_unit() {
        for (amount, weights, parts) in [
            (100, vec![1, 1, 1], vec![34, 33, 33]),
            (10, vec![3, 3, 4], vec![3, 3, 4]),
            (5, vec![0, 0], vec![5, 0]),
            (-100, vec![1, 1, 1], vec![-33, -33, -34]),
            (1, vec![999, 1000], vec![0, 1]),
            (7, vec![], vec![]),
        ] {
            let split = split(amount, &weights);
            assert_eq!(split.len(), parts.len());
            assert_eq!(split.iter().sum::<i128>(), parts.iter().sum::<i128>());
            if amount > 0 {
                assert_eq!(split, parts, "{amount} by {weights:?}");
            }
        }
    }

    #[test]
    fn money_of_another_currency_stays_at_the_door() {
        in_currency(Currency::JPY, |yen| {
            assert!(yen.take(Money::new(1, Currency::KWD)).is_err());
            let all = [3, 4].map(|minor| yen.take(Money::new(minor, Currency::JPY)).unwrap());
            let sum = all.into_iter().sum();
            assert_eq!(yen.money(sum), Ok(Money::new(7, Currency::JPY)));
        });
    }
}

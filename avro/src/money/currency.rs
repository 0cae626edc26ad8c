//! Currencies: the active codes of ISO 4217 and their number of decimals.

use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use super::MoneyError;

/// A currency of ISO 4217.
///
/// It is three bytes and cheap to copy. In records it is its code, as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The codes whose minor unit is a hundredth.
const TWO_DECIMALS: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL \
    BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP \
    GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK \
    LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR \
    NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN \
    SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG";
/// The codes without a minor unit.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
/// The codes whose minor unit is a thousandth.
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");
    /// The dollar of the United States.
    pub const USD: Self = Self(*b"USD");
    /// The yen, which has no minor unit.
    pub const JPY: Self = Self(*b"JPY");
    /// The Kuwaiti dinar, which has a thousand fils.
    pub const KWD: Self = Self(*b"KWD");

    /// The currency of an upper-case code.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] when ISO 4217 has no such code.
    pub fn new(code: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency { code: code.into() };
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| unknown())?;
        let listed = [TWO_DECIMALS, NO_DECIMALS, THREE_DECIMALS]
            .iter()
            .any(|list| lists(list, bytes));
        listed.then_some(Self(bytes)).ok_or_else(unknown)
    }

    /// The number of decimals of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        match self.0 {
            code if lists(NO_DECIMALS, code) => 0,
            code if lists(THREE_DECIMALS, code) => 3,
            _ => 2,
        }
    }

    /// The code.
    pub fn code(&self) -> &str {
        // Invariant: only codes of the lists above are ever stored, and they are ASCII.
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

fn lists(list: &str, code: [u8; 3]) -> bool {
    list.split(' ').any(|listed| listed.as_bytes() == code)
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&code).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_iso_4217() {
        for (code, exponent) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("ISK", 0), ("HUF", 2)] {
            assert_eq!(Currency::new(code).unwrap().exponent(), exponent, "{code}");
        }
    }

    #[test]
    fn a_code_that_is_not_listed_is_refused() {
        for code in ["eur", "EURO", "", "ZZZ", "€"] {
            assert!(Currency::new(code).is_err(), "{code}");
        }
    }
}

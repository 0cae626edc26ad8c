//! A span of time as people write it: `250ms`, `2s`, `15m`, `1h`, `30d`.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A span of time, from text such as `2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no span of time; write a number and ms, s, m, h or d");
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let (digits, unit) = text.split_at(end);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refuse()),
        };
        let number: u64 = digits.parse().map_err(|_| refuse())?;
        number
            .checked_mul(unit_ms)
            .map(Duration::from_millis)
            .map(Self)
            .ok_or_else(refuse)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, ms) in [
            ("250ms", 250),
            ("2s", 2000),
            ("15m", 900_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 s",
            "2w",
            "99999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}

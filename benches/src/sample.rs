//! The records that are measured with: the same in every run, and simple enough for any language.
//!
//! The key is `user-0012345`. The value has 150 bytes: an instant in nanoseconds and an amount, both
//! big-endian 64-bit integers, then filler that compresses about as text does.

use std::num::Wrapping;

use millrace_streams::Timestamp;
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::serde::{Data, Plain, Presence, Serde, SerdeContext, SerdeError};

/// The length of a value, in bytes.
pub const VALUE_BYTES: usize = 150;

/// Amounts are below this.
const AMOUNTS: u64 = 1_000;
/// The timestamp of the first record, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_700_000_000_000;
/// How far the timestamps of one run reach, in milliseconds.
const SPAN_MS: i64 = 600_000;

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The timestamp, never smaller than the one before.
    pub timestamp: Timestamp,
}

/// `count` records over `keys` keys, evenly spread.
pub fn samples(count: u64, keys: u64) -> impl Iterator<Item = Sample> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    (0..count).map(move |index| {
        let ms = BEGIN_MS + (index * SPAN_MS.unsigned_abs() / count) as i64;
        Sample {
            key: format!("user-{:07}", random.next() % keys),
            value: value(ms, (random.next() % AMOUNTS) as i64, &mut random),
            timestamp: Timestamp::from_millis(ms),
        }
    })
}

fn value(ms: i64, amount: i64, random: &mut Random) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_BYTES + 8);
    value.extend_from_slice(&(ms * 1_000_000).to_be_bytes());
    value.extend_from_slice(&amount.to_be_bytes());
    while value.len() < VALUE_BYTES {
        let letters = random.next().to_le_bytes().map(|byte| b'a' + (byte & 15));
        value.extend_from_slice(&letters);
    }
    value.truncate(VALUE_BYTES);
    value
}

/// The instant in a value, in nanoseconds since 1970.
pub fn instant(value: &[u8]) -> i64 {
    integer(value, 0)
}

/// The amount in a value.
pub fn amount(value: &[u8]) -> i64 {
    integer(value, 8)
}

/// The same value with twice the amount.
pub fn doubled(value: &[u8]) -> Vec<u8> {
    let mut changed = value.to_vec();
    if let Some(amount) = changed.get_mut(8..16) {
        amount.copy_from_slice(&(integer(value, 8) * 2).to_be_bytes());
    }
    changed
}

/// Whether a doubled value is kept: nine of ten are.
pub fn is_kept(doubled: &[u8]) -> bool {
    amount(doubled) % 20 != 0
}

fn integer(bytes: &[u8], at: usize) -> i64 {
    let field = bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, i64::from_be_bytes)
}

/// The records of one key, folded: 24 bytes, three big-endian integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// The instant of the last record.
    pub instant: i64,
    /// The number of records.
    pub count: i64,
    /// The sum of their amounts.
    pub sum: i64,
}

impl Total {
    /// The total with one more record.
    #[must_use]
    pub fn with(self, value: &[u8]) -> Self {
        Self {
            instant: instant(value),
            count: self.count + 1,
            sum: self.sum + amount(value),
        }
    }

    /// The bytes of the total.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let fields = [self.instant, self.count, self.sum];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }
}

impl Data for Total {
    type Serde = Plain24;

    fn serde(_: &SerdeContext<'_>) -> Result<Plain24, SerdeError> {
        Ok(Plain24(Plain))
    }
}

/// The serde of [`Total`].
#[derive(Clone, Copy, Debug)]
pub struct Plain24(Plain);

impl Serde<Total> for Plain24 {
    fn serialize(
        &mut self,
        total: &Total,
        _: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        out.extend_from_slice(&total.to_bytes());
        Ok(Presence::Value)
    }

    fn deserialize(&mut self, bytes: Option<&[u8]>, _: Headers<'_>) -> Result<Total, SerdeError> {
        let bytes = bytes.ok_or(SerdeError::Null { what: "Total" })?;
        Ok(Total {
            instant: integer(bytes, 0),
            count: integer(bytes, 8),
            sum: integer(bytes, 16),
        })
    }
}

/// Xorshift with a multiplication: quick, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (Wrapping(self.0) * Wrapping(0x9e37_79b9_7f4a_7c15)).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_same_in_every_run() {
        let once: Vec<_> = samples(100, 10).collect();
        assert_eq!(once, samples(100, 10).collect::<Vec<_>>());
        assert!(once.iter().all(|sample| sample.key.len() == 12));
        assert!(once.iter().all(|sample| sample.value.len() == VALUE_BYTES));
    }

    #[test]
    fn doubling_changes_the_amount_alone() {
        for sample in samples(10, 10) {
            let changed = doubled(&sample.value);
            assert_eq!(amount(&changed), 2 * amount(&sample.value));
            assert_eq!(changed[..8], sample.value[..8]);
            assert_eq!(changed[16..], sample.value[16..]);
        }
    }

    #[test]
    fn nine_of_ten_are_kept() {
        let kept = samples(10_000, 10).filter(|sample| is_kept(&doubled(&sample.value)));
        let kept = kept.count();
        assert!((8_800..9_200).contains(&kept), "{kept}");
    }
}

//! A hash over the history of a simulated log: the same seed gives the same digest.

use super::partition::ProducerKey;
use super::rng::mix;
use crate::log::RawRecord;

/// Mixes numbers and bytes, in order, into 64 bits.
#[derive(Debug)]
pub(super) struct Digest {
    state: u64,
}

impl Digest {
    pub(super) const fn new() -> Self {
        Self { state: 0 }
    }

    pub(super) const fn number(&mut self, number: i64) {
        let rotated = self.state.rotate_left(5).wrapping_add(1);
        self.state = mix(rotated ^ number.cast_unsigned());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.len(Some(bytes.len()));
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.number(i64::from_le_bytes(*word));
        }
        for byte in tail {
            self.number(i64::from(*byte));
        }
    }

    pub(super) fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.len(None),
        }
    }

    pub(super) fn producer(&mut self, producer: Option<ProducerKey>) {
        let (id, epoch) = producer.map_or((u64::MAX, -1), |key| (key.id, key.epoch));
        self.number(id.cast_signed());
        self.number(i64::from(epoch));
    }

    pub(super) fn record(&mut self, record: &RawRecord<'_>) {
        self.number(record.offset);
        self.number(record.timestamp.as_millis());
        self.bytes(record.headers.encoded());
        self.optional(record.key);
        self.optional(record.value);
    }

    pub(super) const fn finish(&self) -> u64 {
        self.state
    }

    fn len(&mut self, len: Option<usize>) {
        self.number(len.map_or(-1, |len| i64::try_from(len).unwrap_or(i64::MAX)));
    }
}

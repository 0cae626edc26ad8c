//! The one source of chance of a simulated log: SplitMix64.

/// Sebastiano Vigna's SplitMix64: tiny, and good enough to decide faults.
#[derive(Clone, Debug)]
pub(super) struct Rng {
    state: u64,
}

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        // Both casts keep the value: the remainder is below a `usize`.
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        const BITS: u32 = 53;
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits fit a double's mantissa"
        )]
        let unit = (self.next() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64;
        unit < probability
    }
}

/// SplitMix64's finalizer: a bijection that spreads every bit of its input.
pub(super) const fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // First outputs of the reference implementation for the seed 1234567.
    #[test]
    fn the_sequence_is_the_reference_sequence() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chance_follows_the_probability() {
        let mut rng = Rng::new(1);
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
    }
}

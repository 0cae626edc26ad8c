//! Which partition a key belongs to: Kafka's murmur2, as Java's default partitioner computes it.

/// The partition of a record with this key among `partitions` (at least 1).
///
/// Equals `Utils.toPositive(Utils.murmur2(key)) % partitions` of Kafka's Java client, so a key
/// lands where a Kafka Streams application puts it.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Austin Appleby's `MurmurHash2`, 32 bits, with the seed that Kafka uses.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka takes the length modulo 2^32; a key is never that long.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the algorithm works modulo 2^32"
    )]
    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> R)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values of `UtilsTest.testMurmur2` in Kafka's clients.
    #[test]
    fn murmur2_gives_the_values_of_the_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn a_partition_is_never_negative() {
        assert!((0..7).contains(&partition_of(b"21", 7)));
    }
}

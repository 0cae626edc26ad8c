//! Where a store's content comes from: what tells whether it may still be rolled forward.

/// The changelog that a store follows, and when the store had last come to its end.
///
/// The engine sets it, and each flush writes it down. After a restart it tells a changelog that was
/// made anew from the one before, and a store that is older than its changelog's tombstones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Tells the changelog from all others; `None` if it is not known.
    pub changelog: Option<u128>,
    /// When the store was last known to hold all of the changelog, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The changelog, 0 for an unknown one, and the time, big-endian.
pub(crate) const ORIGIN_BYTES: usize = 24;

/// A store that has nothing else to flush writes the time down this often.
const WRITTEN_EVERY_MS: u64 = 3_600_000;

impl Origin {
    pub(crate) fn encode(self) -> [u8; ORIGIN_BYTES] {
        let mut bytes = [0; ORIGIN_BYTES];
        let (changelog, at) = bytes.split_at_mut(16);
        changelog.copy_from_slice(&self.changelog.unwrap_or(0).to_be_bytes());
        at.copy_from_slice(&self.at_ms.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; ORIGIN_BYTES]) -> Option<Self> {
        let (changelog, at) = bytes.split_first_chunk::<16>()?;
        let changelog = u128::from_be_bytes(*changelog);
        Some(Self {
            changelog: (changelog != 0).then_some(changelog),
            at_ms: i64::from_be_bytes(at.try_into().ok()?),
        })
    }

    /// True if this says more than `written` does than can wait for the next change.
    pub(crate) fn is_news(self, written: Option<Self>) -> bool {
        written.is_none_or(|written| {
            written.changelog != self.changelog
                || written.at_ms.abs_diff(self.at_ms) >= WRITTEN_EVERY_MS
        })
    }
}

//! Time and chance, where requests enter: the only place of this crate that reads either.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_streams::Timestamp;
use rand::RngCore as _;

/// The wall-clock time.
#[expect(clippy::disallowed_methods, reason = "this module owns the clock")]
pub fn now() -> Timestamp {
    // A clock before 1970 is treated as 1970.
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(0) + since_epoch
}

/// `N` random bytes, fit for keys.
#[expect(clippy::disallowed_methods, reason = "this module owns chance")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// 256 random bits as text that needs no escaping: a token that nobody guesses.
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<32>())
}

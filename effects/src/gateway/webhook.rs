//! Signed webhooks: HMAC-SHA256 over the time and the body, so that nobody else can speak for a
//! gateway, and nobody can repeat an old one.
//!
//! The header is `Millrace-Signature: t=SECONDS,v1=HEX`; what is signed is `SECONDS.BODY`.
//!
//! ```
//! use millrace_effects::gateway::webhook::{Secret, TOLERANCE};
//! use millrace_streams::Timestamp;
//!
//! let (secret, now) = (Secret::new("whsec"), Timestamp::from_millis(1_700_000_000_000));
//! let header = secret.sign(now, b"{}");
//! assert!(secret.verify(&header, b"{}", now, TOLERANCE).is_ok());
//! assert!(secret.verify(&header, b"{ }", now, TOLERANCE).is_err());
//! ```

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, Mac};
use millrace_streams::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Answer;

/// The header that carries the signature.
pub const SIGNATURE: &str = "Millrace-Signature";
/// How far the time of a signature may be from the receiver's: a day, because a webhook that comes
/// late is as welcome as any, and one that comes twice changes nothing.
pub const TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many signatures one header may carry: one, or two while a secret is exchanged, and some to
/// spare.
const SIGNATURES_MAX: usize = 8;

/// What a gateway and the market share.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// A webhook's body: what a gateway tells by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same when it is sent again.
    pub id: String,
    /// What it is about.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The header is not of the form `t=SECONDS,v1=HEX`.
    #[error("malformed signature header")]
    Malformed,
    /// The signature is of another secret or body.
    #[error("the signature does not match the body")]
    Mismatch,
    /// It was signed too long ago, or in the future.
    #[error("the signature is too old, or from the future")]
    OutOfTime,
    /// The body is not a notice.
    #[error("the body is not a notice of a gateway")]
    Body,
}

impl Secret {
    /// A secret from text.
    pub fn new(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The header that goes with a body.
    pub fn sign(&self, now: Timestamp, body: &[u8]) -> String {
        let seconds = now.as_millis().div_euclid(1_000);
        let signature = self.mac(seconds, body).finalize().into_bytes();
        format!("t={seconds},v1={}", hex::encode(signature))
    }

    /// Checks a body against its header; of several signatures, 8 at most, one has to match.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(
        &self,
        header: &str,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), VerifyError> {
        let (mut seconds, mut signatures) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", text)) => seconds = text.parse::<i64>().ok(),
                Some(("v1", _)) if signatures.len() == SIGNATURES_MAX => {
                    return Err(VerifyError::Malformed);
                }
                Some(("v1", text)) => signatures.push(signature(text)?),
                // Signatures of schemes to come.
                Some(_) => {}
                None => return Err(VerifyError::Malformed),
            }
        }
        let seconds = seconds.ok_or(VerifyError::Malformed)?;
        let mac = self.mac(seconds, body);
        // The comparison takes the same time whatever the signature.
        let matches = |signature: &[u8; 32]| mac.clone().verify_slice(signature).is_ok();
        if !signatures.iter().any(matches) {
            return Err(VerifyError::Mismatch);
        }
        let signed = Timestamp::from_millis(seconds.saturating_mul(1_000));
        match signed.since(now).max(now.since(signed)) <= tolerance {
            true => Ok(()),
            false => Err(VerifyError::OutOfTime),
        }
    }

    /// Checks a body, and reads it.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn open(
        &self,
        header: &str,
        body: &[u8],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<Notice, VerifyError> {
        self.verify(header, body, now, tolerance)?;
        serde_json::from_slice(body).map_err(|_| VerifyError::Body)
    }

    fn mac(&self, seconds: i64, body: &[u8]) -> Hmac<Sha256> {
        // Invariant: HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn signature(text: &str) -> Result<[u8; 32], VerifyError> {
    let mut bytes = [0; 32];
    let decoded = hex::decode_to_slice(text, &mut bytes);
    decoded.map(|()| bytes).map_err(|_| VerifyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn verify(header: &str, now: Timestamp) -> Result<(), VerifyError> {
        Secret::new("s").verify(header, b"body", now, Duration::from_secs(300))
    }

    // As `printf '1700000000.body' | openssl dgst -sha256 -hmac s` computes it.
    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        let header = Secret::new("s").sign(NOW, b"body");
        assert_eq!(header, KNOWN);
        assert_eq!(verify(KNOWN, NOW), Ok(()));
    }

    const KNOWN: &str =
        "t=1700000000,v1=d7a89816da081146f8ed6b56d04d36bc5e1a4e4192ab67113cccc30a9a27296b";

    #[test]
    fn another_secret_body_or_time_is_refused() {
        let other = Secret::new("other").sign(NOW, b"body");
        assert_eq!(verify(&other, NOW), Err(VerifyError::Mismatch));
        let moved = KNOWN.replace("t=17", "t=18");
        assert_eq!(verify(&moved, NOW), Err(VerifyError::Mismatch));
        let late = NOW + Duration::from_secs(301);
        assert_eq!(verify(KNOWN, late), Err(VerifyError::OutOfTime));
        let early = NOW - Duration::from_secs(301);
        assert_eq!(verify(KNOWN, early), Err(VerifyError::OutOfTime));
    }

    #[test]
    fn a_broken_header_is_refused() {
        for header in [
            "",
            "t=1",
            "v1=00",
            "t=x,v1=00",
            "t=1,v1=0",
            "t=1,v1=zz",
            "t=1,v1=é",
        ] {
            assert!(verify(header, NOW).is_err(), "{header}");
        }
    }

    #[test]
    fn no_header_makes_its_receiver_work_for_long() {
        let wrong = format!(",v1={}", "00".repeat(32));
        let header = |number| format!("t=1700000000{}", wrong.repeat(number));
        assert_eq!(verify(&header(8), NOW), Err(VerifyError::Mismatch));
        assert_eq!(verify(&header(9), NOW), Err(VerifyError::Malformed));
        assert_eq!(verify("t=1700000000,v1=", NOW), Err(VerifyError::Malformed));
    }

    #[test]
    fn while_a_secret_is_exchanged_one_of_two_signatures_has_to_match() {
        let both = format!("t=1700000000,v1={},{}", "00".repeat(32), &KNOWN[13..]);
        assert_eq!(verify(&both, NOW), Ok(()));
    }
}

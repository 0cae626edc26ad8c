//! Personal data in events: sealed with the user's own key, and lost when the key is destroyed.
//!
//! Sealed text is ChaCha20-Poly1305, a random nonce in front, in URL-safe base64.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millrace_avro::keys::UserId;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::AccountError;
use crate::clock;
use crate::sql::Sql;

/// Why data is not sealed, or not opened.
pub type SealError = AccountError;

/// Seals and opens personal data with the keys in SQL.
#[derive(Clone, Debug)]
pub struct Sealer {
    sql: Sql,
}

impl Sealer {
    pub(super) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// `text`, so that only who has the user's key can read it; `None` when the key is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn seal(&self, user: &UserId, text: &str) -> Result<Option<String>, SealError> {
        let key = self.key(user).await?;
        key.map(|key| seal(&key, text.as_bytes())).transpose()
    }

    /// What was sealed; `None` when the key is gone or the text was sealed with another.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(&self, user: &UserId, sealed: &str) -> Result<Option<String>, SealError> {
        let key = self.key(user).await?;
        Ok(key
            .and_then(|key| open(&key, sealed))
            .and_then(|text| String::from_utf8(text).ok()))
    }

    async fn key(&self, user: &UserId) -> Result<Option<Vec<u8>>, SealError> {
        let found = sqlx::query_scalar("SELECT key FROM user_keys WHERE user_id = $1")
            .bind(user.as_str())
            .fetch_optional(self.sql.pool())
            .await?;
        Ok(found)
    }
}

/// A key that nobody has yet.
pub(super) fn fresh_key() -> [u8; 32] {
    clock::random_bytes()
}

/// Seals `plain` with `key`.
pub(super) fn seal(key: &[u8], plain: &[u8]) -> Result<String, SealError> {
    let failed = || AccountError::Crypto("personal data cannot be sealed".to_owned());
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| failed())?;
    let nonce: [u8; NONCE_LEN] = clock::random_bytes();
    let mut body = plain.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut body)
        .map_err(|_| failed())?;
    Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &body].concat()))
}

fn open(key: &[u8], sealed: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut body = body.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key.open_in_place(nonce, Aad::empty(), &mut body).ok()?;
    Some(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_data_is_opened_by_its_own_key_only() {
        let (key, other) = (fresh_key(), fresh_key());
        let sealed = seal(&key, b"Main Street 1").unwrap();
        assert_eq!(open(&key, &sealed).as_deref(), Some(&b"Main Street 1"[..]));
        assert_eq!(open(&other, &sealed), None);
        assert_ne!(seal(&key, b"Main Street 1").unwrap(), sealed);
        assert_eq!(open(&key, &sealed[1..]), None);
        assert_eq!(open(&key, "x"), None);
    }
}

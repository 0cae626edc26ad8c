//! Access tokens: signed, short-lived, and checked without a look at the database.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use millrace_avro::keys::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AccountError, Role, Session, User};
use crate::clock;

const ISSUER: &str = "millrace";

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: UserId,
    /// What the account may do.
    pub role: Role,
    /// The session.
    pub sid: String,
    /// Who has signed it.
    pub iss: String,
    /// When, in seconds since the Unix epoch.
    pub iat: i64,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub exp: i64,
}

/// Signs and checks access tokens.
#[derive(Clone)]
pub struct Tokens {
    keys: Arc<(EncodingKey, DecodingKey)>,
    validation: Arc<Validation>,
    ttl: Duration,
}

impl Tokens {
    /// Tokens that are signed with `key` and valid for `ttl`.
    pub fn new(key: &[u8], ttl: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        let keys = (EncodingKey::from_secret(key), DecodingKey::from_secret(key));
        Self {
            keys: Arc::new(keys),
            validation: Arc::new(validation),
            ttl,
        }
    }

    /// How long a token is valid.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A token for `user` in `session`.
    ///
    /// # Errors
    /// When signing fails: a mistake of ours.
    pub fn sign(&self, user: &User, session: &Session) -> Result<String, AccountError> {
        let iat = clock::now().as_millis() / 1000;
        let claims = Claims {
            sub: user.user_id.clone(),
            role: user.role,
            sid: session.id.clone(),
            iss: ISSUER.to_owned(),
            iat,
            exp: iat.saturating_add_unsigned(self.ttl.as_secs().max(1)),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.keys.0)
            .map_err(|error| AccountError::Crypto(error.to_string()))
    }

    /// What `token` says, if it is ours and valid, give or take 60 s.
    pub fn check(&self, token: &str) -> Option<Claims> {
        decode::<Claims>(token, &self.keys.1, &self.validation)
            .ok()
            .map(|data| data.claims)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({:?})", self.ttl)
    }
}

/// The digest under which a random token is kept: SHA-256, in hexadecimal digits. A slow hash
/// would add nothing, as nobody can guess 256 bits.
pub fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(key: &[u8], ttl_s: u64) -> String {
        let user = User {
            user_id: UserId::new("u1").unwrap(),
            email: "a@b".into(),
            name: "A".into(),
            role: Role::Admin,
        };
        let session = Session {
            id: "s1".into(),
            refresh_token: String::new(),
        };
        Tokens::new(key, Duration::from_secs(ttl_s))
            .sign(&user, &session)
            .unwrap()
    }

    fn check(key: &[u8], token: &str) -> Option<Claims> {
        Tokens::new(key, Duration::ZERO).check(token)
    }

    #[test]
    fn a_token_says_who_and_for_how_long() {
        let claims = check(b"key", &sign(b"key", 60)).unwrap();
        assert_eq!((claims.sub.as_str(), claims.role), ("u1", Role::Admin));
        assert_eq!(claims.exp - claims.iat, 60);
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused() {
        let token = sign(b"key", 60);
        assert_eq!(check(b"other", &token), None);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let mutant = String::from_utf8(bytes).unwrap();
            // The last character of a part carries bits that nothing reads.
            let unread = token
                .as_bytes()
                .get(at + 1)
                .is_none_or(|next| *next == b'.');
            assert!(unread || check(b"key", &mutant).is_none(), "{at}");
        }
    }

    #[test]
    fn a_token_that_is_not_signed_is_refused() {
        let token = sign(b"key", 60);
        let payload = token.split('.').nth(1).unwrap();
        for head in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzUxMiJ9"] {
            assert_eq!(check(b"key", &format!("{head}.{payload}.")), None);
        }
        for text in ["", ".", "..", "a.b.c", "\u{0}"] {
            assert_eq!(check(b"key", text), None);
        }
    }
}

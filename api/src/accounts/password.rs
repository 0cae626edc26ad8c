//! Passwords: Argon2id, on threads of their own, a bounded number at once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AccountError;

/// How long a password waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Hashes and verifies passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// What is verified for an account that does not exist, so that the time tells nothing.
    decoy: Arc<str>,
}

impl Passwords {
    /// At most `at_once` hashes run at a time; each takes 19 MiB.
    ///
    /// # Errors
    /// When hashing fails altogether.
    pub fn new(at_once: NonZeroUsize) -> Result<Self, AccountError> {
        let turns = Arc::new(Semaphore::new(at_once.get()));
        Ok(Self {
            turns,
            decoy: hash(b"a password that nobody has")?.into(),
        })
    }

    /// The hash of `password`, with a salt of its own, in PHC's format.
    ///
    /// # Errors
    /// [`AccountError::Busy`] when it is not its turn in time.
    pub async fn hash(&self, password: String) -> Result<String, AccountError> {
        self.in_turn(move || hash(password.as_bytes())).await?
    }

    /// Whether `password` is the one that was hashed; without a hash it takes as long, and is not.
    ///
    /// # Errors
    /// [`AccountError::Busy`] when it is not its turn in time.
    pub async fn verify(
        &self,
        password: String,
        hashed: Option<String>,
    ) -> Result<bool, AccountError> {
        let decoy = self.decoy.clone();
        self.in_turn(move || match hashed {
            Some(hashed) => is_hash_of(&hashed, password.as_bytes()),
            None => {
                // As much work as for an account that exists, so that the time tells nothing.
                let _ = is_hash_of(&decoy, password.as_bytes());
                false
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let turn = timeout(QUEUE_TIMEOUT, self.turns.clone().acquire_owned()).await;
        let turn = turn
            .map_err(|_| AccountError::Busy)?
            .map_err(|_| AccountError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await
            .map_err(|error| AccountError::Crypto(error.to_string()))
    }
}

/// OWASP's parameters: 19 MiB, 2 passes, 1 lane.
fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

fn hash(password: &[u8]) -> Result<String, AccountError> {
    let salt = SaltString::generate(&mut OsRng);
    let hashed = argon2id().hash_password(password, &salt);
    hashed
        .map(|hash| hash.to_string())
        .map_err(|error| AccountError::Crypto(format!("password: {error}")))
}

fn is_hash_of(hashed: &str, password: &[u8]) -> bool {
    PasswordHash::new(hashed)
        .is_ok_and(|hashed| argon2id().verify_password(password, &hashed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_verified_beyond_72_bytes() {
        let passwords = Passwords::new(NonZeroUsize::MIN).unwrap();
        let long = "x".repeat(100);
        let hashed = passwords.hash(long.clone()).await.unwrap();
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        let verify = |password: &str| passwords.verify(password.to_owned(), Some(hashed.clone()));
        assert!(verify(&long).await.unwrap());
        assert!(!verify(&long[..99]).await.unwrap());
        assert!(!passwords.verify(long, None).await.unwrap());
    }
}

//! Accounts: who a client is. SQL is the truth here, and an outbox tells the log of each change.
//!
//! - [`Accounts`] registers, logs in, refreshes, logs out and resets passwords.
//! - [`tokens`] signs access tokens and makes refresh tokens; [`password`] hashes, bounded.
//! - [`rules`] says what is asked of a mail address and a password.
//! - [`outbox`] publishes `user-events`; [`mail`] sends what carries a secret.

pub mod mail;
pub mod outbox;
pub mod password;
pub mod rules;
mod seal;
mod sessions;
mod store;
pub mod tokens;

use std::num::NonZeroUsize;
use std::time::Duration;

use millrace_avro::event::EventId;
use millrace_avro::events::users::{UserRegistered, UserSignedIn};
use millrace_avro::keys::UserId;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::sql::Sql;

use self::mail::Mail;
use self::outbox::{Cause, Outbox, UserFact};
use self::password::Passwords;
use self::sessions::Sessions;
use self::store::Store;
use self::tokens::{Tokens, digest};

pub use self::seal::{SealError, Sealer};
pub use self::sessions::Session;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Runs the shop.
    Admin,
}

impl Role {
    /// The name, as in events and tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "admin" => Self::Admin,
            _ => Self::Customer,
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its id.
    pub user_id: UserId,
    /// Its mail address, in lower case.
    pub email: String,
    /// The name to show.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// An account to be.
#[derive(Clone)]
pub struct NewUser {
    /// The mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// The name to show.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewUser({}, {:?})", self.email, self.role)
    }
}

/// Why an account does not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The mail address has an account.
    #[error("the mail address has an account")]
    EmailTaken,
    /// Mail address and password, or the token, do not fit.
    #[error("the credentials are not valid")]
    InvalidCredentials,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be checked; try again")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// A key or a hash failed: a mistake of ours.
    #[error("{0}")]
    Crypto(String),
}

/// The accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    sql: Sql,
    store: Store,
    sessions: Sessions,
    passwords: Passwords,
    tokens: Tokens,
    sealer: Sealer,
    outbox: Outbox,
    reset_token_ttl: Duration,
}

/// What accounts may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountOptions {
    /// How long an access token is valid.
    pub access_token_ttl: Duration,
    /// How long a refresh token is valid.
    pub refresh_token_ttl: Duration,
    /// How long a token to reset a password is valid.
    pub reset_token_ttl: Duration,
    /// How many passwords are hashed at once.
    pub password_hashes_max: NonZeroUsize,
}

impl Accounts {
    /// The accounts in `sql`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(sql: Sql, options: AccountOptions) -> Result<Self, AccountError> {
        let key = sql.secret("access-tokens").await?;
        Ok(Self {
            store: Store::new(sql.clone()),
            sessions: Sessions::new(sql.clone(), options.refresh_token_ttl),
            passwords: Passwords::new(options.password_hashes_max)?,
            tokens: Tokens::new(&key, options.access_token_ttl),
            sealer: Sealer::new(sql.clone()),
            outbox: Outbox::new(sql.clone()),
            reset_token_ttl: options.reset_token_ttl,
            sql,
        })
    }

    /// What signs and checks access tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What seals personal data.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The events that wait to be published.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`]; the others when something fails.
    pub async fn register(&self, new: NewUser, cause: &Cause) -> Result<User, AccountError> {
        let hash = self.passwords.hash(new.password).await?;
        let user = User {
            user_id: fresh_user_id(),
            email: new.email.trim().to_lowercase(),
            name: new.name,
            role: new.role,
        };
        let key = seal::fresh_key();
        let profile = serde_json::json!({ "email": user.email, "name": user.name }).to_string();
        let registered = UserRegistered {
            user_id: user.user_id.clone(),
            role: user.role.name().to_owned(),
            profile: Some(seal::seal(&key, profile.as_bytes())?),
        };
        let mut transaction = self.sql.begin().await?;
        self.store
            .insert(&mut transaction, &user, &hash, &key)
            .await?;
        let fact = UserFact::Registered(registered);
        self.outbox
            .add(&mut transaction, &user.user_id, &fact, cause)
            .await?;
        transaction.commit().await?;
        self.outbox.wake();
        Ok(user)
    }

    /// The account `id`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &UserId) -> Result<Option<User>, AccountError> {
        self.store.by_id(id).await
    }

    /// Opens a session for whoever knows the password. An unknown address takes as long.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`]; the others when something fails.
    pub async fn login(
        &self,
        email: &str,
        password: String,
        cause: &Cause,
    ) -> Result<(User, Session), AccountError> {
        let found = self.of_address(email).await?;
        let hash = found.as_ref().map(|(_, hash)| hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some((user, hash)) = found.filter(|_| right) else {
            return Err(AccountError::InvalidCredentials);
        };
        let signed_in = UserSignedIn {
            user_id: user.user_id.clone(),
            guest_id: None,
        };
        let mut transaction = self.sql.begin().await?;
        // It takes a while to check a password: it may be another by now.
        let id = &user.user_id;
        if !self.store.hold(&mut transaction, id, &hash).await? {
            return Err(AccountError::InvalidCredentials);
        }
        let session = self.sessions.begin(&mut transaction, &user.user_id).await?;
        let fact = UserFact::SignedIn(signed_in);
        self.outbox
            .add(&mut transaction, &user.user_id, &fact, cause)
            .await?;
        transaction.commit().await?;
        self.outbox.wake();
        Ok((user, session))
    }

    /// Exchanges a refresh token for a new one. A token that was exchanged before ends its whole
    /// session: one of the two who know it has stolen it.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`]; the others when something fails.
    pub async fn refresh(&self, token: &str) -> Result<(User, Session), AccountError> {
        let (user_id, session) = self.sessions.rotate(token).await?;
        let user = self.store.by_id(&user_id).await?;
        Ok((user.ok_or(AccountError::InvalidCredentials)?, session))
    }

    /// Ends the session of a refresh token; an unknown one is ended already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn logout(&self, token: &str) -> Result<(), AccountError> {
        self.sessions.end(token).await
    }

    /// Sends a mail with a token to whoever has this address, if anybody has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request_reset(&self, email: &str) -> Result<(), AccountError> {
        let Some((user, _)) = self.of_address(email).await? else {
            return Ok(());
        };
        let token = clock::random_token();
        let until = clock::now() + self.reset_token_ttl;
        let mail = Mail::password_reset(&user, &token);
        let mut transaction = self.sql.begin().await?;
        self.store
            .add_reset(&mut transaction, &user.user_id, &digest(&token), until)
            .await?;
        mail::add(&mut transaction, &mail).await?;
        transaction.commit().await?;
        self.outbox.wake();
        Ok(())
    }

    /// Forgets what was not used in its time; to be called now and then. Answers how many tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_expired(&self) -> Result<u64, AccountError> {
        self.store.forget_expired(clock::now()).await
    }

    /// The account of a mail address, with its password's hash. What can be no address has none.
    async fn of_address(&self, email: &str) -> Result<Option<(User, String)>, AccountError> {
        match rules::is_email(email) {
            true => self.store.by_email(&email.trim().to_lowercase()).await,
            false => Ok(None),
        }
    }

    /// Sets a new password, and ends every session of the account.
    ///
    /// # Errors
    /// [`AccountError::InvalidCredentials`] when the token is unknown, used or too old.
    pub async fn reset(&self, token: &str, password: String) -> Result<(), AccountError> {
        let hash = self.passwords.hash(password).await?;
        let mut transaction = self.sql.begin().await?;
        let user = self
            .store
            .take_reset(&mut transaction, &digest(token), clock::now())
            .await?;
        let user = user.ok_or(AccountError::InvalidCredentials)?;
        self.store
            .set_password(&mut transaction, &user, &hash)
            .await?;
        self.sessions.end_all(&mut transaction, &user).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Makes the first administrator where there is none. Returns the mail address and, when it
    /// was made up, the password, to be printed once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ensure_admin(
        &self,
        email: &str,
        password: Option<String>,
    ) -> Result<Option<(User, Option<String>)>, AccountError> {
        if self.store.has_admin().await? {
            return Ok(None);
        }
        let made_up = password.is_none().then(clock::random_token);
        let password = password.or_else(|| made_up.clone()).unwrap_or_default();
        let (email, name) = (email.to_owned(), "Administrator".to_owned());
        let new = NewUser {
            email,
            password,
            name,
            role: Role::Admin,
        };
        let cause = Cause {
            id: EventId::random(),
            traceparent: None,
        };
        match self.register(new, &cause).await {
            Ok(user) => Ok(Some((user, made_up))),
            // Another instance was faster.
            Err(AccountError::EmailTaken) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn fresh_user_id() -> UserId {
    let text = format!("usr_{}", EventId::random());
    // Invariant: a prefix and a UUID are a valid key.
    UserId::new(&text).unwrap_or_else(|_| unreachable!("a prefixed UUID is a key"))
}

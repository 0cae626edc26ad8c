//! Sessions: what descends from one login, kept alive by refresh tokens that are used once.

use std::time::Duration;

use millrace_avro::keys::UserId;
use sqlx::Row as _;

use super::AccountError;
use super::store::user_id;
use super::tokens::digest;
use crate::clock;
use crate::sql::{Connection, Sql};

/// A session, with the token that continues it.
#[derive(Clone)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The token, to be used once; only its digest is kept.
    pub refresh_token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.id)
    }
}

/// The table of refresh tokens.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    sql: Sql,
    ttl: Duration,
}

impl Sessions {
    pub(super) fn new(sql: Sql, ttl: Duration) -> Self {
        Self { sql, ttl }
    }

    /// Begins a session, and forgets what of the user's has expired.
    pub(super) async fn begin(
        &self,
        on: &mut Connection,
        user: &UserId,
    ) -> Result<Session, AccountError> {
        sqlx::query("DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at_ms <= $2")
            .bind(user.as_str())
            .bind(clock::now().as_millis())
            .execute(&mut *on)
            .await?;
        self.continued(on, user, clock::random_token()).await
    }

    async fn continued(
        &self,
        on: &mut Connection,
        user: &UserId,
        id: String,
    ) -> Result<Session, AccountError> {
        let refresh_token = clock::random_token();
        sqlx::query(
            "INSERT INTO refresh_tokens (hash, session, user_id, expires_at_ms) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(digest(&refresh_token))
        .bind(&*id)
        .bind(user.as_str())
        .bind((clock::now() + self.ttl).as_millis())
        .execute(on)
        .await?;
        Ok(Session { id, refresh_token })
    }

    /// Uses `token` up and continues its session; only one of two callers at once succeeds.
    pub(super) async fn rotate(&self, token: &str) -> Result<(UserId, Session), AccountError> {
        let (digest, now) = (digest(token), clock::now().as_millis());
        let mut transaction = self.sql.begin().await?;
        hold_owner(&mut transaction, &digest).await?;
        let used = sqlx::query(
            "UPDATE refresh_tokens SET used_at_ms = $2 \
             WHERE hash = $1 AND used_at_ms IS NULL AND expires_at_ms > $2 \
             RETURNING user_id, session",
        )
        .bind(&*digest)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(used) = used else {
            end(&mut transaction, &digest).await?;
            transaction.commit().await?;
            return Err(AccountError::InvalidCredentials);
        };
        let user = user_id(used.try_get(0)?)?;
        let session = self
            .continued(&mut transaction, &user, used.try_get(1)?)
            .await?;
        transaction.commit().await?;
        Ok((user, session))
    }

    /// Ends the session of `token`, if there is one.
    pub(super) async fn end(&self, token: &str) -> Result<(), AccountError> {
        let (digest, mut transaction) = (digest(token), self.sql.begin().await?);
        hold_owner(&mut transaction, &digest).await?;
        end(&mut transaction, &digest).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends every session of `user`.
    pub(super) async fn end_all(
        &self,
        on: &mut Connection,
        user: &UserId,
    ) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM refresh_tokens WHERE user_id = $1")
            .bind(user.as_str())
            .execute(on)
            .await?;
        Ok(())
    }
}

/// Holds the account of a token until `on` ends: whoever ends its sessions comes before or after, and
/// not while one of them is continued.
async fn hold_owner(on: &mut Connection, digest: &str) -> Result<(), AccountError> {
    sqlx::query(
        "UPDATE users SET password_hash = password_hash \
         WHERE id IN (SELECT user_id FROM refresh_tokens WHERE hash = $1)",
    )
    .bind(digest)
    .execute(on)
    .await?;
    Ok(())
}

async fn end(on: &mut Connection, digest: &str) -> Result<(), AccountError> {
    sqlx::query(
        "DELETE FROM refresh_tokens \
         WHERE session IN (SELECT session FROM refresh_tokens WHERE hash = $1)",
    )
    .bind(digest)
    .execute(on)
    .await?;
    Ok(())
}

//! The tables of accounts.

use millrace_avro::keys::UserId;
use millrace_streams::Timestamp;
use sqlx::Row as _;

use super::{AccountError, Role, User};
use crate::clock;
use crate::sql::{Connection, Row, Sql};

/// The tables of accounts.
#[derive(Clone, Debug)]
pub(super) struct Store {
    sql: Sql,
}

impl Store {
    pub(super) fn new(sql: Sql) -> Self {
        Self { sql }
    }

    pub(super) async fn insert(
        &self,
        on: &mut Connection,
        user: &User,
        hash: &str,
        key: &[u8],
    ) -> Result<(), AccountError> {
        let inserted = sqlx::query(
            "INSERT INTO users (id, email, name, role, password_hash, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email) DO NOTHING",
        )
        .bind(user.user_id.as_str())
        .bind(&*user.email)
        .bind(&*user.name)
        .bind(user.role.name())
        .bind(hash)
        .bind(clock::now().as_millis())
        .execute(&mut *on)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(AccountError::EmailTaken);
        }
        sqlx::query("INSERT INTO user_keys (user_id, key) VALUES ($1, $2)")
            .bind(user.user_id.as_str())
            .bind(key)
            .execute(on)
            .await?;
        Ok(())
    }

    /// The account of a mail address, with its password's hash.
    pub(super) async fn by_email(
        &self,
        email: &str,
    ) -> Result<Option<(User, String)>, AccountError> {
        let row =
            sqlx::query("SELECT id, email, name, role, password_hash FROM users WHERE email = $1")
                .bind(email)
                .fetch_optional(self.sql.pool())
                .await?;
        row.map(|row| Ok((user(&row)?, row.try_get(4)?)))
            .transpose()
    }

    pub(super) async fn by_id(&self, id: &UserId) -> Result<Option<User>, AccountError> {
        let row = sqlx::query("SELECT id, email, name, role FROM users WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.sql.pool())
            .await?;
        row.map(|row| user(&row)).transpose()
    }

    pub(super) async fn has_admin(&self) -> Result<bool, AccountError> {
        let found = sqlx::query("SELECT id FROM users WHERE role = 'admin' LIMIT 1")
            .fetch_optional(self.sql.pool())
            .await?;
        Ok(found.is_some())
    }

    /// Holds the account until `on` ends, if its password still has this hash.
    pub(super) async fn hold(
        &self,
        on: &mut Connection,
        user: &UserId,
        hash: &str,
    ) -> Result<bool, AccountError> {
        let held = sqlx::query(
            "UPDATE users SET password_hash = password_hash WHERE id = $1 AND password_hash = $2",
        )
        .bind(user.as_str())
        .bind(hash)
        .execute(on)
        .await?;
        Ok(held.rows_affected() == 1)
    }

    pub(super) async fn set_password(
        &self,
        on: &mut Connection,
        user: &UserId,
        hash: &str,
    ) -> Result<(), AccountError> {
        sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
            .bind(user.as_str())
            .bind(hash)
            .execute(on)
            .await?;
        Ok(())
    }

    pub(super) async fn add_reset(
        &self,
        on: &mut Connection,
        user: &UserId,
        digest: &str,
        until: Timestamp,
    ) -> Result<(), AccountError> {
        sqlx::query("INSERT INTO reset_tokens (hash, user_id, expires_at_ms) VALUES ($1, $2, $3)")
            .bind(digest)
            .bind(user.as_str())
            .bind(until.as_millis())
            .execute(on)
            .await?;
        Ok(())
    }

    /// Forgets the reset and refresh tokens that were not used in their time.
    pub(super) async fn forget_expired(&self, now: Timestamp) -> Result<u64, AccountError> {
        let mut forgotten = 0;
        for delete in [
            "DELETE FROM reset_tokens WHERE expires_at_ms <= $1",
            "DELETE FROM refresh_tokens WHERE expires_at_ms <= $1",
        ] {
            let deleted = sqlx::query(delete)
                .bind(now.as_millis())
                .execute(self.sql.pool())
                .await?;
            forgotten += deleted.rows_affected();
        }
        Ok(forgotten)
    }

    /// Uses a reset token up: it, and every other of the same account, is gone afterwards.
    pub(super) async fn take_reset(
        &self,
        on: &mut Connection,
        digest: &str,
        now: Timestamp,
    ) -> Result<Option<UserId>, AccountError> {
        let taken: Option<String> = sqlx::query_scalar(
            "DELETE FROM reset_tokens WHERE hash = $1 AND expires_at_ms > $2 RETURNING user_id",
        )
        .bind(digest)
        .bind(now.as_millis())
        .fetch_optional(&mut *on)
        .await?;
        let Some(user) = taken else {
            return Ok(None);
        };
        sqlx::query("DELETE FROM reset_tokens WHERE user_id = $1")
            .bind(&*user)
            .execute(on)
            .await?;
        user_id(&user).map(Some)
    }
}

fn user(row: &Row) -> Result<User, AccountError> {
    Ok(User {
        user_id: user_id(row.try_get(0)?)?,
        email: row.try_get(1)?,
        name: row.try_get(2)?,
        role: Role::of(row.try_get(3)?),
    })
}

/// A user's id as it stands in the database, where only valid ones are written.
pub(super) fn user_id(text: &str) -> Result<UserId, AccountError> {
    UserId::new(text).map_err(|error| sqlx::Error::Decode(error.into()).into())
}

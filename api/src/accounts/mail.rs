//! Mails that carry a secret. No event may carry one, so these wait in SQL until they are sent.

use std::fmt;

use futures::future::BoxFuture;
use millrace_avro::event::EventId;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{AccountError, User};
use crate::clock;
use crate::sql::{Connection, Sql};

/// How many mails are read at once.
const BATCH: i64 = 100;

/// A mail.
#[derive(Clone, PartialEq)]
pub struct Mail {
    /// Its id: a mailer that sees it twice sends it once.
    pub id: String,
    /// The address.
    pub recipient: String,
    /// The template.
    pub template: String,
    /// What the template needs.
    pub body: Value,
}

impl Mail {
    /// The mail that lets its reader set a new password.
    pub fn password_reset(user: &User, token: &str) -> Self {
        Self {
            id: EventId::random().to_string(),
            recipient: user.email.clone(),
            template: "password-reset".to_owned(),
            body: json!({ "name": user.name, "token": token }),
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({}, {})", self.id, self.template)
    }
}

/// Sends mails.
pub trait Mailer: Send + Sync + fmt::Debug {
    /// Sends a mail; a repeated id is sent once.
    fn send(&self, mail: Mail) -> BoxFuture<'static, Result<(), String>>;
}

/// Adds a mail to the transaction `on`.
pub(super) async fn add(on: &mut Connection, mail: &Mail) -> Result<(), AccountError> {
    sqlx::query(
        "INSERT INTO mail_outbox (id, recipient, template, body, at_ms) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&*mail.id)
    .bind(&*mail.recipient)
    .bind(&*mail.template)
    .bind(mail.body.to_string())
    .bind(clock::now().as_millis())
    .execute(on)
    .await?;
    Ok(())
}

/// Sends the mails that wait, oldest first, and forgets each that was sent.
///
/// # Errors
/// When the database does not answer. What the mailer refuses waits on.
pub async fn send_waiting(sql: &Sql, mailer: &dyn Mailer) -> Result<(), AccountError> {
    let rows = sqlx::query(
        "SELECT id, recipient, template, body FROM mail_outbox ORDER BY at_ms LIMIT $1",
    )
    .bind(BATCH)
    .fetch_all(sql.pool())
    .await?;
    for row in rows {
        let mail = Mail {
            id: row.try_get(0)?,
            recipient: row.try_get(1)?,
            template: row.try_get(2)?,
            body: serde_json::from_str(row.try_get(3)?).unwrap_or_default(),
        };
        let id = mail.id.clone();
        match mailer.send(mail).await {
            Ok(()) => forget(sql, &id).await?,
            Err(error) => tracing::warn!(mail = id, error, "mail not sent; it is tried again"),
        }
    }
    Ok(())
}

async fn forget(sql: &Sql, id: &str) -> Result<(), AccountError> {
    sqlx::query("DELETE FROM mail_outbox WHERE id = $1")
        .bind(id)
        .execute(sql.pool())
        .await?;
    Ok(())
}

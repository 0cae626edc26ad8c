//! The outbox: events of accounts, committed with the change that they tell, published afterwards.
//!
//! An event is published at least once and in the order of its commit; a repeated one has the same
//! id. Several instances may publish at once: then only the order for one event, not between two,
//! is kept.

use std::sync::Arc;

use millrace_avro::event::{EventId, Meta};
use millrace_avro::events::users::{
    UserDeleted, UserEvent, UserRegistered, UserSignedIn, UserUpdated,
};
use millrace_avro::keys::UserId;
use millrace_streams::Timestamp;
use sqlx::Row as _;
use tokio::sync::Notify;

use super::AccountError;
use super::store::user_id;
use crate::clock;
use crate::sql::{Connection, Row, Sql};

/// How many events are read at once.
const BATCH: i64 = 100;

/// What may happen to an account.
#[derive(Clone, Debug, PartialEq)]
pub enum UserFact {
    /// It exists.
    Registered(UserRegistered),
    /// It has changed.
    Updated(UserUpdated),
    /// It is gone.
    Deleted(UserDeleted),
    /// Its user has signed in.
    SignedIn(UserSignedIn),
}

impl UserFact {
    fn encode(&self) -> Result<(&'static str, String), serde_json::Error> {
        Ok(match self {
            Self::Registered(body) => ("registered", serde_json::to_string(body)?),
            Self::Updated(body) => ("updated", serde_json::to_string(body)?),
            Self::Deleted(body) => ("deleted", serde_json::to_string(body)?),
            Self::SignedIn(body) => ("signed_in", serde_json::to_string(body)?),
        })
    }
}

fn decode(kind: &str, body: &str) -> Result<UserEvent, serde_json::Error> {
    match kind {
        "registered" => serde_json::from_str(body).map(UserEvent::Registered),
        "updated" => serde_json::from_str(body).map(UserEvent::Updated),
        "deleted" => serde_json::from_str(body).map(UserEvent::Deleted),
        _ => serde_json::from_str(body).map(UserEvent::SignedIn),
    }
}

/// The request that an account is changed for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Its id: the `correlation_id` of what follows from it.
    pub id: EventId,
    /// W3C trace context for what follows from it, if it belongs to a trace.
    pub traceparent: Option<String>,
}

/// An event that waits to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    id: i64,
    /// The user.
    pub user: UserId,
    /// The event's metadata.
    pub meta: Meta,
    /// What it says.
    pub event: UserEvent,
}

/// The events that wait to be published.
#[derive(Clone, Debug)]
pub struct Outbox {
    sql: Sql,
    more: Arc<Notify>,
}

impl Outbox {
    pub(super) fn new(sql: Sql) -> Self {
        Self {
            sql,
            more: Arc::default(),
        }
    }

    /// Adds an event to the transaction `on`.
    pub(super) async fn add(
        &self,
        on: &mut Connection,
        user: &UserId,
        fact: &UserFact,
        cause: &Cause,
    ) -> Result<(), AccountError> {
        let encoded = fact
            .encode()
            .map_err(|error| AccountError::Crypto(error.to_string()));
        let (kind, body) = encoded?;
        sqlx::query(
            "INSERT INTO outbox (event_id, user_id, type, body, correlation_id, at_ms, traceparent) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(EventId::random().as_str())
        .bind(user.as_str())
        .bind(kind)
        .bind(body)
        .bind(cause.id.as_str())
        .bind(clock::now().as_millis())
        .bind(cause.traceparent.as_deref())
        .execute(on)
        .await?;
        Ok(())
    }

    /// Says that something was committed.
    pub(super) fn wake(&self) {
        self.more.notify_one();
    }

    /// Waits until something was committed since the last wait.
    pub async fn wait(&self) {
        self.more.notified().await;
    }

    /// The oldest events that wait.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, AccountError> {
        let rows = sqlx::query(
            "SELECT id, event_id, user_id, type, body, correlation_id, at_ms, traceparent \
             FROM outbox ORDER BY id LIMIT $1",
        )
        .bind(BATCH)
        .fetch_all(self.sql.pool())
        .await?;
        rows.iter().map(waiting).collect()
    }

    /// Forgets an event that was published.
    ///
    /// # Errors
    /// When the database does not answer; the event is then published again.
    pub async fn published(&self, event: &Waiting) -> Result<(), AccountError> {
        sqlx::query("DELETE FROM outbox WHERE id = $1")
            .bind(event.id)
            .execute(self.sql.pool())
            .await?;
        Ok(())
    }
}

fn waiting(row: &Row) -> Result<Waiting, AccountError> {
    let event = decode(row.try_get(3)?, row.try_get(4)?);
    let event = event.map_err(|error| AccountError::Crypto(format!("outbox: {error}")))?;
    let at = Timestamp::from_millis(row.try_get(6)?);
    let correlation = EventId::new(row.try_get::<&str, _>(5)?);
    let id = EventId::new(row.try_get::<&str, _>(1)?);
    let user = user_id(row.try_get(2)?)?;
    let mut meta = Meta::new(id, "/users", at)
        .caused_by(correlation)
        .with_actor(user.as_str());
    meta.traceparent = row.try_get::<Option<&str>, _>(7)?.map(Into::into);
    Ok(Waiting {
        id: row.try_get(0)?,
        user,
        meta,
        event,
    })
}

//! What clients tell of their users' behaviour.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use millrace_avro::event::EventId;
use millrace_avro::events::users::{
    CatalogueSearched, ProductAddedToCart, ProductViewed, ProductWishlisted, UserEvent,
};
use millrace_avro::keys::{ProductId, UserId};
use serde::Deserialize;

use super::{App, Router};
use crate::http::auth::MaybeClient;
use crate::http::json::{Checks, Json};
use crate::http::problem::{Kind, Problem, Result};
use crate::http::request;
use crate::ports::Message;

const SESSION_CHARS_MAX: usize = 64;
const QUERY_CHARS_MAX: usize = 500;

pub(super) fn router() -> Router {
    Router::new().route("/api/events", post(tell))
}

/// What a client may tell. Purchases are known from orders.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Behaviour {
    ViewedProduct {
        product_id: String,
        session: Option<String>,
    },
    WishlistedProduct {
        product_id: String,
        session: Option<String>,
    },
    AddedToCart {
        product_id: String,
        quantity: Option<i64>,
        session: Option<String>,
    },
    Searched {
        query: String,
        results: Option<i64>,
        session: Option<String>,
    },
}

async fn tell(
    State(app): State<App>,
    MaybeClient(client): MaybeClient,
    Json(body): Json<Behaviour>,
) -> Result<StatusCode> {
    let mut checks = Checks::new();
    let session = session(&body).map(str::to_owned);
    if let Some(session) = &session {
        checks.text("/session", session, SESSION_CHARS_MAX);
    }
    let event = event(&mut checks, body);
    checks.done()?;
    let event = event.ok_or(Kind::InvalidFields)?;
    let user = match (client, session) {
        (Some(client), _) => client.user,
        // A guest is known by the session that the client chose.
        (None, Some(session)) => guest(&session)?,
        (None, None) => guest(request::current().id.as_str())?,
    };
    let meta = request::current().command(EventId::random(), user.as_str());
    app.commands
        .append(meta, Message::User(user, event))
        .await?;
    Ok(StatusCode::ACCEPTED)
}

fn session(body: &Behaviour) -> Option<&str> {
    match body {
        Behaviour::ViewedProduct { session, .. }
        | Behaviour::WishlistedProduct { session, .. }
        | Behaviour::AddedToCart { session, .. }
        | Behaviour::Searched { session, .. } => session.as_deref(),
    }
}

fn event(checks: &mut Checks, body: Behaviour) -> Option<UserEvent> {
    let mut product = |id: &str| checks.value("/product_id", ProductId::new(id));
    match body {
        Behaviour::ViewedProduct {
            product_id,
            session,
        } => {
            let product_id = product(&product_id)?;
            Some(
                ProductViewed {
                    product_id,
                    session,
                }
                .into(),
            )
        }
        Behaviour::WishlistedProduct {
            product_id,
            session,
        } => {
            let product_id = product(&product_id)?;
            Some(
                ProductWishlisted {
                    product_id,
                    session,
                }
                .into(),
            )
        }
        Behaviour::AddedToCart {
            product_id,
            quantity,
            session,
        } => {
            let (product_id, quantity) = (product(&product_id)?, quantity.unwrap_or(1));
            checks.require(quantity > 0, "/quantity", "range", "at least 1");
            Some(
                ProductAddedToCart {
                    product_id,
                    quantity,
                    session,
                }
                .into(),
            )
        }
        Behaviour::Searched {
            query,
            results,
            session,
        } => {
            checks.text("/query", &query, QUERY_CHARS_MAX);
            let results = results.unwrap_or(0);
            checks.require(results >= 0, "/results", "range", "at least 0");
            Some(
                CatalogueSearched {
                    query,
                    results,
                    session,
                }
                .into(),
            )
        }
    }
}

fn guest(session: &str) -> Result<UserId> {
    // A request's id may be as long as a key, which leaves no room for the prefix.
    let session: String = session.chars().take(SESSION_CHARS_MAX).collect();
    UserId::new(&format!("guest_{session}"))
        .map_err(|error| Problem::field("/session", "invalid", error.to_string()))
}

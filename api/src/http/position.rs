//! Position tokens: the answer to a write says where it lies, and a read that bears this token is
//! answered once the views of its instance have come there, or the usual wait is over. So whoever
//! was answered 202 reads what has become of it, from whichever instance.

use axum::extract::{Request, State};
use axum::http::{HeaderName, Method};
use axum::middleware::Next;
use axum::response::Response;
use millrace_avro::event::EventId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::cursor::{decode, encode};
use super::problem::{Kind, Problem, Result};
use crate::market::{App, LOOK};
use crate::ports::ViewKey;

/// The header that bears a token, in both directions.
pub const POSITION: HeaderName = HeaderName::from_static("position-token");

/// A command, and the view that shows what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(String, ViewKey);

impl Position {
    /// Where the command `id` about `view` lies.
    pub fn new(id: &EventId, view: ViewKey) -> Self {
        Self(id.to_string(), view)
    }

    /// The position as a client sends it back.
    pub fn token(&self) -> String {
        encode(self)
    }
}

/// Lets a read that bears a token wait until this instance has come there.
///
/// # Errors
/// 400 for a token that was not made here.
pub async fn reached(State(app): State<App>, request: Request, next: Next) -> Result<Response> {
    let token = request.headers().get(&POSITION);
    if let (&Method::GET, Some(token)) = (request.method(), token) {
        let position = token.to_str().ok().and_then(|token| decode(token).ok());
        let malformed = || Problem::new(Kind::Malformed).detail("`Position-Token` is not valid");
        wait(&app, &position.ok_or_else(malformed)?).await;
    }
    Ok(next.run(request).await)
}

async fn wait(app: &App, Position(command, view): &Position) {
    let command = EventId::new(command.as_str());
    let deadline = Instant::now() + app.settings.times.command_wait;
    while !app.views.shows(&command, view) && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
}

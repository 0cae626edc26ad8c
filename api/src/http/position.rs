//! Position tokens: the answer to a write says where it lies, and a read that bears this token is
//! answered once the views of its instance have come there, or the usual wait is over. So whoever
//! was answered 202 reads what has become of it, from whichever instance.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, Method};
use axum::middleware::Next;
use axum::response::Response;
use millrace_avro::event::EventId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::cursor::{decode, encode};
use super::problem::{Kind, Problem, Result};
use crate::ports::{LOOK, ViewKey, Views};

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

/// Who knows what has come, and how long a read waits for it.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The views of this instance.
    pub views: Arc<dyn Views>,
    /// The longest wait.
    pub limit: Duration,
}

/// Lets a read that bears a token wait until this instance has come there.
///
/// # Errors
/// 400 for a token that was not made here.
pub async fn reached(State(wait): State<Wait>, request: Request, next: Next) -> Result<Response> {
    let token = request.headers().get(&POSITION);
    if let (&Method::GET, Some(token)) = (request.method(), token) {
        let position = token.to_str().ok().and_then(|token| decode(token).ok());
        let malformed = || Problem::new(Kind::Malformed).detail("`Position-Token` is not valid");
        wait.reach(&position.ok_or_else(malformed)?).await;
    }
    Ok(next.run(request).await)
}

impl Wait {
    async fn reach(&self, Position(command, view): &Position) {
        let command = EventId::new(command.as_str());
        let deadline = Instant::now() + self.limit;
        while !self.views.shows(&command, view) && Instant::now() < deadline {
            sleep(LOOK).await;
        }
    }
}

//! Server-sent events: a view, again after each change. The event id is a place in the log, so a
//! client that comes back with `Last-Event-ID` gets what it has not seen, and nothing twice.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures::stream;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::problem::{Kind, Problem, Result};
use crate::ports::{Place, ViewKey, Views, wait_for};

/// How many streams are open at once.
const STREAMS_MAX: usize = 1000;
/// How many of them one client may have: an order on a few screens, and not all that there are.
const STREAMS_PER_CLIENT_MAX: usize = 16;
/// When a client that gets none may ask again.
const RETRY_AFTER_S: u64 = 5;
/// How long a stream waits for one change before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The open streams, and whether the process is about to end.
#[derive(Clone, Debug)]
pub struct Streams {
    free: Arc<Semaphore>,
    clients: Arc<DashMap<String, usize>>,
    closing: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(STREAMS_MAX)),
            clients: Arc::default(),
            closing: watch::Sender::new(false),
        }
    }
}

/// A view at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The place of its last change.
    pub at: Place,
    /// The name of the event.
    pub event: &'static str,
    /// What clients see.
    pub body: Value,
    /// Whether nothing will follow.
    pub last: bool,
}

struct State<F> {
    views: Arc<dyn Views>,
    key: ViewKey,
    look: F,
    seen: Option<Place>,
    ended: bool,
    streams: Streams,
    _permit: Permit,
}

/// The right to one open stream.
struct Permit {
    client: String,
    clients: Arc<DashMap<String, usize>>,
    _one_of_all: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.clients.entry(std::mem::take(&mut self.client)) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

impl Streams {
    /// Ends every stream and every long wait: the instance stops.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Ends when [`close`](Self::close) is called.
    pub async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // Invariant: the sender lives as long as `self`.
        closing.wait_for(|closing| *closing).await.map(drop).ok();
    }

    fn permit(&self, client: &str) -> Result<Permit> {
        let one_of_all = self.free.clone().try_acquire_owned();
        let busy = |_| Problem::new(Kind::Unavailable).retry_after(RETRY_AFTER_S);
        let one_of_all = one_of_all.map_err(busy)?;
        let mut open = self.clients.entry(client.to_owned()).or_default();
        if *open >= STREAMS_PER_CLIENT_MAX {
            let detail = format!("a client has at most {STREAMS_PER_CLIENT_MAX} open streams");
            let problem = Problem::new(Kind::TooManyRequests).detail(detail);
            return Err(problem.retry_after(RETRY_AFTER_S));
        }
        *open += 1;
        Ok(Permit {
            client: client.to_owned(),
            clients: Arc::clone(&self.clients),
            _one_of_all: one_of_all,
        })
    }

    /// Sends to `client` what `look` finds, after each change of `key`, until the last. One that has
    /// the last already gets 204, which tells it not to come again.
    ///
    /// # Errors
    /// 429 when the client has too many streams open, 503 when all together have.
    pub fn open<F>(
        &self,
        client: &str,
        views: Arc<dyn Views>,
        key: ViewKey,
        headers: &HeaderMap,
        mut look: F,
    ) -> Result<Response>
    where
        F: FnMut() -> Option<Snapshot> + Send + 'static,
    {
        let seen = last_event_id(headers);
        let over = look().is_some_and(|now| now.last && !is_news(seen, now.at));
        if over {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let permit = self.permit(client)?;
        let state = State {
            views,
            key,
            look,
            seen,
            ended: false,
            streams: self.clone(),
            _permit: permit,
        };
        let events = stream::unfold(state, next);
        Ok(Sse::new(events)
            .keep_alive(KeepAlive::default())
            .into_response())
    }
}

async fn next<F>(mut state: State<F>) -> Option<(Result<Event, Infallible>, State<F>)>
where
    F: FnMut() -> Option<Snapshot> + Send,
{
    while !state.ended {
        let (seen, look) = (state.seen, &mut state.look);
        let news = wait_for(state.views.as_ref(), &state.key, LOOK_AGAIN, || {
            look().filter(|snapshot| is_news(seen, snapshot.at))
        });
        let news = tokio::select! {
            news = news => news,
            // The client comes again, to an instance that goes on.
            () = state.streams.closed() => return None,
        };
        if let Some(snapshot) = news {
            state.seen = Some(snapshot.at);
            state.ended = snapshot.last;
            return Some((Ok(event(&snapshot)), state));
        }
    }
    None
}

/// A place in another partition cannot be compared: it is news.
fn is_news(seen: Option<Place>, at: Place) -> bool {
    seen.is_none_or(|seen| seen.partition != at.partition || seen.offset < at.offset)
}

fn event(snapshot: &Snapshot) -> Event {
    let Place { partition, offset } = snapshot.at;
    Event::default()
        .event(snapshot.event)
        .id(format!("{partition}-{offset}"))
        .data(snapshot.body.to_string())
}

fn last_event_id(headers: &HeaderMap) -> Option<Place> {
    let (partition, offset) = headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .split_once('-')?;
    Some(Place {
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_has_all_the_streams() {
        let streams = Streams::default();
        let open = || streams.permit("ada");
        let permits: Vec<_> = (0..STREAMS_PER_CLIENT_MAX)
            .map(|_| open().unwrap())
            .collect();
        let refused = open().map(drop).unwrap_err();
        assert_eq!(refused.kind, Kind::TooManyRequests);
        streams.permit("eve").map(drop).unwrap();
        drop(permits);
        open().map(drop).unwrap();
        assert!(streams.clients.is_empty(), "none is remembered");
    }
}

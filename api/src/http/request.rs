//! What is known of the request that is being answered, wherever the answer is made.
//!
//! The id comes from `X-Request-Id`, or is made here; it is the `correlation_id` of every event
//! that the request causes, and stands in the answer. A valid `traceparent` is continued.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use millrace_avro::event::{EventId, Meta};
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::position::{POSITION, Position};
use super::problem::{Kind, Result};
use crate::accounts::outbox::Cause;
use crate::clock;

/// The header that carries the request's id, in both directions.
const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_BYTES_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// What is known of a request.
#[derive(Debug)]
pub struct RequestContext {
    /// Its id.
    pub id: EventId,
    /// The trace that it belongs to: 32 hexadecimal digits.
    pub trace_id: String,
    /// W3C trace context for what it causes.
    pub traceparent: String,
    /// The last write that it has made.
    written: Mutex<Option<Position>>,
}

impl RequestContext {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let id = text(REQUEST_ID)
            .filter(|id| is_id(id))
            .map_or_else(EventId::random, EventId::new);
        let continued = text("traceparent").and_then(trace_id);
        let trace_id =
            continued.map_or_else(|| hex::encode(clock::random_bytes::<16>()), str::to_owned);
        let traceparent = format!(
            "00-{trace_id}-{}-01",
            hex::encode(clock::random_bytes::<8>())
        );
        Self {
            id,
            trace_id,
            traceparent,
            written: Mutex::default(),
        }
    }

    /// Says where a write of this request lies, for its answer to tell.
    pub fn wrote(&self, position: Position) {
        *self.written.lock() = Some(position);
    }

    /// What it is to a change of an account.
    pub fn cause(&self) -> Cause {
        Cause {
            id: self.id.clone(),
            traceparent: Some(self.traceparent.clone()),
        }
    }

    /// The metadata of a command `id` that this request gives on behalf of `actor`.
    pub fn command(&self, id: EventId, actor: &str) -> Meta {
        Meta::new(id, "/api", clock::now())
            .caused_by(self.id.clone())
            .with_actor(actor)
            .with_traceparent(self.traceparent.as_str())
    }
}

/// The request that is being answered; a fresh one outside of any.
pub fn current() -> Arc<RequestContext> {
    let fresh = || Arc::new(RequestContext::of(&HeaderMap::new()));
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_| fresh())
}

/// `work`, as part of the request that is being answered, in whatever task it runs.
pub fn within_current<F: Future>(work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current(), work)
}

/// Gives each request its context, and counts and logs its answer.
pub async fn observe(request: Request, next: Next) -> Response {
    let context = Arc::new(RequestContext::of(request.headers()));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let method = method_label(request.method());
    let span = tracing::info_span!("request", %method, %route, trace_id = %context.trace_id);
    let begin = clock::now();
    let answer = CURRENT
        .scope(context.clone(), next.run(request))
        .instrument(span.clone());
    let mut response = answer.await;
    let took = clock::now().since(begin);
    let status = response.status().as_u16().to_string();
    span.in_scope(|| tracing::debug!(%status, took_ms = took.as_millis(), "answered"));
    let labels = [
        ("method", method.to_owned()),
        ("route", route),
        ("status", status),
    ];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_seconds", &labels).record(took.as_secs_f64());
    if let Ok(id) = HeaderValue::from_str(context.id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let token = context.written.lock().as_ref().map(Position::token);
    if let Some(Ok(token)) = token.map(HeaderValue::try_from) {
        response.headers_mut().insert(POSITION, token);
    }
    response
}

/// A method as a label. A client may send any word as one, and each would be a series of its own.
fn method_label(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let known = known.into_iter().find(|known| method.as_str() == *known);
    known.unwrap_or("other")
}

/// Answers a request within `limit`, or gives its work up.
pub async fn in_time(limit: Duration, request: Request, next: Next) -> Result<Response> {
    let answer = tokio::time::timeout(limit, next.run(request));
    answer.await.map_err(|_| Kind::TimedOut.into())
}

fn is_id(text: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The trace id of a valid `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let parts: Vec<_> = traceparent.split('-').collect();
    let [_, trace, parent, flags, ..] = parts.as_slice() else {
        return None;
    };
    let lengths = trace.len() == 32 && parent.len() == 16 && flags.len() == 2;
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let valid = lengths && is_hex(trace) && is_hex(parent) && trace.bytes().any(|b| b != b'0');
    valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_trace_is_continued_and_another_begun() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            trace_id(&format!("00-{trace}-00f067aa0ba902b7-01")),
            Some(trace)
        );
        for bad in [
            "",
            "00-1-2-01",
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        ] {
            assert_eq!(trace_id(bad), None);
        }
    }

    #[test]
    fn methods_that_clients_make_up_share_a_label() {
        assert_eq!(method_label(&Method::PUT), "PUT");
        let own = Method::from_bytes(b"X-4711").unwrap();
        assert_eq!(method_label(&own), "other");
    }

    #[test]
    fn an_id_that_could_split_a_header_or_a_log_line_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b"));
        assert_ne!(RequestContext::of(&headers).id.as_str(), "a b");
        headers.insert(REQUEST_ID, HeaderValue::from_static("req-7"));
        assert_eq!(RequestContext::of(&headers).id.as_str(), "req-7");
    }
}

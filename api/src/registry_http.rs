//! The embedded schema registry over HTTP: Confluent's API under any prefix.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use millrace_avro::registry::Registry;

/// The largest schema that is taken, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The registry's routes, to be nested as a service, which takes "/registry/" in as well:
/// `Router::nest_service("/registry", router(registry))`.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(registry)
}

async fn handle(
    State(registry): State<Arc<Registry>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    // The registry writes to disk before it answers.
    let work = move || registry.handle(method.as_str(), &path, &body);
    match tokio::task::spawn_blocking(work).await {
        Ok((status, answer)) => respond(status, Body::from(answer.to_string())),
        Err(_) => respond(500, Body::empty()),
    }
}

fn respond(status: u16, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

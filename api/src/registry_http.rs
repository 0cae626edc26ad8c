//! The embedded schema registry over HTTP: Confluent's API under any prefix. Whoever can reach it may
//! read and compare schemas; an administrator's token is needed to change what it holds. The process
//! itself registers without HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use millrace_avro::registry::{Registry, is_change};
use serde_json::json;

use crate::accounts::tokens::Tokens;
use crate::http::auth::Admin;
use crate::http::problem::{Kind, Problem};

/// The largest schema that is taken, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
struct Served {
    registry: Arc<Registry>,
    tokens: Tokens,
}

impl FromRef<Served> for Tokens {
    fn from_ref(served: &Served) -> Self {
        served.tokens.clone()
    }
}

/// The registry's routes, to be nested as a service, which takes "/registry/" in as well:
/// `Router::nest_service("/registry", router(registry, tokens))`. `tokens` tells administrators.
pub fn router(registry: Arc<Registry>, tokens: Tokens) -> Router {
    Router::new()
        .fallback(handle)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Served { registry, tokens })
}

async fn handle(
    State(Served { registry, .. }): State<Served>,
    admin: Result<Admin, Problem>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    if let (true, Err(problem)) = (is_change(method.as_str(), &path), admin) {
        return refused(problem.kind);
    }
    // The registry writes to disk before it answers.
    let work = move || registry.handle(method.as_str(), &path, &body);
    match tokio::task::spawn_blocking(work).await {
        Ok((status, answer)) => respond(status, Body::from(answer.to_string())),
        Err(_) => respond(500, Body::empty()),
    }
}

/// In the registry's own words, which its clients understand.
fn refused(kind: Kind) -> Response {
    let status = kind.status().as_u16();
    let answer = json!({ "error_code": status, "message": kind.title() });
    respond(status, Body::from(answer.to_string()))
}

fn respond(status: u16, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

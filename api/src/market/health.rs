//! Health and metrics: alive, ready, and how much of what.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use super::App;
use crate::http::metrics::recorder;

/// The routes of health and metrics.
pub(super) fn router() -> Router<App> {
    use axum::routing::get;
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async || recorder().render()))
}

/// Restoring is not ready: a view that has not caught up would answer from the past, and a topology
/// that does not run would decide nothing. Nor is a first start whose catalogue is still being
/// filled.
async fn ready(State(app): State<App>) -> Response {
    let topologies = app.decides();
    let views = app.views.caught_up();
    let sql = app.sql.ping().await.is_ok();
    let catalogue = !app.is_seeding();
    let status = match topologies && views && sql && catalogue {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let word = |ready| if ready { "ready" } else { "not ready" };
    (
        status,
        Json(json!({
            "topologies": word(topologies),
            "views": word(views),
            "database": word(sql),
            "catalogue": word(catalogue),
        })),
    )
        .into_response()
}

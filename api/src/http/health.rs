//! Health and metrics: alive, ready, and how much of what.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;

use crate::market::App;

/// The routes of health and metrics.
pub fn router() -> Router<App> {
    use axum::routing::get;
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async || recorder().render()))
}

/// Restoring is not ready: a view that has not caught up would answer from the past. Nor is a
/// first start whose catalogue is still being filled.
async fn ready(State(app): State<App>) -> Response {
    let views = app.views.caught_up();
    let sql = app.sql.ping().await.is_ok();
    let catalogue = !app.is_seeding();
    let status = match views && sql && catalogue {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let word = |ready| if ready { "ready" } else { "not ready" };
    (
        status,
        Json(json!({
            "views": word(views),
            "database": word(sql),
            "catalogue": word(catalogue),
        })),
    )
        .into_response()
}

/// The process's metrics; the first call begins to record them.
pub fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded elsewhere: `/metrics` stays empty");
        }
        handle
    })
}

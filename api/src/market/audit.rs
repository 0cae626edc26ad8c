//! What the auditor has found, for administrators.

use axum::Json as Answer;
use axum::extract::State;
use axum::routing::get;
use millrace_avro::events::common::rfc3339;
use serde_json::{Value, json};

use super::{App, Router};
use crate::http::auth::Admin;
use crate::ports::FoundViolation;

pub(super) fn router() -> Router {
    Router::new().route("/api/admin/audit", get(show))
}

/// Counts of everything, and the latest violations, the newest first.
async fn show(State(app): State<App>, Admin(_): Admin) -> Answer<Value> {
    let audit = app.views.audit();
    let items: Vec<Value> = audit.latest.iter().map(shown).collect();
    Answer(json!({
        "violations": audit.by_invariant.values().sum::<u64>(),
        "violations_by_invariant": audit.by_invariant,
        "notes_by_code": audit.by_code,
        "items": items,
    }))
}

fn shown(violation: &FoundViolation) -> Value {
    json!({
        "id": violation.id.as_str(),
        "at": rfc3339(violation.at),
        "invariant": violation.found.invariant,
        "about": violation.found.aggregate,
        "detail": violation.found.detail,
    })
}

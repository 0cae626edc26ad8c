//! What the auditor has found, for administrators.

use axum::Json as Answer;
use axum::extract::State;
use axum::routing::get;
use millrace_avro::events::common::rfc3339;
use serde_json::{Value, json};

use super::{App, Router};
use crate::http::auth::Admin;
use crate::ports::FoundViolation;

/// The topology that finds it.
const AUDITOR: &str = "audit";

pub(super) fn router() -> Router {
    Router::new().route("/api/admin/audit", get(show))
}

/// Counts of everything, the latest violations, the newest first, and how many records the auditor
/// has not heard yet; null where it does not run in this process.
async fn show(State(app): State<App>, Admin(_): Admin) -> Answer<Value> {
    // Asked first: what it has found is shown a moment after it is heard.
    let behind = app.lags.of(AUDITOR).await;
    let audit = app.views.audit();
    let items: Vec<Value> = audit.latest.iter().map(shown).collect();
    Answer(json!({
        "behind": behind,
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

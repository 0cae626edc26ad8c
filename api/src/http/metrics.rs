//! The process's metrics: how much of what.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;

/// How often measurements are summed up.
const UPKEEP: Duration = Duration::from_secs(5);

fn describe() {
    for (name, help) in [
        ("http_requests_total", "Requests answered."),
        (
            "process_records_total",
            "Records that an application has processed.",
        ),
        (
            "commit_total",
            "Transactions that an application has committed.",
        ),
        (
            "commit_failures_total",
            "Transactions that were aborted, or whose end was unknown.",
        ),
        (
            "dead_letter_records_total",
            "Records set aside, by the topic that they came from.",
        ),
        ("dropped_records_total", "Records skipped, by reason."),
        (
            "restore_records_total",
            "Changelog records read to restore stores.",
        ),
        (
            "effect_failures_total",
            "Calls to the outside that failed, and are repeated.",
        ),
        (
            "redis_views_applied_total",
            "Records applied to the views in Redis.",
        ),
        (
            "cache_reads_failed_total",
            "Reads that Redis did not answer in time.",
        ),
    ] {
        metrics::describe_counter!(name, help);
    }
    for (name, help) in [
        ("orders", "Orders, by status."),
        (
            "input_lag_records",
            "Records that an application has not committed yet, by topic.",
        ),
        (
            "redis_views_up",
            "1 while Redis takes what is applied to it.",
        ),
    ] {
        metrics::describe_gauge!(name, help);
    }
    metrics::describe_histogram!("http_request_seconds", "How long answers took.");
    metrics::describe_histogram!(
        "log_journal_sync_seconds",
        "How long fsync of the log took."
    );
}

/// Lets the recorder sort what was measured into its summaries, again and again: it keeps each
/// measurement until then, and nobody may come to read the metrics.
pub async fn upkeep() {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder().run_upkeep();
    }
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
        describe();
        handle
    })
}

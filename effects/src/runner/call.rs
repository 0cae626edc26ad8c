//! One event's calls: attempts with a time limit, a bound on how many run at once, and backoff.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use millrace_streams::serde::Data;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::handler::{Failure, Handled, Handler, Input, Output};
use super::retry::RetryPolicy;

/// What all calls of an instance share.
#[derive(Debug)]
pub(super) struct Limits {
    /// One permit for each attempt that may run at once. A call that waits for its next attempt
    /// holds none.
    pub(super) slots: Semaphore,
    pub(super) attempt_timeout: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) record_bytes_max: usize,
}

/// Why an event is given up: a dead letter says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

/// Calls until there is an answer, or it is clear that there will be none.
pub(super) async fn call<K: Data, V: Data, H: Handler<K, V>>(
    handler: Arc<H>,
    mut event: Input<K, V>,
    limits: &Limits,
) -> Result<Vec<Output<H::Key, H::Value>>, GivenUp> {
    loop {
        let reason = match attempt(&*handler, &event, limits).await {
            Ok(outputs) => return Ok(outputs),
            Err(Failure::Reject(reason)) => {
                return Err(GivenUp {
                    kind: "rejected",
                    reason,
                });
            }
            Err(Failure::Retry(reason)) => reason,
        };
        metrics::counter!("effect_failures_total", "topic" => event.partition.topic.to_string())
            .increment(1);
        tracing::warn!(
            partition = %event.partition, offset = event.offset, attempt = event.attempt, reason,
            "call failed"
        );
        if event.attempt >= limits.retry.attempts_max {
            return Err(GivenUp {
                kind: "exhausted",
                reason,
            });
        }
        sleep(
            limits
                .retry
                .wait(event.attempt, event.offset.cast_unsigned()),
        )
        .await;
        event.attempt += 1;
    }
}

async fn attempt<K: Data, V: Data, H: Handler<K, V>>(
    handler: &H,
    event: &Input<K, V>,
    limits: &Limits,
) -> Handled<H::Key, H::Value> {
    // Never closed, so it always gives a permit.
    let permit = limits.slots.acquire().await;
    let _permit = permit.map_err(|closed| Failure::retry(closed.to_string()))?;
    // A handler that panics has lost nothing but its own attempt; what it shares with others is its
    // own to keep whole.
    let calling = AssertUnwindSafe(handler.handle(event)).catch_unwind();
    match timeout(limits.attempt_timeout, calling).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::retry("the handler panicked")),
        Err(_) => {
            let limit = limits.attempt_timeout;
            Err(Failure::retry(format!("no answer within {limit:?}")))
        }
    }
}

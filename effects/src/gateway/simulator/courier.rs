//! Webhooks on their way: signed, sent until somebody takes them; twice, late or out of order when
//! asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use millrace_streams::Clock;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::gateway::webhook::{Notice, Secret};

/// How many webhooks are on their way at once.
const AT_ONCE: usize = 64;
/// How often a webhook is sent before it is given up until the next start.
const ATTEMPTS: u32 = 12;
/// The wait after the first failure; it doubles with each, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Takes webhooks: an HTTP client that posts them, or the market's own endpoint.
pub trait WebhookSink: Send + Sync + 'static {
    /// Hands a body over, with its header [`SIGNATURE`](crate::gateway::webhook::SIGNATURE). Ends
    /// well once it is in the log; else it is sent again.
    fn deliver(&self, body: Vec<u8>, signature: String) -> BoxFuture<'_, Result<(), String>>;
}

/// How webhooks are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// How often each is sent, even if it was taken: 2 for duplicates, 0 to lose all.
    pub copies: u32,
    /// How late each is sent, in milliseconds.
    pub delay_ms: u64,
    /// Every other webhook is held back for this long, in milliseconds, so that the next one of the
    /// same charge overtakes it.
    pub hold_ms: u64,
}

impl Default for Delivery {
    /// Once, and at once.
    fn default() -> Self {
        Self {
            copies: 1,
            delay_ms: 0,
            hold_ms: 0,
        }
    }
}

/// Sends webhooks.
pub(super) struct Courier {
    secret: Secret,
    clock: Arc<dyn Clock>,
    delivery: RwLock<Delivery>,
    /// Nobody takes webhooks before this is set.
    sink: watch::Sender<Option<Arc<dyn WebhookSink>>>,
    slots: Semaphore,
}

impl Courier {
    pub(super) fn new(secret: Secret, clock: Arc<dyn Clock>) -> Self {
        Self {
            secret,
            clock,
            delivery: RwLock::default(),
            sink: watch::Sender::new(None),
            slots: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) fn deliver_to(&self, sink: Arc<dyn WebhookSink>) {
        self.sink.send_replace(Some(sink));
    }

    pub(super) fn set_delivery(&self, delivery: Delivery) {
        *self.delivery.write() = delivery;
    }

    /// Sends the notice of entry number `n` until it is taken. False if nobody takes it.
    pub(super) async fn send(&self, n: u64, notice: &Notice) -> bool {
        let delivery = *self.delivery.read();
        let held = if n.is_multiple_of(2) {
            0
        } else {
            delivery.hold_ms
        };
        sleep(Duration::from_millis(
            delivery.delay_ms.saturating_add(held),
        ))
        .await;
        let Ok(body) = serde_json::to_vec(notice) else {
            return false;
        };
        let mut taken = false;
        for _ in 0..delivery.copies {
            taken |= self.send_until_taken(&body).await;
        }
        taken
    }

    async fn send_until_taken(&self, body: &[u8]) -> bool {
        let mut sinks = self.sink.subscribe();
        let Ok(sink) = sinks
            .wait_for(Option::is_some)
            .await
            .map(|sink| sink.clone())
        else {
            return false;
        };
        let Some(sink) = sink else { return false };
        for attempt in 0..ATTEMPTS {
            let signature = self.secret.sign(self.clock.now(), body);
            let permit = self.slots.acquire().await;
            let taken = sink.deliver(body.to_vec(), signature).await;
            drop(permit);
            match taken {
                Ok(()) => return true,
                Err(reason) => tracing::warn!(attempt, reason, "a webhook was not taken"),
            }
            sleep(
                FIRST_WAIT
                    .saturating_mul(1 << attempt.min(16))
                    .min(LONGEST_WAIT),
            )
            .await;
        }
        false
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier")
            .field("delivery", &*self.delivery.read())
            .finish_non_exhaustive()
    }
}

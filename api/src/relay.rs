//! The relay: what accounts have committed goes to the log and to the mailer; what is old goes away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::accounts::AccountError;
use crate::accounts::mail::{Mailer, send_waiting};
use crate::market::App;
use crate::ports::{Message, PortError};

/// How long the relay sleeps when nothing wakes it: another instance may have died half-way.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often what is too old is looked for, unless it ages faster.
const FORGET_AGAIN: Duration = Duration::from_secs(60);

/// Why the relay stands still.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Accounts(#[from] AccountError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Relays until the task is aborted. What fails is tried again.
pub(crate) async fn run(app: App, mailer: Arc<dyn Mailer>) {
    let mut forgets_at = Instant::now();
    loop {
        if let Err(error) = relay(&app, mailer.as_ref()).await {
            warn!(%error, "the outbox waits; it is tried again");
        }
        if Instant::now() >= forgets_at {
            forget(&app).await;
            forgets_at = Instant::now() + FORGET_AGAIN.min(app.settings.times.idempotency_ttl);
        }
        // Woken or not, it looks.
        timeout(LOOK_AGAIN, app.accounts.outbox().wait()).await.ok();
    }
}

async fn relay(app: &App, mailer: &dyn Mailer) -> Result<(), RelayError> {
    let outbox = app.accounts.outbox();
    loop {
        let waiting = outbox.waiting().await?;
        if waiting.is_empty() {
            break;
        }
        for event in waiting {
            let message = Message::User(event.user.clone(), event.event.clone());
            app.commands.append(event.meta.clone(), message).await?;
            outbox.published(&event).await?;
        }
    }
    send_waiting(&app.sql, mailer).await?;
    Ok(())
}

/// Forgets what is too old.
async fn forget(app: &App) {
    if let Err(error) = app.accounts.forget_expired().await {
        warn!(%error, "tokens that have expired are kept");
    }
    if let Err(error) = app.idempotency().forget_old().await {
        warn!(%error, "idempotency keys that are too old are kept");
    }
}

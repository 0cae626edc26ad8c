//! The effect runner: committed events in, calls to the outside world, their results back as events.
//!
//! It is an application like any other to the log: a group of its own, whose members share the
//! partitions. Each input topic has a [`Handler`].
//!
//! - **Order.** Events of one key run one after the other; all others run side by side, as many at
//!   once as [`EffectsConfig::concurrency`] says.
//! - **Results and positions** are committed in one transaction, and only as far as *every* event
//!   before is done: what is done out of turn waits. So no event is lost, and each result is written
//!   once. A crash repeats calls whose results were not committed; handlers are idempotent.
//! - **Failures.** A call that fails is made again, with exponential backoff and jitter. One that
//!   fails too often, and an event that cannot be read, go to the application's dead-letter topic,
//!   in the same transaction, as the engine's own bad records do.
//!
//! ```no_run
//! use std::sync::Arc;
//! use millrace_effects::runner::{Effects, EffectsConfig, Handled, Handler, Input, Output};
//! use millrace_streams::Topic;
//! use millrace_streams::log::Log;
//!
//! const MAILS: Topic<String, String> = Topic::new("mails");
//! const MAILED: Topic<String, String> = Topic::new("mailed");
//!
//! struct Mailer;
//!
//! impl Handler<String, String> for Mailer {
//!     type Key = String;
//!     type Value = String;
//!
//!     async fn handle(&self, mail: &Input<String, String>) -> Handled<String, String> {
//!         // ... send it, with its key as idempotency key ...
//!         Ok(vec![Output::new(mail.key.clone(), "sent".to_owned(), mail.timestamp)])
//!     }
//! }
//!
//! # fn start(log: Arc<dyn Log>) -> Result<(), Box<dyn std::error::Error>> {
//! let effects = Effects::new("mailing").on(MAILS, MAILED, Mailer);
//! let running = effects.start(&*log, EffectsConfig::default(), "0", tokio::runtime::Handle::current())?;
//! running.stop()?;
//! # Ok(())
//! # }
//! ```

mod call;
mod config;
mod effects;
mod handler;
mod lane;
mod results;
mod retry;
mod window;
mod worker;

pub use config::EffectsConfig;
pub use effects::{Effects, Running};
pub use handler::{Failure, Handled, Handler, Input, Output};
pub use retry::RetryPolicy;
pub use worker::{EffectsError, Progress, Worker};

//! The runtime: stream threads that run an application's tasks on a log.

mod clock;
mod commit;
mod config;
mod query;
mod restore;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::StreamsConfig;
pub use query::QueryableStore;
pub(crate) use query::StoreRegistry;
pub(crate) use restore::restore_batch;

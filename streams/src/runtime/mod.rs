//! The runtime: stream threads that run an application's tasks on a log.

mod application;
mod changelogs;
mod cleanup;
mod clock;
mod commit;
mod config;
mod global;
mod partitions;
mod query;
mod restore;
mod shared;
mod thread;

pub use application::{Application, ApplicationState, Streams, StreamsBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::StreamsConfig;
pub use query::QueryableStore;
pub use thread::{Progress, StreamThread};

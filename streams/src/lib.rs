//! Stateful stream processing as a library, with the model of Kafka Streams.

pub mod catalog;
pub mod headers;
pub mod log;
pub mod partitioner;
pub mod serde;
pub mod time;

pub use catalog::{Store, Topic};
pub use time::Timestamp;

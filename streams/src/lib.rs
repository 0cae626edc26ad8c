//! Stateful stream processing as a library, with the model, the words and the semantics of Kafka
//! Streams.
//!
#![doc = include_str!("../docs/overview.md")]
#![deny(missing_docs)]

pub mod catalog;
mod codec;
mod driver;
mod dsl;
mod error;
mod global;
pub mod headers;
pub mod log;
mod operators;
pub mod partitioner;
mod processor;
mod record;
mod runtime;
pub mod serde;
mod simulation;
mod store;
mod task;
mod time;
mod topology;
mod transition;

pub use catalog::{Store, Topic};
pub use codec::RecordCodec;
pub use driver::{
    TestDriverOptions, TestInput, TestOutput, TestRecord, TestStore, TopologyTestDriver,
};
pub use dsl::{
    GlobalKTable, KStream, KTable, Keyed, Keying, Partitioned, Rekeyed, RekeyedStream, Scope,
};
pub use error::{Error, ProcessError, ProcessResult, TopologyError};
pub use operators::{Branch, ConnectedStores};
pub use processor::{InitContext, Processor, ProcessorContext, Punctuation};
pub use record::{Change, Record, RecordMetadata};
pub use runtime::{
    Application, ApplicationState, Clock, ManualClock, Progress, QueryableStore, StreamThread,
    Streams, StreamsBuilder, StreamsConfig, SystemClock,
};
pub use simulation::{Seeds, Simulation};
pub use store::{Entries, KeyValueStore, StoreAccess, Timestamped};
pub use task::{
    BeyondSkew, ErrorHandling, OnError, PunctuationId, PunctuationKind, TimestampPolicy,
};
pub use time::Timestamp;
pub use topology::{Part, PartNode, Role, Topology};
pub use transition::{Step, Transition};

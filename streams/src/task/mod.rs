//! Tasks: one partition of one sub-topology each, as deterministic state machines.
//!
//! Records and ticks go in, records and store writes come out. A task reads no clock, no random
//! source and no socket, so the same task runs on a stream thread, in the test driver and in the
//! simulation.

mod active;
mod context;
mod dead_letter;
mod failure;
mod inputs;
mod origins;
mod panic;
mod punctuation;
mod stores;
mod timestamps;

pub(crate) use active::{Task, decode_stream_time};
pub(crate) use context::TaskContext;
pub(crate) use dead_letter::{DeadLetters, Handling};
pub use dead_letter::{ErrorHandling, OnError};
pub(crate) use inputs::Inputs;
pub(crate) use panic::catch;
pub use punctuation::{PunctuationId, PunctuationKind};
pub(crate) use stores::{ChangeList, RawChange, TaskStore, pairs};
pub use timestamps::{BeyondSkew, TimestampPolicy};

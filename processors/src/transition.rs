//! The shape of a rule: an event or a deadline goes in, a new state and effects come out.
//!
//! It is the engine's own: [`millrace_streams::KStream::transition`] runs a rule as it stands here.

pub use millrace_streams::{Step, Transition};

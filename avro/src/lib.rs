//! The contracts of the log: what an event is, how it becomes bytes, and who keeps its schema.
//!
//! - [`event::Event`] is one fact or command: a body of a closed set of record types
//!   ([`event::EventSet`]) and its metadata ([`event::Meta`]).
//! - [`codec`] turns it into Confluent's wire format, and resolves what older writers wrote.
//! - [`registry::Registry`] is a schema registry inside the process, with Confluent's HTTP API.

#![deny(missing_docs)]

pub mod catalog;
pub mod codec;
pub mod event;
pub mod events;
pub mod keys;
pub mod money;
pub mod registry;
#[cfg(test)]
mod samples;

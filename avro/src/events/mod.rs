//! The records of the market: what is asked, what has happened, what is remembered, what is shown.
//!
//! One folder per domain, and in it one struct per Avro record. The structs say in Rust what the
//! files in `schemas/` say in Avro, field by field; a test holds them together.
//!
//! - *Commands* ask, in the imperative (`inventory.reserve`); one task owns the decision.
//! - *Facts* tell what has happened, in the past tense (`inventory.reserved`).
//! - *State* is what a rule remembers of one aggregate.
//! - *Views* are what clients read; their JSON is the JSON of the API.
//!
//! Times in views are text as RFC 3339 has it; elsewhere they are milliseconds since the Unix
//! epoch. Quantities are pieces.

pub mod audit;
pub mod carts;
pub mod common;
pub mod inventory;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod products;
pub mod recommendations;
pub mod users;

#[cfg(test)]
mod round_trip;

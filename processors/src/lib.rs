//! The rules of the market: pure, total and deterministic.
//!
//! A rule takes a state and an event, and answers with a new state, effects and a deadline
//! ([`transition::Transition`]). It does no IO, reads no clock and no random source, and does
//! not know who runs it: the engine, a test or a replay keeps the state and carries the effects out.
//! So every rule can be tested cell by cell, and run again over the log with the same result.
//!
//! - [`order`] is the saga that leads an order through stock and payment.
//! - [`inventory`] decides about the stock of a SKU, and [`payment`] about the money of an order.
//! - [`cart`] and [`product`] keep what is wanted and what is offered; [`pricing`] adds it up.
//! - [`audit`] watches the facts of all of them for contradictions.
//! - [`demo`] makes a catalogue to begin with.

pub mod audit;
pub mod cart;
pub mod demo;
pub mod emit;
pub mod inventory;
pub mod order;
pub mod payment;
pub mod pricing;
pub mod product;
pub mod transition;

//! What touches the outside world: payment gateways, caches, webhooks. Every call is idempotent.
//!
//! An effect is never called from a topology. A topology writes what it wants done as an event; when
//! that is committed, an [`Effects`](runner::Effects) application of its own reads it, makes the
//! call, and writes what came of it back, in one transaction with the position that it has reached.
//! So a crash repeats calls, and only such as may be repeated; replaying a topology repeats none.
//!
//! - [`runner`] reads, calls, retries and commits;
//! - [`gateway`] is what payment gateways have in common, with a simulator that stands in for one;
//! - [`payments`] turns the calls that the payment rule wants into calls of a gateway.

#![deny(missing_docs)]

pub mod runner;

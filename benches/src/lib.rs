//! Measurements: the engine against Kafka Streams on one broker, and what its parts cost.
//!
//! | module | is |
//! | --- | --- |
//! | [`orders`] | how long an order of a running market takes |
//! | [`sample`] | the records that are measured with, the same in every run |
//! | [`streams`] | whole applications, each in a process of its own, beside their JVM twin |
//! | [`usage`] | what a process has taken of the machine |
//!
//! The micro benches, in `benches/`, run with `cargo bench -p millrace-benches`.

pub mod clock;
pub mod orders;
pub mod sample;
pub mod streams;
pub mod usage;

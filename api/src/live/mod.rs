//! The ports on a log: commands are appended to it, views are folded from it.

pub mod memory;

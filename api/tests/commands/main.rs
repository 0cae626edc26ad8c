//! The program's commands, and what it refuses, on the real binary.

mod audit;
mod history;
mod poison;
mod refused;
mod subset;
mod support;
mod tools;

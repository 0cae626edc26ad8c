//! The program's commands, and what it refuses, on the real binary.

mod audit;
mod help;
mod history;
mod poison;
mod refused;
mod subset;
mod support;
mod tools;
mod unread;

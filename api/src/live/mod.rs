//! The ports on a log: commands are appended to it, views are folded from it.

pub mod audit;
pub mod cache;
pub mod commands;
pub mod lag;
pub mod memory;
mod replies;
pub mod views;

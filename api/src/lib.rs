//! The market's API: commands become events, reads come from views, accounts live in SQL.
//!
//! - [`config::Settings`] is what the program was told.
//! - [`accounts::Accounts`] knows who a client is.
//! - [`ground::Ground`] is the log and the registry, [`serve::Instance`] what runs on them.
//! - [`ports`] is all that the routes know of the market: [`ports::Commands`], [`ports::Views`].
//! - [`commands::run`] is what the program does besides serving.
//! - [`market::router`] is the whole API, [`registry_http::router`] the embedded registry's.

pub mod accounts;
pub mod clock;
pub mod commands;
pub mod config;
mod file;
pub mod gateway;
pub mod ground;
pub mod http;
mod ledger;
pub mod live;
pub mod market;
pub mod outside;
mod parts;
pub mod ports;
pub mod registry_http;
mod relay;
pub mod seed;
pub mod serve;
pub mod sql;
mod unfinished;

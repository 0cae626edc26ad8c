//! The API over real HTTP.

mod accounts;
mod market;
mod registry;
mod support;

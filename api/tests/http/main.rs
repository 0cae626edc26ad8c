//! The API over real HTTP.

mod accounts;
mod cache;
mod market;
mod orders;
mod protocol;
mod registry;
mod support;

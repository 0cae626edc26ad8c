//! The API over real HTTP.

mod accounts;
mod cache;
mod market;
mod registry;
mod support;

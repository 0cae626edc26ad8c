//! The API over real HTTP.

mod accounts;
mod cache;
mod fields;
mod limits;
mod market;
mod orders;
mod pages;
mod preconditions;
mod protocol;
mod registry;
mod routes;
mod streams;
mod support;
mod webhooks;

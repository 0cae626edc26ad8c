//! The API over real HTTP.

mod accounts;
mod cache;
mod categories;
mod facts;
mod fulfilment;
mod limits;
mod market;
mod orders;
mod pages;
mod preconditions;
mod protocol;
mod registry;
mod stock;
mod streams;
mod support;
mod webhooks;

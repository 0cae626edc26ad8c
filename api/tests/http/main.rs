//! The API over real HTTP.

mod accounts;
mod cache;
mod categories;
mod facts;
mod fields;
mod fulfilment;
mod limits;
mod market;
mod orders;
mod pages;
mod preconditions;
mod protocol;
mod registry;
mod routes;
mod stock;
mod streams;
mod support;
mod webhooks;

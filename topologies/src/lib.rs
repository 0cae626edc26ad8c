//! The wiring of the market: one file, one topology, one diagram.
//!
//! A topology reads the topics of the typed catalogue, runs the rules of `processors`, and writes
//! what they decide. New behaviour is one more file and one more line in [`registry`].

mod audit;
mod carts;
mod categories;
mod inventory;
mod orders;
mod payments;
mod products;
pub mod registry;
mod views;

pub use audit::audit;
pub use carts::carts;
pub use categories::categories;
pub use inventory::inventory;
pub use orders::orders;
pub use payments::payments;
pub use products::products;
pub use views::views;

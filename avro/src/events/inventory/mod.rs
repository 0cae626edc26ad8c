//! Inventory: commands, facts, the state of a SKU, and the view that clients read.

mod commands;
mod facts;
mod state;
mod types;

pub use commands::*;
pub use facts::*;
pub use state::*;
pub use types::*;

//! Carts: commands, facts, state and view.

mod commands;
mod facts;
mod state;
mod types;

pub use commands::*;
pub use facts::*;
pub use state::*;
pub use types::*;

//! Products and categories: commands, facts, state and views.

mod commands;
mod facts;
mod state;
mod types;

pub use commands::*;
pub use facts::*;
pub use state::*;
pub use types::*;

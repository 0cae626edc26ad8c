//! Orders: commands, facts, the saga's state, and the view that clients read.

mod commands;
mod facts;
mod state;
mod types;

pub use commands::*;
pub use facts::*;
pub use state::*;
pub use types::*;

//! The typed DSL: streams and tables are handles on a scope, drawn inside
//! [`crate::Topology::define`].

mod scope;
mod stream;
mod table;

pub use scope::Scope;
pub use stream::{KStream, Keyed, Keying, Partitioned, Rekeyed, RekeyedStream};
pub use table::{GlobalKTable, KTable};

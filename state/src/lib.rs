//! State for stream processing: bytes in, bytes out.
//!
//! A task's writes collect in a buffer until their transaction is known to be committed. Only then
//! do they become the committed state, which lives in memory and follows to disk in the
//! background. This crate knows neither the log nor the topology: it is told when to commit, and
//! which changelog offset the state then reaches.
//!
//! ```text
//!            put, delete             commit                 flush, in the background
//!   task ───────────────▶  buffer ───────────▶  memory  ───────────────────────────▶  disk
//!    ▲                        │                    │                                    │
//!    └── get, range ──────────┴────────────────────┴────────────────────────────────────┘
//!                                                  └── readers, on other threads ───────┘
//! ```
//!
//! - [`StateDir`] is one process's directory: its lock, its identity, one memory budget.
//! - [`Store`] is one task's key-value store, with one owner.
//! - [`Changes`] lists what a commit is about to change, for changelogs and downstream tables.
//! - [`StoreReader`] reads the committed state from any thread.
//! - [`Origin`] says which changelog a store follows, and how fresh it is.
//! - [`MemoryDisk`] stands in for the disk in tests and simulations, and outlives a crash.
//!
//! # What holds
//! - The disk is never ahead of the committed state, and always carries the offset that it
//!   reaches. After a crash a store is exactly its last whole flush, and rolls forward from
//!   [`Store::position`].
//! - While a store fits the memory budget, no read goes to disk once it is warm.
//! - The same calls give the same bytes in the same order: hashes have a fixed seed, nothing reads
//!   a clock, and over a [`MemoryDisk`] nothing runs on another thread.
//!
//! # Example
//! ```
//! use millrace_state::{StateDir, StoreId, StoreOptions};
//!
//! let dir = StateDir::in_memory();
//! let id = StoreId::new("shop", "0_3", "customer-by-id");
//! let mut store = dir.open_store(&id, StoreOptions { ordered: true, changelog: true })?;
//! let queries = store.reader();
//!
//! store.put(b"c-1", b"Ada")?;
//! assert_eq!(store.get(b"c-1")?.as_deref(), Some(b"Ada".as_slice()));
//! assert_eq!(queries.get(b"c-1")?, None);
//!
//! for change in store.changes() {
//!     // This is what a changelog record is made of.
//!     assert_eq!((change.key, change.new), (&b"c-1"[..], Some(&b"Ada"[..])));
//!     assert_eq!(change.old()?, None);
//! }
//! store.commit(Some(1))?;
//! assert_eq!(queries.get(b"c-1")?.as_deref(), Some(b"Ada".as_slice()));
//! assert_eq!(store.position(), Some(1));
//! # Ok::<(), millrace_state::Error>(())
//! ```
#![deny(missing_docs)]

mod backend;
mod budget;
mod buffer;
mod changes;
mod committed;
mod dir;
mod error;
mod flush;
mod iter;
mod layout;
mod memory;
mod origin;
mod range;
mod reader;
mod record;
mod remove;
mod store;
mod warm;

pub use backend::MemoryDisk;
pub use changes::{Change, Changes};
pub use dir::{StateDir, StateOptions, StoreId, StoreOptions};
pub use error::Error;
pub use iter::Range;
pub use origin::Origin;
pub use reader::StoreReader;
pub use record::{Entry, KEY_BYTES_MAX, VALUE_BYTES_MAX, Value};
pub use store::Store;

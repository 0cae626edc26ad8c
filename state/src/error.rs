//! The one error type: coarse kinds, each of which says what to do.

use std::io;
use std::path::Path;

/// Why the state directory or a store refused.
///
/// The kinds are coarse on purpose: each stands for one reaction of the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process holds the state directory.
    #[error(
        "state directory '{path}' is in use by another process; \
         stop that process, or give this one a directory of its own"
    )]
    Locked {
        /// The directory.
        path: String,
    },

    /// The directory was written by another format version.
    #[error(
        "state directory '{path}' has format '{found}', this version reads '{expected}'; \
         run the version that wrote it, or delete the directory to restore from the changelogs"
    )]
    Incompatible {
        /// The directory.
        path: String,
        /// What its format file says.
        found: String,
        /// What this version understands.
        expected: String,
    },

    /// What is on disk fails its checks. It is never served.
    #[error("'{what}' is damaged ({reason}); set it aside and restore from the changelogs")]
    Corrupted {
        /// The file, the directory or the store.
        what: String,
        /// Which check failed.
        reason: String,
    },

    /// The operating system refused.
    #[error("{action} failed: {source}; check the disk's space, permissions and health")]
    Io {
        /// What was tried, with its path.
        action: String,
        /// The operating system's answer.
        source: io::Error,
    },

    /// A flush failed earlier, so what is on disk is unknown until the directory is opened anew.
    #[error(
        "store '{store}' takes no further writes since a flush failed ({reason}); \
         repair the cause and open the state directory again: the last whole flush is intact"
    )]
    Poisoned {
        /// The store.
        store: String,
        /// Why the flush failed.
        reason: String,
    },

    /// The store is open already, and a store has one owner.
    #[error("store '{store}' is already open in this process; close it first")]
    StoreOpen {
        /// The store.
        store: String,
    },

    /// The store was closed; its readers answer nothing more.
    #[error("store '{store}' is closed; ask again once its task runs here or elsewhere")]
    StoreClosed {
        /// The store.
        store: String,
    },

    /// The caller passed something that cannot be stored.
    #[error("{what} is not valid: {rule}")]
    Invalid {
        /// What was passed.
        what: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl Error {
    /// Wraps an error of the operating system with what was tried.
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action: format!("{action} '{}'", path.display()),
            source,
        }
    }
}

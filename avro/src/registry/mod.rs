//! A schema registry inside the process: subjects, versions, ids and compatibility.
//!
//! [`Registry`] keeps its state in memory and what it was told in a [`RegistryStore`].
//! [`Registry::handle`] answers requests of Confluent's HTTP API, whatever server brought them.
//!
//! ```
//! use millrace_avro::registry::Registry;
//!
//! let registry = Registry::in_memory();
//! let body = br#"{"schema": "{\"type\": \"record\", \"name\": \"R\", \"fields\": []}"}"#;
//! let (status, answer) = registry.handle("POST", "/subjects/orders-R/versions", body);
//! assert_eq!((status, &answer["id"]), (200, &1.into()));
//! ```

mod api;
mod compatibility;
mod state;
mod store;

use std::io;

use parking_lot::Mutex;

pub use api::is_change;
pub use compatibility::Level;
pub use store::{Entry, FileStore, Forgetful, RegistryStore};

use state::{Definition, State};

/// How many versions a subject may have, deleted ones included: each new one is compared with all.
const VERSIONS_MAX: u32 = 1000;

/// A schema registry.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    store: Box<dyn RegistryStore>,
}

/// Why a registry does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No subject of this name, or all its versions are deleted.
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    /// The subject has no such version.
    #[error("Version {0} not found.")]
    VersionNotFound(u32),
    /// No such schema.
    #[error("Schema not found")]
    SchemaNotFound,
    /// The text is not a schema that this registry takes.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// Not a version: a number from 1, or `latest`.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between \
         [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// Not a compatibility level.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, \
         backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel,
    /// The subject has no level of its own.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoLevel(String),
    /// The schema does not go with the subject's versions.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \
         \"{subject}\", details: {breaks:?}"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// One line per break.
        breaks: Vec<String>,
    },
    /// The request's body is not what it should be.
    #[error("Unprocessable request: {0}")]
    BadRequest(String),
    /// A version can only be deleted softly: records that bear its id are to stay readable.
    #[error("Permanent deletion is not supported; records of the schema would become unreadable")]
    Permanent,
    /// No such resource.
    #[error("HTTP 404 Not Found")]
    NoResource,
    /// The resource has no such method.
    #[error("HTTP 405 Method Not Allowed")]
    NoMethod,
    /// The subject has too many versions.
    #[error("Subject '{0}' has {VERSIONS_MAX} versions, which is the most; use another subject")]
    Full(String),
    /// The store failed.
    #[error("Error in the backend data store: {0}")]
    Store(#[from] io::Error),
}

impl Registry {
    /// The registry that `store` remembers.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what no registry wrote.
    pub fn open(mut store: impl RegistryStore) -> Result<Self, RegistryError> {
        let mut state = State::default();
        for entry in store.load()? {
            state.replay(entry)?;
        }
        let store = Box::new(store);
        Ok(Self {
            inner: Mutex::new(Inner { state, store }),
        })
    }

    /// A registry that is gone with its process.
    pub fn in_memory() -> Self {
        let store = Box::new(Forgetful);
        let state = State::default();
        Self {
            inner: Mutex::new(Inner { state, store }),
        }
    }

    /// Makes `schema` a version of `subject`, and returns the schema's id. A schema that is a
    /// version already stays that version; a schema known under another subject keeps its id.
    ///
    /// # Errors
    /// [`RegistryError::InvalidSchema`], [`RegistryError::Incompatible`], [`RegistryError::Full`],
    /// [`RegistryError::Store`].
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let definition = Definition::parse(schema)?;
        let inner = &mut *self.inner.lock();
        if let Ok((_, id)) = inner.state.lookup(subject, &definition) {
            return Ok(id);
        }
        let breaks = inner.state.breaks(subject, &definition);
        if !breaks.is_empty() {
            let subject = subject.to_owned();
            return Err(RegistryError::Incompatible { subject, breaks });
        }
        let (version, id) = inner.state.next(subject, &definition);
        if version > VERSIONS_MAX {
            return Err(RegistryError::Full(subject.to_owned()));
        }
        inner.store.append(&Entry::Version {
            subject: subject.to_owned(),
            version,
            id,
            schema: schema.to_owned(),
        })?;
        inner.state.add(subject, version, id, definition);
        Ok(id)
    }

    /// The text of the schema `id`, even if every version of it is deleted.
    pub fn schema(&self, id: u32) -> Option<String> {
        let inner = self.inner.lock();
        inner.state.definition(id).map(|found| found.text.clone())
    }

    /// Sets the level of `subject`, or of all subjects that have none of their own; `None` unsets
    /// it.
    ///
    /// # Errors
    /// [`RegistryError::Store`].
    pub fn set_level(
        &self,
        subject: Option<&str>,
        level: Option<Level>,
    ) -> Result<(), RegistryError> {
        let inner = &mut *self.inner.lock();
        inner.store.append(&Entry::Level {
            subject: subject.map(str::to_owned),
            level,
        })?;
        inner.state.set_level(subject, level);
        Ok(())
    }

    /// Deletes versions of `subject` softly: one, or all. Returns their numbers.
    fn delete(&self, subject: &str, only: Option<u32>) -> Result<Vec<u32>, RegistryError> {
        let inner = &mut *self.inner.lock();
        let mut versions = inner.state.versions(subject, false)?;
        if let Some(only) = only {
            versions.retain(|version| *version == only);
        }
        for version in &versions {
            inner.store.append(&Entry::Deleted {
                subject: subject.to_owned(),
                version: *version,
            })?;
            inner.state.delete(subject, *version);
        }
        Ok(versions)
    }
}

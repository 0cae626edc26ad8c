//! The schema client: the ids of this program's schemas, and the schemas of others' ids.
//!
//! Ids are registered when a serde is built, at start-up, and fetched when a record bears an id
//! for the first time. Both are kept for ever, as a registry's schemas never change; so the
//! registry is never asked on the path of most records.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use millrace_streams::serde::{SerdeContext, SerdeError};
use parking_lot::{Mutex, RwLock};

use super::Schema;
use super::remote::{Remote, RemoteConfig};
use crate::registry::{Registry, RegistryError};

/// Registers and fetches schemas. Put one into the
/// [`Resources`](millrace_streams::serde::Resources) of an application.
pub struct SchemaClient {
    source: Source,
    /// By subject and schema.
    ids: Mutex<HashMap<(String, &'static str), u32>>,
    schemas: RwLock<HashMap<u32, Arc<Schema>>>,
}

#[derive(Debug)]
enum Source {
    Local(Arc<Registry>),
    Remote(Remote),
}

/// Why a registry did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no schema of this id.
    Unknown,
    /// It answered no: an incompatible schema, for instance.
    Refused(String),
    /// It did not answer.
    Unavailable(String),
}

impl SchemaClient {
    /// A client of a registry in this process. It makes no request, and starts no thread.
    pub fn local(registry: Arc<Registry>) -> Self {
        Self::new(Source::Local(registry))
    }

    /// A client of a registry with Confluent's HTTP API.
    ///
    /// # Errors
    /// [`SerdeError::Unavailable`] when its thread cannot be started.
    pub fn http(config: impl Into<RemoteConfig>) -> Result<Self, SerdeError> {
        let remote = Remote::start(&config.into());
        let remote = remote.map_err(|error| SerdeError::Unavailable {
            reason: format!("schema client: {error}"),
        })?;
        Ok(Self::new(Source::Remote(remote)))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            ids: Mutex::default(),
            schemas: RwLock::default(),
        }
    }

    /// The client among the resources of `at`.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when there is none.
    pub(super) fn of(at: &SerdeContext<'_>) -> Result<Arc<Self>, SerdeError> {
        at.resources.get().ok_or_else(|| SerdeError::Malformed {
            what: "SchemaClient",
            reason: "the application's resources have none; add one with `Resources::with`".into(),
        })
    }

    /// The id of the schema `text` of the record `full_name` in `topic`, registered if it was not:
    /// its subject is `<topic>-<full_name>` (the strategy TopicRecordName).
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the registry refuses the schema, for instance as incompatible;
    /// [`SerdeError::Unavailable`] when it does not answer.
    pub fn register(
        &self,
        topic: &str,
        full_name: &'static str,
        text: &'static str,
    ) -> Result<u32, SerdeError> {
        let key = (subject(topic, full_name), text);
        if let Some(id) = self.ids.lock().get(&key) {
            return Ok(*id);
        }
        let id = self
            .source
            .register(&key.0, text)
            .map_err(|refusal| refusal.into_error(full_name, &key.0))?;
        self.schemas
            .write()
            .insert(id, Arc::new(Schema::parse(text)?));
        self.ids.lock().insert(key, id);
        Ok(id)
    }

    /// The schema `id`; `what` names the type that is to be read, for the error.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the registry has no such schema, or it is not a record's;
    /// [`SerdeError::Unavailable`] when it does not answer.
    pub(super) fn schema(&self, what: &'static str, id: u32) -> Result<Arc<Schema>, SerdeError> {
        if let Some(schema) = self.schemas.read().get(&id) {
            return Ok(schema.clone());
        }
        let text = self
            .source
            .schema(id)
            .map_err(|refusal| refusal.into_error(what, &format!("schema {id}")))?;
        let schema = Arc::new(Schema::parse(&text)?);
        self.schemas.write().insert(id, schema.clone());
        Ok(schema)
    }
}

/// The subject of a record type in a topic, by the strategy TopicRecordName.
pub fn subject(topic: &str, full_name: &str) -> String {
    format!("{topic}-{full_name}")
}

impl fmt::Debug for SchemaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaClient({:?})", self.source)
    }
}

impl Source {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, Refusal> {
        match self {
            Self::Local(registry) => Ok(registry.register(subject, schema)?),
            Self::Remote(remote) => remote.register(subject, schema),
        }
    }

    fn schema(&self, id: u32) -> Result<String, Refusal> {
        match self {
            Self::Local(registry) => registry.schema(id).ok_or(Refusal::Unknown),
            Self::Remote(remote) => remote.schema(id),
        }
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => Self::Unavailable(error.to_string()),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl Refusal {
    fn into_error(self, what: &'static str, asked: &str) -> SerdeError {
        let malformed = |reason| SerdeError::Malformed { what, reason };
        match self {
            Self::Unknown => malformed(format!("the schema registry knows no {asked}")),
            Self::Refused(why) => malformed(format!("the schema registry refuses {asked}: {why}")),
            Self::Unavailable(why) => SerdeError::Unavailable {
                reason: format!("schema registry, asked for {asked}: {why}"),
            },
        }
    }
}

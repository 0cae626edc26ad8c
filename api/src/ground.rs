//! What everything stands on: the data folder, the log, and the schema registry.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use millrace_avro::catalog;
use millrace_avro::codec::{RemoteConfig, SchemaClient};
use millrace_avro::registry::{FileStore, Registry};
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::kafka::{KafkaLog, KafkaOptions};
use millrace_streams::log::{Log, TopicSpec};
use millrace_streams::serde::{Resources, SerdeError};
use millrace_topologies::registry::{self, ENTRIES, Limits};

use crate::config::Settings;

/// What everything is written to and read from.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The log.
    pub log: Arc<dyn Log>,
    /// What serdes need: the schema registry's client.
    pub resources: Resources,
    /// The registry of the embedded mode.
    pub registry: Option<Arc<Registry>>,
    /// Keeps other processes out of the data folder.
    _lock: Arc<File>,
}

impl Ground {
    /// Opens the log and the registry that the settings name.
    ///
    /// # Errors
    /// When one of them cannot be opened or reached.
    pub fn open(settings: &Settings) -> Result<Self> {
        let lock = lock(&settings.data)?;
        let log: Arc<dyn Log> = match &settings.kafka {
            Some(brokers) => Arc::new(KafkaLog::connect(cluster(settings, brokers))?),
            None => EmbeddedLog::open(settings.data.join("log"), EmbeddedOptions::default())?,
        };
        let (client, registry) = match &settings.registry {
            Some(url) => {
                let client = SchemaClient::http(RemoteConfig::from(url.as_str()));
                (client.with_context(|| format!("`registry` `{url}`"))?, None)
            }
            None => {
                let store = FileStore::open(&settings.data.join("registry.jsonl"))?;
                let registry = Arc::new(Registry::open(store)?);
                (SchemaClient::local(registry.clone()), Some(registry))
            }
        };
        let resources = Resources::new().with(Arc::new(client));
        Ok(Self {
            log,
            resources,
            registry,
            _lock: Arc::new(lock),
        })
    }

    /// Creates the topics that do not exist: those of the catalogue, and those that only the
    /// topologies know.
    ///
    /// # Errors
    /// When a topic exists with another number of partitions, or the log does not answer.
    pub fn create_topics(&self) -> Result<()> {
        let mut specs: Vec<TopicSpec> = catalog::topics().into_iter().map(|t| t.spec).collect();
        let known: BTreeSet<_> = specs.iter().map(|spec| spec.name.clone()).collect();
        let of_topologies = registry::topics(ENTRIES, &Limits::default())?;
        let own = of_topologies.into_iter();
        specs.extend(own.filter(|spec| !known.contains(&spec.name)));
        self.log
            .create_topics(&specs)
            .context("topics of the market")
    }
}

/// How to reach the cluster, and what its groups are told.
fn cluster(settings: &Settings, brokers: &str) -> KafkaOptions {
    let standbys = settings.standby_replicas.to_string();
    KafkaOptions::new(brokers).group_setting("streams.num.standby.replicas", standbys)
}

/// Says what to do about a registry that does not answer.
pub(crate) fn name_registry(error: anyhow::Error, settings: &Settings) -> anyhow::Error {
    let is_silent = matches!(error.downcast_ref(), Some(SerdeError::Unavailable { .. }));
    match &settings.registry {
        Some(url) if is_silent => error.context(format!(
            "`registry` at `{url}` does not answer as one; start it, or name another"
        )),
        _ => error,
    }
}

/// Makes the data folder, and keeps other processes out of it until the file is closed.
fn lock(data: &Path) -> Result<File> {
    let folder = || format!("data folder `{}`", data.display());
    std::fs::create_dir_all(data).with_context(folder)?;
    let file = File::create(data.join("lock")).with_context(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(anyhow!(
            "{} is in use by another process; stop it, or name another with `--data`",
            folder()
        )),
        Err(TryLockError::Error(error)) => Err(error).with_context(folder),
    }
}

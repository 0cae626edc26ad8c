//! Topics: create, delete, list.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::context::Quiet;
use super::options::KafkaOptions;
use crate::log::{Cleanup, LogError, TopicInfo, TopicSpec};

/// Topics whose names begin so are Kafka's own.
const KAFKA_INTERNAL: &str = "__";
/// How soon to look again whether a change has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The broker's default.
const REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// The topics of a cluster.
pub(super) struct Admin {
    client: AdminClient<Quiet>,
    timeout: Duration,
}

impl Admin {
    /// Connects in the background.
    pub(super) fn open(options: &KafkaOptions) -> Result<Self, LogError> {
        let config = options.admin();
        let client = config
            .create_with_context(Quiet)
            .map_err(|error| LogError::Config(error.to_string()))?;
        Ok(Self {
            client,
            timeout: options.request_timeout,
        })
    }

    /// Every topic but Kafka's own, by name, without its id.
    pub(super) fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, self.timeout)
            .map_err(|error| unavailable(&error))?;
        let topics = metadata.topics().iter();
        let mut topics: Vec<_> = topics
            .filter(|topic| !topic.name().starts_with(KAFKA_INTERNAL))
            .map(|topic| TopicInfo {
                name: topic.name().into(),
                id: None,
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn partitions_by_name(&self) -> Result<HashMap<String, i32>, LogError> {
        let topics = self.topics()?.into_iter();
        Ok(topics
            .map(|topic| (topic.name.to_string(), topic.partitions))
            .collect())
    }

    /// Creates what does not exist, and waits until it is there.
    pub(super) fn create(&self, specs: &[TopicSpec]) -> Result<(), LogError> {
        // Nothing is created when something is wrong.
        let existing = self.partitions_by_name()?;
        specs
            .iter()
            .try_for_each(|spec| check_partitions(&existing, spec))?;
        let missing: Vec<_> = specs
            .iter()
            .filter(|spec| !existing.contains_key(&*spec.name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.create_missing(&missing)?;
        self.wait_until(|topics| missing.iter().all(|spec| topics.contains_key(&*spec.name)))?;
        // Somebody else may have been faster, with another number of partitions.
        let existing = self.partitions_by_name()?;
        missing
            .iter()
            .try_for_each(|spec| check_partitions(&existing, spec))
    }

    fn create_missing(&self, specs: &[&TopicSpec]) -> Result<(), LogError> {
        let configs: Vec<_> = specs.iter().map(|spec| configs(spec.cleanup)).collect();
        let topics: Vec<_> = specs
            .iter()
            .zip(&configs)
            .map(|(spec, configs)| {
                let topic = NewTopic::new(&spec.name, spec.partitions, REPLICATION);
                configs
                    .iter()
                    .fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let results = block_on(self.client.create_topics(&topics, &self.options()));
        check(results, RDKafkaErrorCode::TopicAlreadyExists, "create")
    }

    /// Deletes topics, and waits until they are gone.
    pub(super) fn delete(&self, names: &[&str]) -> Result<(), LogError> {
        if names.is_empty() {
            return Ok(());
        }
        let results = block_on(self.client.delete_topics(names, &self.options()));
        check(results, RDKafkaErrorCode::UnknownTopicOrPartition, "delete")?;
        self.wait_until(|topics| names.iter().all(|name| !topics.contains_key(*name)))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }

    fn wait_until(&self, done: impl Fn(&HashMap<String, i32>) -> bool) -> Result<(), LogError> {
        let deadline = Instant::now() + self.timeout;
        while !done(&self.partitions_by_name()?) {
            if Instant::now() >= deadline {
                let text = "the cluster takes long to carry out a change of topics";
                return Err(LogError::Unavailable(text.into()));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

fn check_partitions(existing: &HashMap<String, i32>, spec: &TopicSpec) -> Result<(), LogError> {
    match existing.get(&*spec.name) {
        Some(partitions) if *partitions != spec.partitions => Err(LogError::Config(format!(
            "topic `{}` has {partitions} partitions, not {}: change the number, or delete the topic",
            spec.name, spec.partitions
        ))),
        _ => Ok(()),
    }
}

fn configs(cleanup: Cleanup) -> Vec<(&'static str, String)> {
    let mut configs = match cleanup {
        Cleanup::Compact => vec![("cleanup.policy", "compact".into())],
        Cleanup::Delete { retention } => {
            let retention = retention.map_or("-1".into(), |age| age.as_millis().to_string());
            vec![
                ("cleanup.policy", "delete".into()),
                ("retention.ms", retention),
            ]
        }
    };
    // The application has a limit of its own for timestamps from the future, and a handler for what is
    // beyond it. The broker's, an hour unless told, would refuse the transaction.
    configs.push(("message.timestamp.after.max.ms", i64::MAX.to_string()));
    configs
}

/// `harmless` is what it means that there was nothing to do.
fn check(
    results: Result<Vec<TopicResult>, KafkaError>,
    harmless: RDKafkaErrorCode,
    verb: &str,
) -> Result<(), LogError> {
    for result in results.map_err(|error| unavailable(&error))? {
        match result {
            Err((name, code)) if code != harmless => return Err(refusal(verb, &name, code)),
            _ => {}
        }
    }
    Ok(())
}

fn refusal(verb: &str, name: &str, code: RDKafkaErrorCode) -> LogError {
    let text = format!("cannot {verb} topic `{name}`: {code}");
    match code {
        RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidReplicationFactor
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => LogError::Config(text),
        _ => LogError::Unavailable(text),
    }
}

fn unavailable(error: &KafkaError) -> LogError {
    LogError::Unavailable(error.to_string())
}

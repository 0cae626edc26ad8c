//! What a transaction writes: results of calls, and dead letters.

use std::collections::HashMap;

use millrace_streams::headers::HeaderList;
use millrace_streams::log::{Log, LogError, OutputBatch, OutputRecord, TopicPartition, TopicSlot};
use millrace_streams::partitioner::partition_of;

use super::call::GivenUp;
use super::lane::{Lane, Outcome};
use super::window::RawEvent;

/// Where records of one topic go.
#[derive(Clone, Copy, Debug)]
struct Target {
    slot: TopicSlot,
    partitions: i32,
}

/// The records of the transaction.
#[derive(Debug)]
pub(super) struct Results {
    batch: OutputBatch,
    /// By sub-topology.
    targets: Vec<Target>,
    dead_letters: Target,
}

impl Results {
    /// Nothing yet, for these lanes.
    ///
    /// # Errors
    /// [`LogError::Config`] when a topic does not exist.
    pub(super) fn new(
        log: &dyn Log,
        lanes: &[Box<dyn Lane>],
        dead_letters: &str,
    ) -> Result<Self, LogError> {
        let infos = log.topics()?.into_iter();
        let partitions: HashMap<_, _> = infos.map(|info| (info.name, info.partitions)).collect();
        let mut batch = OutputBatch::new();
        let mut target = |topic: &str| {
            let partitions = partitions.get(topic).copied().ok_or_else(|| {
                LogError::Config(format!("there is no topic `{topic}`: create it first"))
            })?;
            let slot = batch.slot(topic);
            Ok::<_, LogError>(Target { slot, partitions })
        };
        let targets: Result<_, _> = lanes.iter().map(|lane| target(lane.output())).collect();
        let (targets, dead_letters) = (targets?, target(dead_letters)?);
        Ok(Self {
            batch,
            targets,
            dead_letters,
        })
    }

    pub(super) fn batch(&mut self) -> &mut OutputBatch {
        &mut self.batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.batch.clear();
    }

    /// Adds what came of an event of `partition`.
    pub(super) fn write(
        &mut self,
        subtopology: u32,
        partition: &TopicPartition,
        event: &RawEvent,
        outcome: &Outcome,
    ) {
        let outputs = match outcome {
            Ok(outputs) => outputs,
            Err(given_up) => return self.write_dead_letter(partition, event, given_up),
        };
        let Some(target) = self.targets.get(subtopology as usize) else {
            return;
        };
        for output in outputs {
            let key = output.key.as_deref();
            self.batch.push(OutputRecord {
                topic: target.slot,
                partition: key.map_or(0, |key| partition_of(key, target.partitions)),
                timestamp: output.timestamp,
                headers: output.headers.view(),
                key,
                value: output.value.as_deref(),
            });
        }
    }

    /// The headers are those of the engine's dead letters.
    fn write_dead_letter(
        &mut self,
        partition: &TopicPartition,
        event: &RawEvent,
        given_up: &GivenUp,
    ) {
        let GivenUp { kind, reason } = given_up;
        tracing::error!(%partition, offset = event.offset, kind, reason, "event given up");
        metrics::counter!("effect_dead_letters_total", "kind" => *kind).increment(1);
        let mut headers = HeaderList::from(event.headers.view());
        let mut set = |name: &str, value: &str| headers.set(name, value.as_bytes());
        set("__streams.errors.topic", &partition.topic);
        set(
            "__streams.errors.partition",
            &partition.partition.to_string(),
        );
        set("__streams.errors.offset", &event.offset.to_string());
        set("__streams.errors.exception", kind);
        set("__streams.errors.message", reason);
        let (target, key) = (self.dead_letters, event.key.as_deref());
        self.batch.push(OutputRecord {
            topic: target.slot,
            partition: key.map_or(0, |key| partition_of(key, target.partitions)),
            timestamp: event.timestamp,
            headers: headers.view(),
            key,
            value: event.value.as_deref(),
        });
    }
}

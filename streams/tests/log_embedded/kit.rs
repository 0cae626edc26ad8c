//! What the tests share: short words for opening, writing and reading a log.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millrace_streams::Timestamp;
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millrace_streams::log::{
    Cleanup, CommittedOffset, Isolation, Log, LogError, NewRecord, Offset, OffsetReset,
    OutputBatch, OutputRecord, Position, RecordBatch, Seat, SubtopologyMetadata, TopicPartition,
    TopicSpec, TopologyMetadata,
};

/// Options with small segments, and a cleaner that only runs when it is told to.
pub(crate) fn small() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 4096,
        cache_bytes_max: 2048,
        clean_interval: None,
        ..EmbeddedOptions::default()
    }
}

pub(crate) fn try_open(dir: &Path, options: EmbeddedOptions) -> Result<Arc<EmbeddedLog>, LogError> {
    EmbeddedLog::open(dir, options)
}

pub(crate) fn open(dir: &Path, options: EmbeddedOptions) -> Arc<EmbeddedLog> {
    try_open(dir, options).expect("the log opens")
}

pub(crate) fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        cleanup: Cleanup::Delete { retention: None },
    }
}

pub(crate) fn create(log: &dyn Log, name: &str, partitions: i32) {
    log.create_topics(&[spec(name, partitions)])
        .expect("created");
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

pub(crate) fn record(topic: &str, key: Option<&str>, value: Option<&str>) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: HeaderList::new(),
        timestamp: Timestamp::from_millis(1),
    }
}

pub(crate) fn try_append(
    log: &dyn Log,
    topic: &str,
    key: &str,
    value: &str,
) -> Result<Position, LogError> {
    wait(
        log.writer("test")?
            .append(record(topic, Some(key), Some(value))),
    )
}

pub(crate) fn append(log: &dyn Log, topic: &str, key: &str, value: &str) -> Position {
    try_append(log, topic, key, value).expect("appended")
}

pub(crate) fn push(
    into: &mut OutputBatch,
    topic: &str,
    partition: i32,
    key: &str,
    value: Option<&str>,
) {
    let topic = into.slot(topic);
    into.push(OutputRecord {
        topic,
        partition,
        timestamp: Timestamp::from_millis(1),
        headers: Headers::EMPTY,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
    });
}

/// A seat of a topology with one sub-topology that reads these topics.
pub(crate) fn seat(application: &str, member_id: &str, sources: &[&str]) -> Seat {
    let subtopology = SubtopologyMetadata {
        sources: sources.iter().map(|name| Arc::from(*name)).collect(),
        ..SubtopologyMetadata::default()
    };
    seat_of(application, member_id, vec![subtopology])
}

pub(crate) fn seat_of(application: &str, member_id: &str, of: Vec<SubtopologyMetadata>) -> Seat {
    Seat {
        application: application.into(),
        process_id: "process".to_owned(),
        member_id: member_id.to_owned(),
        endpoint: None,
        topology: Arc::new(TopologyMetadata { subtopologies: of }),
        offset_reset: OffsetReset::Earliest,
        fetch_bytes_max: 1 << 20,
        transaction_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn offset(
    topic: &str,
    partition: i32,
    offset: Offset,
) -> (TopicPartition, CommittedOffset) {
    let committed = CommittedOffset {
        offset,
        metadata: format!("at {offset}"),
    };
    (TopicPartition::new(topic, partition), committed)
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub offset: Offset,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Everything in a partition, from its first offset to its end.
pub(crate) fn read_all(log: &dyn Log, topic: &str, partition: i32) -> Vec<Read> {
    try_read_all(log, topic, partition).expect("readable")
}

pub(crate) fn try_read_all(
    log: &dyn Log,
    topic: &str,
    partition: i32,
) -> Result<Vec<Read>, LogError> {
    let partition = TopicPartition::new(topic, partition);
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    let bounds = reader.bounds(std::slice::from_ref(&partition))?[0];
    reader.assign(&[(partition, bounds.start)])?;
    let mut read = Vec::new();
    loop {
        let mut batches = Vec::new();
        reader.fetch(Duration::ZERO, &mut batches)?;
        let records = batches.iter().flat_map(RecordBatch::iter);
        read.extend(records.map(|record| Read {
            offset: record.offset,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        }));
        if batches.last().is_none_or(|batch| batch.at_end) {
            return Ok(read);
        }
    }
}

pub(crate) fn values(records: &[Read]) -> Vec<String> {
    let values = records.iter().map(|record| match &record.value {
        Some(value) => String::from_utf8_lossy(value).into_owned(),
        None => "-".to_owned(),
    });
    values.collect()
}

/// A small generator of numbers: the same seed gives the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).expect("64 bits") % end.max(1)
    }

    /// True once in `many` times.
    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

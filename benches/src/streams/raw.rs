//! The client alone, as a program written on it would use it: what is polled is sent on and committed
//! in transactions, message by message, without the log port.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use millrace_streams::log::{Offset, TopicPartition};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::client::{Job, Pass, ends, pass};
use super::{Measured, connect, topologies};
use crate::clock;

/// As the engine commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
/// How long the producer is polled at a time.
const SLICE: Duration = Duration::from_millis(1);
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Passes the input of `job` on to its output.
pub(super) fn run(job: &Job) -> Result<Measured> {
    let ends = ends(&connect(&job.bootstrap)?, &job.input)?;
    let began = clock::now();
    let mut passing = Passing::start(job, &ends)?;
    pass(&mut passing, &ends, began)
}

struct Passing {
    consumer: BaseConsumer,
    producer: BaseProducer,
    output: String,
    /// The offset after the last message of each partition.
    positions: Vec<Offset>,
    committed_at: Instant,
}

impl Passing {
    /// Consumer and producer have the settings of the log port.
    fn start(job: &Job, ends: &[(TopicPartition, Offset)]) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &job.bootstrap)
            .set("group.id", &job.application)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "1")
            .set("queued.max.messages.kbytes", "16384")
            .set("queued.min.messages", "32768")
            .set("fetch.max.bytes", "4194304")
            .set("fetch.message.max.bytes", "4194304")
            .create()?;
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &job.bootstrap)
            .set("transactional.id", &job.application)
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        let mut begins = TopicPartitionList::new();
        for (partition, _) in ends {
            let (topic, number) = (&partition.topic, partition.partition);
            begins.add_partition_offset(topic, number, KafkaOffset::Offset(0))?;
        }
        consumer.assign(&begins)?;
        Ok(Self {
            consumer,
            producer,
            output: job.output.clone(),
            positions: vec![0; ends.len()],
            committed_at: clock::now(),
        })
    }

    /// The crate's own `flush`, which a commit calls, polls for 100 ms at a time even when everything
    /// is delivered before: with nothing in flight it returns at once.
    fn flush(&self) {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(SLICE);
        }
    }
}

impl Pass for Passing {
    fn step(&mut self) -> Result<()> {
        if let Some(message) = self.consumer.poll(Duration::from_millis(20)) {
            let message = message?;
            send(&self.producer, &self.output, &message)?;
            let position = usize::try_from(message.partition()).ok();
            if let Some(position) = position.and_then(|n| self.positions.get_mut(n)) {
                *position = message.offset() + 1;
            }
            topologies::note(1);
        }
        if self.committed_at.elapsed() >= COMMIT_INTERVAL {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        let mut offsets = self.consumer.assignment()?;
        for (number, position) in (0..).zip(&self.positions) {
            let topic = offsets.elements().first().map(|one| one.topic().to_owned());
            let topic = topic.context("nothing is assigned")?;
            offsets.set_partition_offset(&topic, number, KafkaOffset::Offset(*position))?;
        }
        let group = self.consumer.group_metadata();
        let group = group.context("the consumer has no group")?;
        self.producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        self.flush();
        self.producer.commit_transaction(PATIENCE)?;
        self.producer.begin_transaction()?;
        self.committed_at = clock::now();
        Ok(())
    }

    fn has_reached(&self, ends: &[(TopicPartition, Offset)]) -> bool {
        let mut pairs = self.positions.iter().zip(ends);
        pairs.all(|(position, (_, end))| position >= end)
    }
}

/// Waits while the producer's queue is full.
fn send(producer: &BaseProducer, output: &str, message: &BorrowedMessage<'_>) -> Result<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(output).partition(message.partition());
    record.key = message.key();
    record.payload = message.payload();
    record.timestamp = message.timestamp().to_millis();
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(SLICE);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

//! A writer: an idempotent producer whose every record is awaited.

use std::fmt;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{self, BoxFuture};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::context::Quiet;
use super::ffi::wire_timestamp;
use super::options::KafkaOptions;
use crate::headers::Headers;
use crate::log::{LogError, NewRecord, Position, TopicPartition, Writer};

/// [`Writer`] on a Kafka cluster.
///
/// librdkafka chooses the partition, by murmur2 as [`crate::partitioner`] does, because only it
/// can do so without a wait for the topic's metadata.
pub(super) struct KafkaWriter {
    producer: ThreadedProducer<Acknowledge>,
    name: String,
    record_bytes_max: usize,
}

impl fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl KafkaWriter {
    /// A writer; it connects in the background.
    pub(super) fn open(options: &KafkaOptions, name: &str) -> Result<Self, LogError> {
        let producer = options
            .writer(name)
            .create_with_context(Acknowledge)
            .map_err(|error| LogError::Config(error.to_string()))?;
        Ok(Self {
            producer,
            name: name.to_owned(),
            record_bytes_max: options.record_bytes_max(),
        })
    }

    fn refusal(&self, record: &NewRecord, error: &KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => LogError::RecordTooLarge {
                topic: record.topic.clone(),
                bytes: len(&record.key) + len(&record.value),
                limit: self.record_bytes_max,
            },
            _ => delivery_error(error),
        }
    }
}

impl Writer for KafkaWriter {
    fn append(&self, record: NewRecord) -> BoxFuture<'static, Result<Position, LogError>> {
        let (tell, told) = oneshot::channel();
        let mut outgoing = BaseRecord::with_opaque_to(&record.topic, Box::new(tell))
            .timestamp(wire_timestamp(record.timestamp))
            .headers(owned(record.headers.view()));
        outgoing.key = record.key.as_ref();
        outgoing.payload = record.value.as_ref();
        if let Err((error, _)) = self.producer.send::<Vec<u8>, Vec<u8>>(outgoing) {
            return future::ready(Err(self.refusal(&record, &error))).boxed();
        }
        let gone = || LogError::Unavailable("the writer was closed".into());
        told.map(move |told| told.unwrap_or_else(|_| Err(gone())))
            .boxed()
    }
}

fn len(bytes: &Option<Vec<u8>>) -> usize {
    bytes.as_ref().map_or(0, Vec::len)
}

fn owned(headers: Headers<'_>) -> OwnedHeaders {
    let mut list = OwnedHeaders::new();
    for (key, value) in headers {
        list = list.insert(Header { key, value });
    }
    list
}

/// Passes each delivery report on to who waits for it.
struct Acknowledge;

type Waiting = oneshot::Sender<Result<Position, LogError>>;

impl ClientContext for Acknowledge {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ProducerContext for Acknowledge {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let answer = match result {
            Ok(message) => Ok(Position {
                partition: TopicPartition::new(message.topic(), message.partition()),
                offset: message.offset(),
            }),
            Err((error, message)) => Err(match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => LogError::RecordTooLarge {
                    topic: message.topic().into(),
                    bytes: message.key_len() + message.payload_len(),
                    limit: message.key_len() + message.payload_len(),
                },
                _ => delivery_error(error),
            }),
        };
        // Nobody may be waiting any more.
        let _ = waiting.send(answer);
    }
}

fn delivery_error(error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::TopicAuthorizationFailed,
        ) => LogError::Config(format!("cannot write: {error}")),
        _ => LogError::Unavailable(error.to_string()),
    }
}

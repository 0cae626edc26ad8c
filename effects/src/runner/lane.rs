//! Lanes: one input topic with its handler, its types hidden behind bytes.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use millrace_streams::headers::HeaderList;
use millrace_streams::log::TopicPartition;
use millrace_streams::serde::{Data, Presence, Resources, Role, Serde, SerdeContext, SerdeError};
use millrace_streams::{Timestamp, Topic};
use parking_lot::Mutex;

use super::call::{GivenUp, Limits, call};
use super::handler::{Handler, Input, Output};
use super::window::RawEvent;

/// A result, as its bytes.
#[derive(Clone, Debug)]
pub(super) struct RawOutput {
    pub(super) timestamp: Timestamp,
    pub(super) headers: HeaderList,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

/// What a call comes to.
pub(super) type Outcome = Result<Vec<RawOutput>, GivenUp>;

/// An input topic with its handler.
pub(super) trait Lane: Send + Sync + fmt::Debug {
    fn input(&self) -> &'static str;
    fn output(&self) -> &'static str;

    /// Builds the serdes.
    fn open(&self, resources: &Resources) -> Result<Box<dyn OpenLane>, SerdeError>;
}

/// A lane with its serdes.
pub(super) trait OpenLane: Send {
    /// Reads an event, and answers the call that it asks for.
    fn begin(
        &mut self,
        partition: &TopicPartition,
        event: &RawEvent,
        limits: Arc<Limits>,
    ) -> Result<BoxFuture<'static, Outcome>, SerdeError>;
}

/// The only lane there is; its types are hidden from the worker.
pub(super) struct TypedLane<K, V, H: Handler<K, V>> {
    pub(super) input: Topic<K, V>,
    pub(super) output: Topic<H::Key, H::Value>,
    pub(super) handler: Arc<H>,
}

impl<K, V, H: Handler<K, V>> fmt::Debug for TypedLane<K, V, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} -> {:?}", self.input, self.output)
    }
}

impl<K: Data, V: Data, H: Handler<K, V>> Lane for TypedLane<K, V, H> {
    fn input(&self) -> &'static str {
        self.input.name()
    }

    fn output(&self) -> &'static str {
        self.output.name()
    }

    fn open(&self, resources: &Resources) -> Result<Box<dyn OpenLane>, SerdeError> {
        let at = |topic, role| SerdeContext {
            topic,
            role,
            resources,
        };
        let (input, output) = (self.input.name(), self.output.name());
        Ok(Box::new(OpenTypedLane::<K, V, H> {
            key: K::serde(&at(input, Role::Key))?,
            value: V::serde(&at(input, Role::Value))?,
            writer: Arc::new(Mutex::new(Writer {
                key: H::Key::serde(&at(output, Role::Key))?,
                value: H::Value::serde(&at(output, Role::Value))?,
            })),
            handler: Arc::clone(&self.handler),
        }))
    }
}

struct OpenTypedLane<K: Data, V: Data, H: Handler<K, V>> {
    key: K::Serde,
    value: V::Serde,
    /// Shared by the calls that end at the same time; held only while a result is written.
    writer: Arc<Mutex<Writer<H::Key, H::Value>>>,
    handler: Arc<H>,
}

impl<K: Data, V: Data, H: Handler<K, V>> OpenLane for OpenTypedLane<K, V, H> {
    fn begin(
        &mut self,
        partition: &TopicPartition,
        event: &RawEvent,
        limits: Arc<Limits>,
    ) -> Result<BoxFuture<'static, Outcome>, SerdeError> {
        let headers = event.headers.view();
        let input = Input {
            key: self.key.deserialize(event.key.as_deref(), headers)?,
            value: self.value.deserialize(event.value.as_deref(), headers)?,
            timestamp: event.timestamp,
            headers: event.headers.clone(),
            partition: partition.clone(),
            offset: event.offset,
            attempt: 1,
        };
        let (handler, writer) = (Arc::clone(&self.handler), Arc::clone(&self.writer));
        Ok(Box::pin(async move {
            let outputs = call(handler, input, &limits).await?;
            writer.lock().write(&outputs, limits.record_bytes_max)
        }))
    }
}

struct Writer<K: Data, V: Data> {
    key: K::Serde,
    value: V::Serde,
}

impl<K: Data, V: Data> Writer<K, V> {
    fn write(&mut self, outputs: &[Output<K, V>], bytes_max: usize) -> Outcome {
        outputs
            .iter()
            .map(|output| self.write_one(output, bytes_max))
            .collect()
    }

    fn write_one(&mut self, output: &Output<K, V>, bytes_max: usize) -> Result<RawOutput, GivenUp> {
        let mut headers = HeaderList::new();
        let key = bytes_of(&mut self.key, &output.key, &mut headers)?;
        let value = bytes_of(&mut self.value, &output.value, &mut headers)?;
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let bytes = len(&key) + len(&value) + headers.view().encoded().len();
        if bytes > bytes_max {
            let reason = format!("a result of {bytes} bytes is over the limit of {bytes_max}");
            return Err(GivenUp {
                kind: "record too large",
                reason,
            });
        }
        Ok(RawOutput {
            timestamp: output.timestamp,
            headers,
            key,
            value,
        })
    }
}

fn bytes_of<T>(
    serde: &mut impl Serde<T>,
    value: &T,
    headers: &mut HeaderList,
) -> Result<Option<Vec<u8>>, GivenUp> {
    let mut bytes = Vec::new();
    match serde.serialize(value, headers, &mut bytes) {
        Ok(Presence::Value) => Ok(Some(bytes)),
        Ok(Presence::Null) => Ok(None),
        Err(error) => Err(GivenUp {
            kind: "serialize",
            reason: error.to_string(),
        }),
    }
}

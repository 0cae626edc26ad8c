//! The serde of single records: the state of a store, or the value of a topic of one type.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::serde::{Presence, Serde, SerdeContext, SerdeError};

use super::datum::{Decoder, Encoder, Shape};
use super::{AvroRecord, Schema, SchemaClient, wire};

/// Writes and reads records of the type `R`, in Confluent's wire format. Headers are left alone.
pub struct RecordSerde<R> {
    client: Arc<SchemaClient>,
    id: u32,
    schema: &'static Schema,
    /// By the id of the writer's schema.
    readings: HashMap<u32, Arc<Shape>>,
    record: PhantomData<fn() -> R>,
}

impl<R: AvroRecord> RecordSerde<R> {
    /// The serde for one place. It registers the schema under the subject `<topic>-<full name>`.
    ///
    /// # Errors
    /// As [`SchemaClient::register`], and when the application has no [`SchemaClient`].
    pub fn new(at: &SerdeContext<'_>) -> Result<Self, SerdeError> {
        let client = SchemaClient::of(at)?;
        let schema = Schema::of::<R>()?;
        Ok(Self {
            id: client.register(at.topic, R::FULL_NAME, R::SCHEMA)?,
            client,
            schema,
            readings: HashMap::new(),
            record: PhantomData,
        })
    }

    fn reading(&self, id: u32) -> Result<Arc<Shape>, SerdeError> {
        let writer = self.client.schema(R::FULL_NAME, id)?;
        if writer.name() != R::FULL_NAME {
            let reason = format!("schema {id} is of `{}`", writer.name());
            let what = R::FULL_NAME;
            return Err(SerdeError::Malformed { what, reason });
        }
        Ok(self.schema.reading(&writer))
    }
}

impl<R: AvroRecord> Serde<R> for RecordSerde<R> {
    fn serialize(
        &mut self,
        record: &R,
        _: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        let start = out.len();
        wire::begin(self.id, out);
        if let Err(error) = Encoder::new(&self.schema.shape, out).record(record) {
            out.truncate(start);
            return Err(error);
        }
        Ok(Presence::Value)
    }

    fn deserialize(&mut self, bytes: Option<&[u8]>, _: Headers<'_>) -> Result<R, SerdeError> {
        let bytes = bytes.ok_or(SerdeError::Null { what: R::FULL_NAME })?;
        let (id, datum) = wire::split(R::FULL_NAME, bytes)?;
        if let Some(reading) = self.readings.get(&id) {
            return Decoder::new(datum, reading).record();
        }
        let reading = self.reading(id)?;
        Decoder::new(datum, self.readings.entry(id).or_insert(reading)).record()
    }
}

impl<R: AvroRecord> fmt::Debug for RecordSerde<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordSerde({})", R::FULL_NAME)
    }
}

/// Makes Avro records [`Data`](millrace_streams::serde::Data): `avro_data!(OrderState, Stock);`.
#[macro_export]
macro_rules! avro_data {
    ($($record:ty),+ $(,)?) => {$(
        impl $crate::codec::Data for $record {
            type Serde = $crate::codec::RecordSerde<$record>;

            fn serde(
                at: &$crate::codec::SerdeContext<'_>,
            ) -> Result<Self::Serde, $crate::codec::SerdeError> {
                $crate::codec::RecordSerde::new(at)
            }
        }
    )+};
}

//! Avro's binary encoding of one record, without any frame.

use std::fmt;

use millrace_streams::serde::SerdeError;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;

use super::reading::Reading;
use super::{AvroRecord, Schema};

/// Writes one record.
pub struct Encoder<'a> {
    config: &'a mut SerializerConfig<'static>,
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out` by the schema of `config`.
    pub(super) fn new(config: &'a mut SerializerConfig<'static>, out: &'a mut Vec<u8>) -> Self {
        Self { config, out }
    }

    /// Writes `record`, whose schema must be the one that this encoder was made for.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the record violates its schema.
    pub fn record<R: AvroRecord>(self, record: &R) -> Result<(), SerdeError> {
        serde_avro_fast::to_datum(record, self.out, self.config)
            .map(drop)
            .map_err(|error| malformed::<R>(error))
    }
}

impl fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

/// Reads one record.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    reading: &'a Reading,
}

impl<'a> Decoder<'a> {
    /// Reads all of `bytes`.
    pub(super) fn new(bytes: &'a [u8], reading: &'a Reading) -> Self {
        Self { bytes, reading }
    }

    /// Reads an `R`.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the bytes are not an `R`.
    pub fn record<R: AvroRecord>(self) -> Result<R, SerdeError> {
        self.reading.record(self.bytes)
    }
}

/// Reads an `R` by `schema`, and refuses bytes that are left over.
pub(super) fn read<R: AvroRecord>(
    bytes: &[u8],
    schema: &serde_avro_fast::Schema,
) -> Result<R, SerdeError> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = bytes.len().max(MIN_SEQ_SIZE_MAX);
    let mut state = DeserializerState::with_config(SliceRead::new(bytes), config);
    let record = R::deserialize(state.deserializer()).map_err(malformed::<R>)?;
    match std::io::Read::bytes(state.into_reader()).count() {
        0 => Ok(record),
        left => Err(malformed::<R>(format_args!("{left} bytes are left over"))),
    }
}

/// Every item of an array takes a byte at least, unless it is an empty record.
const MIN_SEQ_SIZE_MAX: usize = 1024;

/// The Avro encoding of `record` by its own schema.
///
/// # Errors
/// [`SerdeError::Malformed`] when the record violates its schema.
pub fn to_datum<R: AvroRecord>(record: &R) -> Result<Vec<u8>, SerdeError> {
    let mut out = Vec::new();
    let mut config = SerializerConfig::new(&Schema::of::<R>()?.direct);
    Encoder::new(&mut config, &mut out).record(record)?;
    Ok(out)
}

/// The record that [`to_datum`] has encoded.
///
/// # Errors
/// [`SerdeError::Malformed`] when the bytes are not an `R` by its own schema.
pub fn from_datum<R: AvroRecord>(bytes: &[u8]) -> Result<R, SerdeError> {
    read(bytes, &Schema::of::<R>()?.direct)
}

pub(super) fn malformed<R: AvroRecord>(reason: impl fmt::Display) -> SerdeError {
    SerdeError::Malformed {
        what: R::FULL_NAME,
        reason: reason.to_string(),
    }
}

//! Avro's binary encoding of one record, without any frame.
//!
//! A [`Shape`](shape::Shape) is what a schema, or a writer's schema and a reader's, come to on the
//! wire; it is made once, and drives [`encode`] and [`decode`] between serde and bytes directly,
//! without a tree of values. What can be written can be read: both sides have the same limits.

mod decode;
mod default;
mod encode;
mod error;
mod shape;
#[cfg(test)]
mod tests;

use std::fmt;

use millrace_streams::serde::SerdeError;
use serde::Deserialize;

use super::{AvroRecord, Schema};
pub(super) use shape::Shape;

/// How deep arrays, maps and records may nest, so that no datum exhausts the stack.
const DEPTH_MAX: u8 = 64;

/// What most records fit into, so that their buffer need not grow.
const USUAL_BYTES: usize = 256;

/// Every item of an array takes a byte at least, unless it is an empty record or null: of these
/// there may be so many.
const EMPTY_ITEMS_MAX: usize = 1024;

/// Writes one record.
pub struct Encoder<'a> {
    shape: &'a Shape,
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out` what has this `shape`.
    pub(super) fn new(shape: &'a Shape, out: &'a mut Vec<u8>) -> Self {
        Self { shape, out }
    }

    /// Writes `record`, whose schema must be the one that this encoder was made for.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the record violates its schema.
    pub fn record<R: AvroRecord>(self, record: &R) -> Result<(), SerdeError> {
        encode::write(record, self.shape, self.out).map_err(|error| malformed::<R>(&error))
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
    shape: &'a Shape,
}

impl<'a> Decoder<'a> {
    /// Reads all of `bytes`.
    pub(super) fn new(bytes: &'a [u8], shape: &'a Shape) -> Self {
        Self { bytes, shape }
    }

    /// Reads an `R`.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the bytes are not an `R`.
    pub fn record<R: AvroRecord>(self) -> Result<R, SerdeError> {
        decode::read(self.bytes, self.shape).map_err(|error| malformed::<R>(&error))
    }
}

/// The Avro encoding of `record` by its own schema.
///
/// # Errors
/// [`SerdeError::Malformed`] when the record violates its schema.
pub fn to_datum<R: AvroRecord>(record: &R) -> Result<Vec<u8>, SerdeError> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    Encoder::new(&Schema::of::<R>()?.shape, &mut out).record(record)?;
    Ok(out)
}

/// The record that [`to_datum`] has encoded.
///
/// # Errors
/// [`SerdeError::Malformed`] when the bytes are not an `R` by its own schema.
pub fn from_datum<R: AvroRecord>(bytes: &[u8]) -> Result<R, SerdeError> {
    Decoder::new(bytes, &Schema::of::<R>()?.shape).record()
}

/// A value of any type that reads itself, as `shape` has it; `what` names it for the error.
pub(super) fn read_by<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    shape: &'de Shape,
    what: &'static str,
) -> Result<T, SerdeError> {
    decode::read(bytes, shape).map_err(|error| SerdeError::Malformed {
        what,
        reason: error.to_string(),
    })
}

/// The depth below `depth_left`.
fn deeper(depth_left: u8) -> Result<u8, error::Error> {
    let below = depth_left.checked_sub(1);
    below.ok_or_else(|| error::Error::new(format!("nested more than {DEPTH_MAX} deep")))
}

fn malformed<R: AvroRecord>(error: &error::Error) -> SerdeError {
    SerdeError::Malformed {
        what: R::FULL_NAME,
        reason: error.to_string(),
    }
}

//! Reads what one writer's schema wrote into a struct of another, the reader's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use apache_avro::Schema as Avro;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{RecordSchema, UnionSchema};
use apache_avro::writer::datum::GenericDatumWriter;

use super::evolution::{self, Evolution};
use super::schema::Schema;
use super::{AvroRecord, SerdeError, datum};

/// How a reader's schema reads a writer's: decided once for the pair.
#[derive(Debug)]
pub(super) struct Reading {
    /// The writer's schema, its fields named as the reader names them.
    writer: Arc<Schema>,
    reader: &'static Schema,
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The schemas are the same.
    Same,
    /// The struct is read by the writer's schema; should it refuse, by resolution.
    Direct,
    /// Avro's schema resolution makes the reader's encoding of the writer's first.
    Resolved,
}

impl Reading {
    pub(super) fn new(writer: Arc<Schema>, reader: &'static Schema) -> Result<Self, SerdeError> {
        if writer.whole == reader.whole {
            let way = Way::Same;
            return Ok(Self {
                writer,
                reader,
                way,
            });
        }
        let way = match Evolution::between(&writer.whole, &reader.whole) {
            evolution if evolution.direct && evolution.breaks.is_empty() => Way::Direct,
            _ => Way::Resolved,
        };
        let writer = renamed(writer, reader)?;
        Ok(Self {
            writer,
            reader,
            way,
        })
    }

    pub(super) fn record<R: AvroRecord>(&self, bytes: &[u8]) -> Result<R, SerdeError> {
        match self.way {
            Way::Same => datum::read(bytes, &self.writer.direct),
            Way::Direct => {
                datum::read(bytes, &self.writer.direct).or_else(|_| self.resolved(bytes))
            }
            Way::Resolved => self.resolved(bytes),
        }
    }

    fn resolved<R: AvroRecord>(&self, bytes: &[u8]) -> Result<R, SerdeError> {
        let resolved = self.reencoded(bytes).map_err(datum::malformed::<R>)?;
        datum::read(&resolved, &self.reader.direct)
    }

    /// The reader's encoding of what the writer encoded as `bytes`.
    fn reencoded(&self, mut bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let value = GenericDatumReader::builder(&self.writer.whole)
            .reader_schema(&self.reader.whole)
            .build()?
            .read_value(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(Failure::LeftOver(bytes.len()));
        }
        let writer = GenericDatumWriter::builder(&self.reader.whole).build()?;
        Ok(writer.write_value_to_vec(value)?)
    }
}

/// Why resolution failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Avro(Box<apache_avro::Error>),
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

impl From<apache_avro::Error> for Failure {
    fn from(error: apache_avro::Error) -> Self {
        Self::Avro(Box::new(error))
    }
}

/// The writer's schema with the reader's field names, where the reader has them as aliases. Names
/// are not part of the encoding, so it still reads what the writer wrote.
fn renamed(writer: Arc<Schema>, reader: &Schema) -> Result<Arc<Schema>, SerdeError> {
    let mut whole = writer.whole.clone();
    let names = evolution::names(&reader.whole);
    if !rename(&mut whole, &reader.whole, &names) {
        return Ok(writer);
    }
    let text = serde_json::to_string(&whole).map_err(|error| invalid(&error))?;
    Schema::parse(&text).map(Arc::new)
}

/// Renames the fields of `writer` in place; true if there was something to rename.
fn rename(writer: &mut Avro, reader: &Avro, names: &HashMap<String, &Avro>) -> bool {
    match (writer, evolution::resolved(reader, names)) {
        (Avro::Array(writer), Avro::Array(reader)) => {
            rename(&mut writer.items, &reader.items, names)
        }
        (Avro::Map(writer), Avro::Map(reader)) => rename(&mut writer.types, &reader.types, names),
        (Avro::Record(writer), Avro::Record(reader)) => rename_fields(writer, reader, names),
        (Avro::Union(writer), reader) => rename_branches(writer, reader, names),
        (writer, Avro::Union(reader)) => {
            let branches = reader.variants().iter();
            branches.fold(false, |any, branch| rename(writer, branch, names) | any)
        }
        _ => false,
    }
}

fn rename_branches(
    writer: &mut UnionSchema,
    reader: &Avro,
    names: &HashMap<String, &Avro>,
) -> bool {
    let mut branches = writer.variants().to_vec();
    let renamed = branches
        .iter_mut()
        .fold(false, |any, branch| rename(branch, reader, names) | any);
    match UnionSchema::new(branches) {
        Ok(union) if renamed => *writer = union,
        _ => return false,
    }
    true
}

fn rename_fields(
    writer: &mut RecordSchema,
    reader: &RecordSchema,
    names: &HashMap<String, &Avro>,
) -> bool {
    if !evolution::same_name(&writer.name, &reader.name, reader.aliases.as_deref()) {
        return false;
    }
    let mut any = false;
    for field in &reader.fields {
        let Some(name) = evolution::counterpart(field, writer).map(|found| found.name.clone())
        else {
            continue;
        };
        for written in writer.fields.iter_mut().filter(|w| w.name == name) {
            any |= written.name != field.name;
            written.name.clone_from(&field.name);
            any |= rename(&mut written.schema, &field.schema, names);
        }
    }
    any
}

fn invalid(reason: &dyn fmt::Display) -> SerdeError {
    SerdeError::Malformed {
        what: "Avro schema",
        reason: reason.to_string(),
    }
}

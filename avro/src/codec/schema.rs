//! Schemas, parsed once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use millrace_streams::serde::SerdeError;
use parking_lot::Mutex;

use super::AvroRecord;
use super::datum::Shape;

/// A parsed record schema.
pub struct Schema {
    name: String,
    /// How what it writes is encoded.
    pub(super) shape: Arc<Shape>,
    whole: apache_avro::Schema,
}

impl Schema {
    /// Parses a record schema in Avro's JSON notation.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the text is not a schema, or not one of a record.
    pub fn parse(text: &str) -> Result<Self, SerdeError> {
        let whole = apache_avro::Schema::parse_str(text).map_err(invalid)?;
        let apache_avro::Schema::Record(record) = &whole else {
            return Err(invalid("not a record"));
        };
        Ok(Self {
            name: record.name.fullname(None),
            shape: Arc::new(Shape::of(&whole)),
            whole,
        })
    }

    /// The schema of `R`. It is parsed once in a process, and kept: record types are few.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the schema is none, or bears another name than `R`.
    pub fn of<R: AvroRecord>() -> Result<&'static Self, SerdeError> {
        Self::known(R::FULL_NAME, R::SCHEMA)
    }

    pub(super) fn known(
        full_name: &'static str,
        text: &'static str,
    ) -> Result<&'static Self, SerdeError> {
        // By the text's place and length: hashing the text costs more than a record does.
        type Known = HashMap<(usize, usize), &'static Schema>;
        static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
        let place = (text.as_ptr() as usize, text.len());
        let mut known = KNOWN.get_or_init(Mutex::default).lock();
        if let Some(schema) = known.get(&place) {
            return Ok(*schema);
        }
        let schema = Self::parse(text)?;
        if schema.name != full_name {
            let reason = format!("its schema is named `{}`", schema.name);
            return Err(SerdeError::Malformed {
                what: full_name,
                reason,
            });
        }
        let schema: &'static Self = Box::leak(Box::new(schema));
        known.insert(place, schema);
        Ok(schema)
    }

    /// How this schema's structs are read from what `writer` wrote.
    pub(super) fn reading(&self, writer: &Self) -> Arc<Shape> {
        if writer.whole == self.whole {
            return self.shape.clone();
        }
        Arc::new(Shape::between(&writer.whole, &self.whole))
    }

    /// The record's full name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.name)
    }
}

fn invalid(reason: impl fmt::Display) -> SerdeError {
    SerdeError::Malformed {
        what: "Avro schema",
        reason: reason.to_string(),
    }
}

//! The encoding of a field's default, which a schema gives as JSON.
//!
//! Bytes are text whose code points are the bytes, and a union's default is one of the first branch
//! that it fits (specification 1.12, "Complex Types").

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordField, UnionSchema};
use serde_json::Value as Json;

use super::encode::{write_bytes, write_len, write_long};
use super::error::Error;
use super::{DEPTH_MAX, deeper};
use crate::codec::evolution::{self, Kind};

/// The encoding of the default of `field`; `names` are the types that its schema may refer to.
pub(super) fn datum(
    field: &RecordField,
    names: &HashMap<String, &Schema>,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let depth_left = DEPTH_MAX;
    Defaults { names, depth_left }.field(field, &mut out)?;
    Ok(out)
}

#[derive(Clone, Copy)]
struct Defaults<'a> {
    names: &'a HashMap<String, &'a Schema>,
    /// A record that lacks fields takes their defaults, which may be such records again.
    depth_left: u8,
}

impl Defaults<'_> {
    fn field(self, field: &RecordField, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(json) = &field.default else {
            let name = &field.name;
            return Err(Error::new(format!(
                "the writer has no `{name}`, and it has no default"
            )));
        };
        let written = self.value(json, &field.schema, out);
        written.map_err(|error| error.inside(&field.name))
    }

    fn value(self, json: &Json, schema: &Schema, out: &mut Vec<u8>) -> Result<(), Error> {
        match (evolution::resolved(schema, self.names), json) {
            (Schema::Union(union), json) => self.union(json, union, out),
            (Schema::Enum(schema), Json::String(symbol)) => enumeration(symbol, schema, out),
            (Schema::Array(schema), Json::Array(items)) => {
                self.block(items.iter().map(|item| (None, item)), &schema.items, out)
            }
            (Schema::Map(schema), Json::Object(entries)) => {
                let entries = entries.iter().map(|(key, value)| (Some(key), value));
                self.block(entries, &schema.types, out)
            }
            (Schema::Record(schema), Json::Object(given)) => {
                let below = self.below()?;
                schema
                    .fields
                    .iter()
                    .try_for_each(|field| match given.get(&field.name) {
                        Some(json) => below.value(json, &field.schema, out),
                        None => below.field(field, out),
                    })
            }
            (schema, json) => plain(json, Kind::of(schema), out).ok_or_else(|| unfit(json, schema)),
        }
    }

    fn below(self) -> Result<Self, Error> {
        let depth_left = deeper(self.depth_left)?;
        Ok(Self { depth_left, ..self })
    }

    fn union(self, json: &Json, union: &UnionSchema, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        for (index, branch) in union.variants().iter().enumerate() {
            write_len(index, out);
            match self.value(json, branch, out) {
                Ok(()) => return Ok(()),
                Err(_) => out.truncate(start),
            }
        }
        Err(Error::new(format!("no branch of its union fits {json}")))
    }

    /// All items or entries in one block, and its end.
    fn block<'j>(
        self,
        items: impl ExactSizeIterator<Item = (Option<&'j String>, &'j Json)>,
        schema: &Schema,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let below = self.below()?;
        if items.len() > 0 {
            write_len(items.len(), out);
        }
        for (key, item) in items {
            key.into_iter()
                .for_each(|key| write_bytes(key.as_bytes(), out));
            below.value(item, schema, out)?;
        }
        write_len(0, out);
        Ok(())
    }
}

fn enumeration(symbol: &str, schema: &EnumSchema, out: &mut Vec<u8>) -> Result<(), Error> {
    let index = schema.symbols.iter().position(|known| known == symbol);
    let index = index.ok_or_else(|| Error::new(format!("its enum has no symbol `{symbol}`")))?;
    write_len(index, out);
    Ok(())
}

/// `None` if `json` is no `kind`.
fn plain(json: &Json, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::Null => json.as_null()?,
        Kind::Boolean => out.push(u8::from(json.as_bool()?)),
        Kind::Int => write_long(i32::try_from(json.as_i64()?).ok()?.into(), out),
        Kind::Long => write_long(json.as_i64()?, out),
        Kind::Float => out.extend_from_slice(&(json.as_f64()? as f32).to_le_bytes()),
        Kind::Double => out.extend_from_slice(&json.as_f64()?.to_le_bytes()),
        Kind::String => write_bytes(json.as_str()?.as_bytes(), out),
        Kind::Bytes => write_bytes(&code_points(json)?, out),
        Kind::Fixed(size) => {
            out.extend(code_points(json).filter(|bytes| bytes.len() == size)?);
        }
        Kind::Compound => return None,
    }
    Some(())
}

fn code_points(json: &Json) -> Option<Vec<u8>> {
    let chars = json.as_str()?.chars();
    chars.map(|char| u8::try_from(char).ok()).collect()
}

fn unfit(json: &Json, schema: &Schema) -> Error {
    let type_name = evolution::describe(schema);
    Error::new(format!("{json} is no default for {type_name}"))
}

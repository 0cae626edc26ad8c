//! Any record as JSON, by the schema that wrote it: for those who look into a log.

use std::fmt;

use millrace_streams::serde::SerdeError;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::datum::read_by;
use super::{SchemaClient, wire};

/// What the error says was to be read.
const WHAT: &str = "Avro record";

impl SchemaClient {
    /// The record in `bytes`, which are in Confluent's wire format, as its writer wrote it.
    ///
    /// A union is the value of its branch; bytes are text with one character per byte, as in Avro's
    /// own JSON encoding; a number that JSON does not have is null.
    ///
    /// # Errors
    /// [`SerdeError::Malformed`] when the bytes are no record of a schema that the registry knows;
    /// [`SerdeError::Unavailable`] when the registry does not answer.
    pub fn to_json(&self, bytes: &[u8]) -> Result<Value, SerdeError> {
        let (id, datum) = wire::split(WHAT, bytes)?;
        let schema = self.schema(WHAT, id)?;
        let value: AnyValue = read_by(datum, &schema.shape, WHAT)?;
        Ok(value.0)
    }
}

/// A value of any type.
struct AnyValue(Value);

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        let text: String = value.iter().copied().map(char::from).collect();
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(AnyValue(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, AnyValue(value))) = entries.next_entry::<String, _>()? {
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    const SCHEMA: &str = r#"{"type": "record", "name": "test.Tick", "fields": [
        {"name": "at", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "raw", "type": "bytes"},
        {"name": "parts", "type": {"type": "array", "items": "double"}},
        {"name": "counts", "type": {"type": "map", "values": "int"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["Tick", "Tock"]}}
    ]}"#;

    fn client() -> SchemaClient {
        let client = SchemaClient::local(Arc::new(Registry::in_memory()));
        client.register("ticks", "test.Tick", SCHEMA).unwrap();
        client
    }

    fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::begin(id, &mut bytes);
        bytes.extend_from_slice(datum);
        bytes
    }

    #[test]
    fn a_record_is_shown_as_it_was_written() {
        let mut datum = vec![84, 2, 4, b'h', b'i', 4, 0, 255, 2];
        datum.extend_from_slice(&0.5_f64.to_le_bytes());
        datum.extend_from_slice(&[0, 2, 2, b'a', 6, 0, 2]);
        let client = client();
        let id = client.register("ticks", "test.Tick", SCHEMA).unwrap();
        let expected = json!({
            "at": 42, "note": "hi", "raw": "\u{0}\u{ff}", "parts": [0.5], "counts": { "a": 3 },
            "kind": "Tock",
        });
        assert_eq!(client.to_json(&framed(id, &datum)).unwrap(), expected);
    }

    #[test]
    fn what_is_no_record_of_a_known_schema_is_refused() {
        let client = client();
        for bytes in [b"text".to_vec(), framed(99, &[0]), framed(1, &[84, 2, 200])] {
            assert!(client.to_json(&bytes).is_err(), "{bytes:?}");
        }
    }
}

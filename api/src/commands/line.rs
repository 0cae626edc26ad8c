//! A record as one line of JSON.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_avro::codec::{SchemaClient, SerdeError};
use millrace_streams::headers::Headers;
use millrace_streams::log::RawRecord;
use millrace_streams::serde::Resources;
use serde_json::{Map, Value, json};

/// Makes lines of records: partition, offset, timestamp in milliseconds since 1970, headers, key
/// and value.
///
/// A value in Confluent's wire format is shown by its schema. Other bytes are shown as text if they
/// are some, eight bytes otherwise as the number that Kafka's long serde makes of them, and
/// everything else as `{"base64": ...}`.
pub(super) struct Lines {
    schemas: Arc<SchemaClient>,
}

impl Lines {
    pub(super) fn new(resources: &Resources) -> Result<Self> {
        let schemas = resources.get().context("there is no schema client")?;
        Ok(Self { schemas })
    }

    /// The line of `record`.
    ///
    /// # Errors
    /// When the schema registry does not answer.
    pub(super) fn of(&self, partition: i32, record: RawRecord<'_>) -> Result<Value> {
        Ok(json!({
            "partition": partition,
            "offset": record.offset,
            "timestamp": record.timestamp.as_millis(),
            "headers": headers(record.headers),
            "key": record.key.map_or(Value::Null, plain),
            "value": record.value.map_or(Ok(Value::Null), |value| self.value(value))?,
        }))
    }

    fn value(&self, bytes: &[u8]) -> Result<Value> {
        match self.schemas.to_json(bytes) {
            Ok(value) => Ok(value),
            Err(silent @ SerdeError::Unavailable { .. }) => Err(silent.into()),
            Err(_) => Ok(plain(bytes)),
        }
    }
}

/// Headers by name; one that is there several times is an array.
fn headers(headers: Headers<'_>) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in headers {
        let value = value.map_or(Value::Null, plain);
        match map.get_mut(name) {
            None => drop(map.insert(name.to_owned(), value)),
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    map
}

fn plain(bytes: &[u8]) -> Value {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(char::is_control)
    {
        return text.into();
    }
    match <[u8; 8]>::try_from(bytes) {
        Ok(long) => i64::from_be_bytes(long).into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use millrace_streams::headers::HeaderList;

    use super::*;

    #[test]
    fn bytes_are_text_or_a_long_or_base64() {
        assert_eq!(plain(b"order-1"), json!("order-1"));
        assert_eq!(
            plain(&1_700_000_000_000_i64.to_be_bytes()),
            json!(1_700_000_000_000_i64)
        );
        assert_eq!(plain(&[0, 255]), json!({ "base64": "AP8=" }));
    }

    #[test]
    fn a_header_that_is_repeated_is_an_array() {
        let mut list = HeaderList::new();
        list.push("ce_id", Some(b"1"));
        list.push("tag", Some(b"a"));
        list.push("tag", None);
        list.push("tag", Some(b"b"));
        let shown = Value::Object(headers(list.view()));
        assert_eq!(shown, json!({ "ce_id": "1", "tag": ["a", null, "b"] }));
    }
}

//! The codec against the reference implementation, and against bytes that are wrong.

mod hostile;
mod oracle;
mod resolution;
mod tree;
mod unions;

use apache_avro::Schema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::shape::Shape;
use super::{decode, encode};

fn schema(text: &str) -> Schema {
    Schema::parse_str(text).unwrap()
}

fn encoded<T: Serialize>(value: &T, shape: &Shape) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    encode::write(value, shape, &mut out).map(|()| out)
}

/// Writes and reads `value` by `schema`.
#[track_caller]
fn round_trip<T>(value: &T, schema: &Schema) -> Vec<u8>
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let shape = Shape::of(schema);
    let bytes = encoded(value, &shape).unwrap();
    assert_eq!(&decode::read::<T>(&bytes, &shape).unwrap(), value);
    bytes
}

/// A list that is as deep as it is long.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

const CHAIN: &str = r#"{"type": "record", "name": "Chain", "fields": [
    {"name": "next", "type": ["null", "Chain"]}
]}"#;

impl Chain {
    fn of(len: usize) -> Self {
        let next = (1..len).fold(None, |next, _| Some(Box::new(Self { next })));
        Self { next }
    }
}

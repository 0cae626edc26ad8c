//! How records become bytes: Confluent's wire format around Avro's binary encoding.
//!
//! - [`AvroRecord`] is a Rust struct with its schema; [`avro_record!`](crate::avro_record)
//!   declares one.
//! - [`Event`](crate::event::Event) is [`Data`]: its body becomes
//!   the value, its metadata headers ([`EventSerde`]).
//! - [`avro_data!`](crate::avro_data) makes a single record `Data`, for the state of a store
//!   ([`RecordSerde`]).
//! - [`SchemaClient`] registers and fetches schemas; it is the resource that both serdes need.
//!
//! A struct is written and read by serde, directly. What an older or newer writer wrote is read by
//! that writer's schema, resolved to the struct's own as Avro prescribes, at the same speed.

mod client;
mod datum;
mod event_serde;
mod evolution;
pub mod headers;
mod json;
mod level;
mod record_serde;
mod remote;
mod schema;
mod wire;

pub use client::{SchemaClient, subject};
pub use datum::{Decoder, Encoder, from_datum, to_datum};
pub use event_serde::EventSerde;
pub use evolution::Evolution;
#[cfg(test)]
pub(crate) use evolution::names;
pub use millrace_streams::serde::{Data, SerdeContext, SerdeError};
pub use record_serde::RecordSerde;
pub use remote::{Credentials, RemoteConfig};
pub use schema::Schema;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A Rust type that is one Avro record.
///
/// Field names of the type and of the schema are the same; the order may differ, but the same is
/// fastest. A union of null and a type is an `Option`; another union is an enum whose variants have
/// the names of the branches' types (`null`, `string`, a record's name without its name space), or
/// an untagged enum. An enum is an enum of unit variants with the same names, a newtype is what it
/// wraps, a logical type what it annotates, and bytes need `serde_bytes`.
pub trait AvroRecord: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The record's name with its name space: "millrace.orders.OrderCreated".
    const FULL_NAME: &'static str;
    /// The schema, in Avro's JSON notation.
    const SCHEMA: &'static str;
}

/// Declares that a struct is an Avro record.
///
/// ```text
/// avro_record!(OrderCreated = "millrace.orders.OrderCreated", "orders/OrderCreated.avsc");
/// avro_record!(Tick = "test.Tick", schema r#"{"type": "record", ...}"#);
/// ```
/// The path is relative to the folder `schemas` of the crate that declares it.
#[macro_export]
macro_rules! avro_record {
    ($record:ty = $full_name:literal, schema $schema:expr) => {
        impl $crate::codec::AvroRecord for $record {
            const FULL_NAME: &'static str = $full_name;
            const SCHEMA: &'static str = $schema;
        }
    };
    ($record:ty = $full_name:literal, $path:literal) => {
        $crate::avro_record!(
            $record = $full_name,
            schema include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $path))
        );
    };
}

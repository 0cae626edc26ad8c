//! What the tests share: an order contract in three versions, and serdes in one place.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_avro::codec::SchemaClient;
use millrace_avro::registry::Registry;
use millrace_avro::{avro_data, avro_record, events};
use millrace_streams::headers::HeaderList;
use millrace_streams::serde::{Data, Resources, Role, Serde, SerdeContext, SerdeError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Channel {
    Web,
    App,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: i32,
    pub(crate) price: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) order: String,
    pub(crate) channel: Channel,
    pub(crate) lines: Vec<Line>,
    pub(crate) note: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) gift: bool,
    pub(crate) weight: f64,
    #[serde(with = "serde_bytes")]
    pub(crate) seal: Vec<u8>,
}

pub(crate) const PLACED: &str = r#"{
    "type": "record", "name": "Placed", "namespace": "test",
    "fields": [
        {"name": "order", "type": "string"},
        {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["WEB", "APP"]}},
        {"name": "lines", "type": {"type": "array", "items": {
            "type": "record", "name": "Line", "fields": [
                {"name": "sku", "type": "string"},
                {"name": "quantity", "type": "int"},
                {"name": "price", "type": "long"}
            ]
        }}},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
        {"name": "gift", "type": "boolean"},
        {"name": "weight", "type": "double"},
        {"name": "seal", "type": "bytes"}
    ]
}"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cancelled {
    pub(crate) order: String,
    pub(crate) at: i64,
}

avro_record!(Placed = "test.Placed", schema PLACED);
avro_record!(Cancelled = "test.Cancelled", schema r#"{
    "type": "record", "name": "Cancelled", "namespace": "test",
    "fields": [
        {"name": "order", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
    ]
}"#);

events! {
    /// What happens to orders.
    pub(crate) enum OrderEvent {
        Placed(Placed) = "order.placed",
        Cancelled(Cancelled) = "order.cancelled",
    }
}
events! {
    /// What an older program knows of orders.
    pub(crate) enum OldOrderEvent {
        Placed(Placed) = "order.placed",
    }
}

avro_data!(Placed, Cancelled);

pub(crate) fn placed() -> Placed {
    Placed {
        order: "o1".into(),
        channel: Channel::App,
        lines: vec![Line {
            sku: "sku-1".into(),
            quantity: 2,
            price: 1999,
        }],
        note: Some("ring twice".into()),
        labels: BTreeMap::from([("k".into(), "v".into())]),
        gift: true,
        weight: 1.5,
        seal: vec![0xde, 0xad],
    }
}

/// Resources with a client of a registry of their own.
pub(crate) fn resources() -> Resources {
    with_client(SchemaClient::local(Arc::new(Registry::in_memory())))
}

pub(crate) fn with_client(client: SchemaClient) -> Resources {
    Resources::new().with(Arc::new(client))
}

pub(crate) fn serde<T: Data>(resources: &Resources) -> Result<T::Serde, SerdeError> {
    T::serde(&SerdeContext {
        topic: "order-events",
        role: Role::Value,
        resources,
    })
}

/// The bytes and headers of `value`.
pub(crate) fn written<T: Data>(resources: &Resources, value: &T) -> (Vec<u8>, HeaderList) {
    let (mut out, mut headers) = (Vec::new(), HeaderList::new());
    let mut serde = serde::<T>(resources).unwrap();
    serde.serialize(value, &mut headers, &mut out).unwrap();
    (out, headers)
}

pub(crate) fn read<T: Data>(
    resources: &Resources,
    bytes: &[u8],
    headers: &HeaderList,
) -> Result<T, SerdeError> {
    serde::<T>(resources)?.deserialize(Some(bytes), headers.view())
}

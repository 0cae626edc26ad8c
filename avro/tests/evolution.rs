//! What writers of other versions wrote, read by this version's structs.

mod support;

use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use millrace_avro::codec::{SchemaClient, SerdeError, subject};
use millrace_avro::registry::{Level, Registry};
use millrace_avro::{avro_data, avro_record};
use millrace_streams::headers::HeaderList;
use serde::{Deserialize, Serialize};
use serde_json::json;
use support::*;

/// Reads an `R` that a writer with the fields `fields` wrote as `value`, both as JSON.
fn evolve<R>(
    name: &str,
    fields: &serde_json::Value,
    value: serde_json::Value,
) -> Result<R, SerdeError>
where
    R: millrace_streams::serde::Data,
{
    let writer = json!({ "type": "record", "name": name, "namespace": "test", "fields": fields });
    let registry = Arc::new(Registry::in_memory());
    registry.set_level(None, Some(Level::None)).unwrap();
    let subject = subject("order-events", &format!("test.{name}"));
    let id = registry.register(&subject, &writer.to_string()).unwrap();
    let schema = apache_avro::Schema::parse(&writer).unwrap();
    let value = Value::try_from(value).unwrap().resolve(&schema).unwrap();
    let datum = GenericDatumWriter::builder(&schema).build().unwrap();
    let datum = datum.write_value_to_vec(value).unwrap();
    let bytes = [&[0][..], &id.to_be_bytes(), &datum].concat();
    let resources = with_client(SchemaClient::local(registry));
    read(&resources, &bytes, &HeaderList::new())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    quantity: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Other,
    Retail,
}

/// The newest version of a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parcel {
    id: String,
    weight: f64,
    amount: i64,
    note: Option<String>,
    currency: String,
    kind: Kind,
    items: Vec<Item>,
}

avro_record!(Parcel = "test.Parcel", schema r#"{
    "type": "record", "name": "Parcel", "namespace": "test", "fields": [
        {"name": "id", "type": "string", "aliases": ["parcel_id"]},
        {"name": "weight", "type": "double"},
        {"name": "amount", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "currency", "type": "string", "default": "EUR"},
        {"name": "kind", "default": "RETAIL", "type": {
            "type": "enum", "name": "Kind", "symbols": ["OTHER", "RETAIL"], "default": "OTHER"
        }},
        {"name": "items", "default": [], "type": {"type": "array", "items": {
            "type": "record", "name": "Item", "fields": [
                {"name": "quantity", "type": "long", "aliases": ["count"]}
            ]
        }}}
    ]
}"#);
avro_data!(Parcel);

fn parcel() -> Parcel {
    Parcel {
        id: "p1".into(),
        weight: 2.0,
        amount: 7,
        note: None,
        currency: "EUR".into(),
        kind: Kind::Retail,
        items: vec![],
    }
}

#[test]
fn added_fields_get_the_schema_s_defaults_and_numbers_widen() {
    let fields = json!([
        {"name": "id", "type": "string"},
        {"name": "weight", "type": "int"},
        {"name": "amount", "type": "int"},
    ]);
    let value = json!({ "id": "p1", "weight": 2, "amount": 7 });
    assert_eq!(evolve("Parcel", &fields, value), Ok(parcel()));
}

#[test]
fn removed_and_reordered_fields_are_skipped_and_found() {
    let fields = json!([
        {"name": "gone", "type": {"type": "map", "values": {"type": "array", "items": "long"}}},
        {"name": "amount", "type": "long"},
        {"name": "currency", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["RETAIL"]}},
        {"name": "items", "type": {"type": "array", "items": {
            "type": "record", "name": "Item", "fields": [{"name": "quantity", "type": "int"}]
        }}},
        {"name": "weight", "type": "float"},
        {"name": "id", "type": "string"},
    ]);
    let value = json!({
        "gone": {"a": [1, 2]}, "amount": 7, "currency": "SEK", "kind": "RETAIL",
        "items": [{"quantity": 3}], "weight": 2.0, "id": "p1",
    });
    let expected = Parcel {
        currency: "SEK".into(),
        items: vec![Item { quantity: 3 }],
        ..parcel()
    };
    assert_eq!(evolve("Parcel", &fields, value), Ok(expected));
}

#[test]
fn renamed_fields_are_found_by_their_aliases() {
    let fields = json!([
        {"name": "parcel_id", "type": "string"},
        {"name": "weight", "type": "double"},
        {"name": "amount", "type": "long"},
        {"name": "items", "type": {"type": "array", "items": {
            "type": "record", "name": "Item", "fields": [{"name": "count", "type": "int"}]
        }}},
    ]);
    let value = json!({
        "parcel_id": "p1", "weight": 2.0, "amount": 7, "items": [{"count": 3}],
    });
    let expected = Parcel {
        items: vec![Item { quantity: 3 }],
        ..parcel()
    };
    assert_eq!(evolve("Parcel", &fields, value), Ok(expected));
}

#[test]
fn an_enum_symbol_that_the_reader_does_not_know_becomes_the_enum_s_default() {
    let fields = json!([
        {"name": "id", "type": "string"},
        {"name": "weight", "type": "double"},
        {"name": "amount", "type": "long"},
        {"name": "kind", "type": {
            "type": "enum", "name": "Kind", "symbols": ["RETAIL", "WHOLESALE", "OTHER"]
        }},
    ]);
    let with = |kind: &str| json!({ "id": "p1", "weight": 2.0, "amount": 7, "kind": kind });
    let kind = |symbol| evolve::<Parcel>("Parcel", &fields, with(symbol)).map(|parcel| parcel.kind);
    assert_eq!(kind("WHOLESALE"), Ok(Kind::Other));
    assert_eq!(kind("RETAIL"), Ok(Kind::Retail));
}

#[test]
fn a_writer_that_cannot_be_resolved_is_malformed() {
    let fields = json!([{"name": "weight", "type": "double"}]);
    let result = evolve::<Parcel>("Parcel", &fields, json!({ "weight": 2.0 }));
    assert!(
        matches!(result, Err(SerdeError::Malformed { .. })),
        "{result:?}"
    );
}

#[test]
fn newer_writers_are_read_by_skipping_what_they_added() {
    let fields = json!([
        {"name": "order", "type": "string"},
        {"name": "reason", "type": {"type": "record", "name": "Reason", "fields": [
            {"name": "code", "type": "int"}, {"name": "text", "type": ["null", "string"]}
        ]}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ]);
    let value = json!({ "order": "o1", "reason": {"code": 4, "text": "late"}, "at": 5 });
    let expected = Cancelled {
        order: "o1".into(),
        at: 5,
    };
    assert_eq!(evolve("Cancelled", &fields, value), Ok(expected));
}

#[test]
fn a_transparent_newtype_is_what_it_wraps() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Sku(String);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Stock {
        sku: Sku,
        spare: Option<Sku>,
        on_hand: Vec<Sku>,
    }
    avro_record!(Stock = "test.Stock", schema r#"{
        "type": "record", "name": "Stock", "namespace": "test", "fields": [
            {"name": "sku", "type": "string"},
            {"name": "spare", "type": ["null", "string"]},
            {"name": "on_hand", "type": {"type": "array", "items": "string"}}
        ]
    }"#);
    let stock = Stock {
        sku: Sku("a".into()),
        spare: Some(Sku("b".into())),
        on_hand: vec![Sku("c".into())],
    };
    let datum = millrace_avro::codec::to_datum(&stock).unwrap();
    assert_eq!(millrace_avro::codec::from_datum(&datum), Ok(stock));
}

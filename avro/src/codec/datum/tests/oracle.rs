//! What is written and read is what the reference implementation writes and reads.

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde::{Deserialize, Serialize};

use super::tree::{Tree, Typed};
use super::{Shape, decode, encoded, round_trip, schema};
use crate::samples::{Sample, Schemas};

#[test]
fn any_value_of_any_schema_has_the_bytes_of_the_reference_implementation() {
    for seed in 0..500 {
        let schema = Schemas::record(seed);
        let value = Sample::new(seed, &schema).value(&schema);
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let theirs = writer.write_value_to_vec(value.clone()).unwrap();
        let shape = Shape::of(&schema);
        let typed = Typed {
            value: &value,
            schema: &schema,
            root: &schema,
        };
        let ours = encoded(&typed, &shape).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(ours, theirs, "seed {seed}");
        let read: Tree = decode::read(&theirs, &shape).unwrap();
        assert_eq!(read, Tree::from(&value), "seed {seed}");
    }
}

#[test]
fn what_nobody_wants_is_passed_over_whatever_it_is() {
    for seed in 0..500 {
        let written = Schemas::record(seed);
        let value = Sample::new(seed, &written).value(&written);
        let writer = GenericDatumWriter::builder(&written).build().unwrap();
        let bytes = writer.write_value_to_vec(value).unwrap();
        let nothing = schema(r#"{"type": "record", "name": "N1", "fields": []}"#);
        let shape = Shape::between(&written, &nothing);
        let read = decode::read::<Tree>(&bytes, &shape);
        assert_eq!(read.unwrap(), Tree::Entries(vec![]), "seed {seed}");
        for len in 0..bytes.len() {
            assert!(decode::read::<Tree>(&bytes[..len], &shape).is_err());
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Numbers {
    int: i32,
    long: i64,
    unsigned: u64,
    float: f32,
    double: f64,
    small: i8,
}

const NUMBERS: &str = r#"{"type": "record", "name": "Numbers", "fields": [
    {"name": "int", "type": "int"}, {"name": "long", "type": "long"},
    {"name": "unsigned", "type": "long"}, {"name": "float", "type": "float"},
    {"name": "double", "type": "double"}, {"name": "small", "type": "int"}
]}"#;

proptest! {
    #[test]
    fn numbers_have_the_bytes_of_the_reference_implementation(
        int: i32, long: i64, unsigned in 0..=i64::MAX as u64, float: f32, double: f64, small: i8,
    ) {
        let schema = schema(NUMBERS);
        let ours = round_trip(&Numbers { int, long, unsigned, float, double, small }, &schema);
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let theirs = writer.write_value_to_vec(Value::Record(vec![
            ("int".into(), Value::Int(int)),
            ("long".into(), Value::Long(long)),
            ("unsigned".into(), Value::Long(unsigned as i64)),
            ("float".into(), Value::Float(float)),
            ("double".into(), Value::Double(double)),
            ("small".into(), Value::Int(small.into())),
        ]));
        prop_assert_eq!(ours, theirs.unwrap());
    }

    #[test]
    fn text_and_bytes_survive_whatever_they_are(text: String, bytes in any::<Vec<u8>>()) {
        round_trip(&text, &apache_avro::Schema::String);
        round_trip(&serde_bytes::ByteBuf::from(bytes), &apache_avro::Schema::Bytes);
    }
}

#[test]
fn numbers_outside_of_their_type_are_refused() {
    let refused = |schema: &str, number: u64| {
        encoded(&number, &Shape::of(&self::schema(schema)))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(r#""int""#, 1 << 31),
        "an integer where the schema has an int"
    );
    assert_eq!(refused(r#""long""#, 1 << 63), "a number beyond 64 bits");
    assert_eq!(
        refused(r#""string""#, 1),
        "an integer where the schema has a string"
    );
}

#[test]
fn fields_in_another_order_than_the_schema_s_are_written_in_the_schema_s() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Mixed {
        c: Option<i64>,
        a: String,
        b: Vec<i32>,
    }
    let schema = schema(
        r#"{"type": "record", "name": "Mixed", "fields": [
            {"name": "a", "type": "string"},
            {"name": "b", "type": {"type": "array", "items": "int"}},
            {"name": "c", "type": ["null", "long"]}
        ]}"#,
    );
    let mixed = Mixed {
        c: Some(5),
        a: "x".into(),
        b: vec![1, 2],
    };
    assert_eq!(round_trip(&mixed, &schema), [2, b'x', 4, 2, 4, 0, 2, 10]);
}

#[test]
fn a_skipped_field_is_null_and_any_other_missing_one_an_error() {
    #[derive(Serialize)]
    struct Sparse {
        a: i32,
    }
    let with = |ty: &str| {
        schema(&format!(
            r#"{{"type": "record", "name": "Sparse", "fields": [
                {{"name": "a", "type": "int"}}, {{"name": "b", "type": {ty}}}
            ]}}"#
        ))
    };
    let nullable = Shape::of(&with(r#"["string", "null"]"#));
    assert_eq!(encoded(&Sparse { a: 1 }, &nullable).unwrap(), [2, 2]);
    let required = Shape::of(&with(r#""string""#));
    let refused = encoded(&Sparse { a: 1 }, &required).unwrap_err();
    assert_eq!(refused.to_string(), "/b: the struct has no such field");
}

//! Schema resolution, against the reference implementation's.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::tree::Tree;
use super::{Shape, decode, schema};

fn record(fields: &str) -> Schema {
    let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
    schema(&text)
}

fn bytes(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

fn read(writer: &Schema, reader: &Schema, bytes: &[u8]) -> Result<Tree, String> {
    let shape = Shape::between(writer, reader);
    decode::read(bytes, &shape).map_err(|error| error.to_string())
}

/// Entries in the order of their names: the reader's order is not the writer's.
fn sorted(tree: Tree) -> Tree {
    match tree {
        Tree::Items(items) => Tree::Items(items.into_iter().map(sorted).collect()),
        Tree::Entries(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Tree::Entries(entries)
        }
        plain => plain,
    }
}

/// Reads what a writer with the field `a` of type `from` wrote, as a reader that has `fields`; the
/// reference implementation must read the same.
#[track_caller]
fn check(from: &str, value: Value, fields: &str) {
    let writer = record(&format!(r#"{{"name": "a", "type": {from}}}"#));
    let reader = record(fields);
    let bytes = bytes(&writer, Value::Record(vec![("a".into(), value)]));
    let theirs = GenericDatumReader::builder(&writer)
        .reader_schema(&reader)
        .build()
        .unwrap();
    let theirs = Tree::from(&theirs.read_value(&mut &bytes[..]).unwrap());
    let ours = read(&writer, &reader, &bytes).unwrap();
    assert_eq!(sorted(ours), sorted(theirs));
}

fn a(ty: &str) -> String {
    format!(r#"{{"name": "a", "type": {ty}}}"#)
}

#[test]
fn numbers_widen() {
    for to in [r#""int""#, r#""long""#, r#""float""#, r#""double""#] {
        check(r#""int""#, Value::Int(-7), &a(to));
    }
    for to in [r#""long""#, r#""float""#, r#""double""#] {
        check(r#""long""#, Value::Long(1 << 40), &a(to));
    }
    check(r#""float""#, Value::Float(1.5), &a(r#""double""#));
}

#[test]
fn text_and_bytes_are_read_as_each_other() {
    check(r#""string""#, Value::String("å".into()), &a(r#""bytes""#));
    check(r#""bytes""#, Value::Bytes("å".into()), &a(r#""string""#));
}

#[test]
fn unions_widen_narrow_and_are_reordered() {
    let text = |text: &str| Value::String(text.into());
    let branch = |index, value| Value::Union(index, Box::new(value));
    check(r#""string""#, text("x"), &a(r#"["null", "string"]"#));
    check(
        r#""int""#,
        Value::Int(3),
        &a(r#"["null", "string", "long"]"#),
    );
    let union = r#"["null", "string"]"#;
    check(
        union,
        branch(1, text("x")),
        &a(r#"["string", "null", "int"]"#),
    );
    check(
        union,
        branch(0, Value::Null),
        &a(r#"["string", "null", "int"]"#),
    );
    check(union, branch(1, text("x")), &a(r#""string""#));
}

#[test]
fn defaults_of_all_types_are_filled_in() {
    let point = r#"{"type": "record", "name": "P", "fields": [
        {"name": "x", "type": "int"}, {"name": "y", "type": ["null", "int"], "default": null}
    ]}"#;
    let fields = [
        r#"{"name": "b", "type": "boolean", "default": true}"#.to_owned(),
        r#"{"name": "i", "type": "int", "default": -1}"#.to_owned(),
        r#"{"name": "d", "type": "double", "default": 2}"#.to_owned(),
        r#"{"name": "s", "type": "string", "default": "å"}"#.to_owned(),
        r#"{"name": "n", "type": ["null", "string"], "default": null}"#.to_owned(),
        r#"{"name": "u", "type": ["string", "null"], "default": "x"}"#.to_owned(),
        r#"{"name": "l", "type": {"type": "array", "items": "long"}, "default": [1, 2]}"#
            .to_owned(),
        r#"{"name": "m", "type": {"type": "map", "values": "int"}, "default": {"k": 1}}"#
            .to_owned(),
        r#"{"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            "default": "B"}"#
            .to_owned(),
        format!(r#"{{"name": "p", "type": {point}, "default": {{"x": 1, "y": null}}}}"#),
        r#"{"name": "q", "type": "P", "default": {"x": 2}}"#.to_owned(),
        r#"{"name": "r", "type": {"type": "array", "items": "P"}, "default": [{"x": 3}]}"#
            .to_owned(),
    ];
    check(r#""int""#, Value::Int(1), &fields.join(", "));
}

#[test]
fn bytes_of_a_default_are_the_code_points_of_its_text() {
    let writer = record(r#"{"name": "a", "type": "int"}"#);
    let reader = record(
        r#"{"name": "b", "type": "bytes", "default": "\u0000\u00ff"},
           {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2},
            "default": "\u0001\u00fe"}"#,
    );
    let value = Value::Record(vec![("a".into(), Value::Int(1))]);
    let expected = vec![
        ("b".to_owned(), Tree::Bytes(vec![0, 0xff])),
        ("f".to_owned(), Tree::Bytes(vec![1, 0xfe])),
    ];
    let read = read(&writer, &reader, &bytes(&writer, value));
    assert_eq!(read, Ok(Tree::Entries(expected)));
}

#[test]
fn a_type_may_be_defined_at_another_place_and_within_itself() {
    let node = |x: &str| {
        record(&format!(
            r#"{{"name": "next", "type": ["null", "R"], "default": null}},
               {{"name": "x", "type": "{x}"}}"#
        ))
    };
    let value = |next: Value, x| Value::Record(vec![("next".into(), next), ("x".into(), x)]);
    let (none, some) = (Value::Union(0, Box::new(Value::Null)), |value| {
        Value::Union(1, Box::new(value))
    });
    let (writer, reader) = (node("int"), node("double"));
    let list = value(some(value(none, Value::Int(2))), Value::Int(1));
    let entries =
        |next, x| Tree::Entries(vec![("next".into(), next), ("x".into(), Tree::Double(x))]);
    let read = read(&writer, &reader, &bytes(&writer, list));
    assert_eq!(read, Ok(entries(entries(Tree::Null, 2.0), 1.0)));
}

#[test]
fn records_of_a_union_are_found_by_name_or_alias() {
    let named = |name: &str, alias: &str| {
        format!(
            r#"{{"type": "record", "name": "{name}", "aliases": [{alias}],
                "fields": [{{"name": "x", "type": "int"}}]}}"#
        )
    };
    let union = |one: &str, other: &str| record(&a(&format!("[{one}, {other}]")));
    let writer = union(&named("One", ""), &named("Two", ""));
    let reader = union(&named("Deux", r#""Two""#), &named("One", ""));
    let x = Value::Record(vec![("x".into(), Value::Int(5))]);
    for index in [0, 1] {
        let value = Value::Union(index, Box::new(x.clone()));
        let bytes = bytes(&writer, Value::Record(vec![("a".into(), value)]));
        let expected = Tree::Entries(vec![("a".into(), Tree::from(&x))]);
        assert_eq!(read(&writer, &reader, &bytes), Ok(expected));
    }
}

#[test]
fn what_cannot_be_resolved_is_refused_where_it_is_met() {
    let writer = record(&a(r#"["null", "string"]"#));
    let reader = record(&a(r#""null""#));
    let null = read(&writer, &reader, &[0]);
    assert_eq!(null, Ok(Tree::Entries(vec![("a".into(), Tree::Null)])));
    let text = read(&writer, &reader, &[2, 2, b'x']).unwrap_err();
    assert_eq!(text, "/a: string cannot be read as null");
    let missing = record(r#"{"name": "b", "type": "int"}"#);
    let error = read(&writer, &missing, &[0]).unwrap_err();
    assert_eq!(error, "the writer has no `b`, and it has no default");
}

//! What separates a writer's schema from a reader's: whether the reader can read it.
//!
//! The rules are those of Avro's schema resolution (specification 1.12, "Schema Resolution"). A
//! pair that depends on the data (a union or an enum that shrinks) counts as a break, as it does
//! in Avro's own `SchemaCompatibility`.

use std::collections::{HashMap, HashSet};

use apache_avro::Schema;
use apache_avro::schema::{
    EnumSchema, InnerDecimalSchema, RecordField, RecordSchema, UnionSchema, UuidSchema,
};

/// The outcome of comparing a writer's schema with a reader's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evolution {
    /// Why the reader cannot read all that the writer may write; empty if it can. Each names its
    /// place, such as `/lines/items/quantity`.
    pub breaks: Vec<String>,
}

impl Evolution {
    /// Compares what `writer` writes with what `reader` expects.
    pub fn between(writer: &Schema, reader: &Schema) -> Self {
        let mut walk = Walk {
            writer_names: names(writer),
            reader_names: names(reader),
            seen: HashSet::new(),
            outcome: Self { breaks: Vec::new() },
        };
        walk.compare(writer, reader, "");
        walk.outcome
    }
}

/// The named types that `schema` defines, by full name.
pub(crate) fn names(schema: &Schema) -> HashMap<String, &Schema> {
    let mut found = HashMap::new();
    collect(schema, &mut found);
    found
}

fn collect<'s>(schema: &'s Schema, found: &mut HashMap<String, &'s Schema>) {
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
        found.insert(name.fullname(None), schema);
    }
    match schema {
        Schema::Array(array) => collect(&array.items, found),
        Schema::Map(map) => collect(&map.types, found),
        Schema::Union(union) => union.variants().iter().for_each(|v| collect(v, found)),
        Schema::Record(record) => record.fields.iter().for_each(|f| collect(&f.schema, found)),
        _ => {}
    }
}

/// The field of `writer` that becomes `field`: that of its name, or else of one of its aliases.
pub(super) fn counterpart<'w>(
    field: &RecordField,
    writer: &'w RecordSchema,
) -> Option<&'w RecordField> {
    let named = |name: &str| writer.fields.iter().find(|f| f.name == name);
    named(&field.name).or_else(|| field.aliases.iter().find_map(|alias| named(alias)))
}

/// How a primitive, or what a logical type annotates, is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Compound,
}

impl Kind {
    pub(super) fn of(schema: &Schema) -> Self {
        match schema {
            Schema::Null => Self::Null,
            Schema::Boolean => Self::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Self::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Self::Long,
            Schema::Float => Self::Float,
            Schema::Double => Self::Double,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Self::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Self::String,
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => Self::Fixed(fixed.size),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Self::Bytes,
                InnerDecimalSchema::Fixed(fixed) => Self::Fixed(fixed.size),
            },
            _ => Self::Compound,
        }
    }

    pub(super) fn widens_to(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Int, Self::Long | Self::Float | Self::Double)
                | (Self::Long, Self::Float | Self::Double)
                | (Self::Float, Self::Double)
        )
    }

    pub(super) fn converts_to(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Bytes, Self::String) | (Self::String, Self::Bytes)
        )
    }
}

struct Walk<'s> {
    writer_names: HashMap<String, &'s Schema>,
    reader_names: HashMap<String, &'s Schema>,
    /// Pairs of records under comparison or done, by name: types may be recursive.
    seen: HashSet<(String, String)>,
    outcome: Evolution,
}

impl<'s> Walk<'s> {
    fn compare(&mut self, writer: &'s Schema, reader: &'s Schema, at: &str) {
        let writer = resolved(writer, &self.writer_names);
        let reader = resolved(reader, &self.reader_names);
        match (writer, reader) {
            (Schema::Union(writer), Schema::Union(reader)) => self.unions(writer, reader, at),
            (Schema::Union(writer), _) => self.narrowed_union(writer, reader, at),
            (_, Schema::Union(reader)) => self.read_by_a_branch(writer, reader, at),
            (Schema::Record(w), Schema::Record(r)) => self.records(w, r, at),
            (Schema::Enum(writer), Schema::Enum(reader)) => self.enums(writer, reader, at),
            (Schema::Array(w), Schema::Array(r)) => {
                self.compare(&w.items, &r.items, &format!("{at}/items"));
            }
            (Schema::Map(w), Schema::Map(r)) => {
                self.compare(&w.types, &r.types, &format!("{at}/values"));
            }
            _ => self.plain(writer, reader, at),
        }
    }

    fn plain(&mut self, writer: &Schema, reader: &Schema, at: &str) {
        let (from, to) = (Kind::of(writer), Kind::of(reader));
        if let (Schema::Decimal(w), Schema::Decimal(r)) = (writer, reader)
            && (w.precision, w.scale) != (r.precision, r.scale)
        {
            let (w, r) = ((w.precision, w.scale), (r.precision, r.scale));
            return self.break_at(at, &format!("decimal{w:?} cannot be read as decimal{r:?}"));
        }
        let same = from == to && from != Kind::Compound;
        if !same && !from.converts_to(to) && !from.widens_to(to) {
            let (from, to) = (describe(writer), describe(reader));
            self.break_at(at, &format!("{from} cannot be read as {to}"));
        }
    }

    fn records(&mut self, writer: &'s RecordSchema, reader: &'s RecordSchema, at: &str) {
        if !same_name(&writer.name, &reader.name, reader.aliases.as_deref()) {
            return self.renamed(&writer.name, &reader.name, at);
        }
        let pair = (writer.name.fullname(None), reader.name.fullname(None));
        if !self.seen.insert(pair) {
            return;
        }
        for field in &reader.fields {
            let at = format!("{at}/{}", field.name);
            match (counterpart(field, writer), &field.default) {
                (Some(written), _) => self.compare(&written.schema, &field.schema, &at),
                (None, Some(_)) => {}
                (None, None) => {
                    self.break_at(
                        &at,
                        "the field is missing in the writer, and has no default",
                    );
                }
            }
        }
    }

    fn enums(&mut self, writer: &EnumSchema, reader: &EnumSchema, at: &str) {
        if !same_name(&writer.name, &reader.name, reader.aliases.as_deref()) {
            return self.renamed(&writer.name, &reader.name, at);
        }
        let unknown = |symbol: &&String| !reader.symbols.contains(symbol);
        let unknown: Vec<_> = writer.symbols.iter().filter(unknown).collect();
        if !unknown.is_empty() && reader.default.is_none() {
            let why = format!("the reader knows no {unknown:?}, and its enum has no default");
            self.break_at(at, &why);
        }
    }

    /// Each branch of the writer must be read by some branch of the reader.
    fn unions(&mut self, writer: &'s UnionSchema, reader: &'s UnionSchema, at: &str) {
        for branch in writer.variants() {
            self.read_by_a_branch(branch, reader, at);
        }
    }

    fn narrowed_union(&mut self, writer: &'s UnionSchema, reader: &'s Schema, at: &str) {
        for branch in writer.variants() {
            self.compare(branch, reader, at);
        }
    }

    fn read_by_a_branch(&mut self, writer: &'s Schema, reader: &'s UnionSchema, at: &str) {
        match self.best_branch(writer, reader) {
            Some(branch) => self.compare(writer, branch, at),
            None => self.no_branch(writer, at),
        }
    }

    /// The branch of `reader` that reads `writer`; failing that, one of the same type, whose
    /// breaks tell more than that there is none.
    fn best_branch(&self, writer: &'s Schema, reader: &'s UnionSchema) -> Option<&'s Schema> {
        let writer = resolved(writer, &self.writer_names);
        let same_type = |branch: &&Schema| {
            let branch = resolved(branch, &self.reader_names);
            std::mem::discriminant(branch) == std::mem::discriminant(writer)
        };
        let branches = || reader.variants().iter();
        branches()
            .filter(same_type)
            .find(|branch| self.reads(writer, branch))
            .or_else(|| branches().find(|branch| self.reads(writer, branch)))
            .or_else(|| branches().find(same_type))
    }

    fn reads(&self, writer: &'s Schema, reader: &'s Schema) -> bool {
        let mut trial = Walk {
            writer_names: self.writer_names.clone(),
            reader_names: self.reader_names.clone(),
            seen: self.seen.clone(),
            outcome: Evolution { breaks: Vec::new() },
        };
        trial.compare(writer, reader, "");
        trial.outcome.breaks.is_empty()
    }

    fn no_branch(&mut self, writer: &Schema, at: &str) {
        let from = describe(resolved(writer, &self.writer_names));
        self.break_at(at, &format!("no branch of the reader's union reads {from}"));
    }

    fn renamed(
        &mut self,
        writer: &apache_avro::schema::Name,
        reader: &apache_avro::schema::Name,
        at: &str,
    ) {
        let (from, to) = (writer.fullname(None), reader.fullname(None));
        self.break_at(at, &format!("`{from}` cannot be read as `{to}`"));
    }

    fn break_at(&mut self, at: &str, why: &str) {
        let at = if at.is_empty() { "/" } else { at };
        self.outcome.breaks.push(format!("{at}: {why}"));
    }
}

/// `schema`, or what it refers to.
pub(super) fn resolved<'s>(schema: &'s Schema, names: &HashMap<String, &'s Schema>) -> &'s Schema {
    match schema {
        Schema::Ref { name } => names.get(&name.fullname(None)).copied().unwrap_or(schema),
        schema => schema,
    }
}

/// Names are compared without their name spaces, as Avro does.
pub(super) fn same_name(
    writer: &apache_avro::schema::Name,
    reader: &apache_avro::schema::Name,
    aliases: Option<&[apache_avro::schema::Alias]>,
) -> bool {
    let alias_matches = |alias: &apache_avro::schema::Alias| alias.name() == writer.name();
    writer.name() == reader.name() || aliases.is_some_and(|a| a.iter().any(alias_matches))
}

pub(super) fn describe(schema: &Schema) -> String {
    match schema.name() {
        Some(name) => format!("`{}`", name.fullname(None)),
        None => short_name(schema),
    }
}

/// The name of a type, without its name space: "Money", "string", "array".
pub(super) fn short_name(schema: &Schema) -> String {
    match (schema.name(), Kind::of(schema)) {
        (Some(name), _) => name.name().to_owned(),
        (None, Kind::Fixed(_)) => "fixed".into(),
        (None, Kind::Compound) => match schema {
            Schema::Array(_) => "array".into(),
            Schema::Map(_) => "map".into(),
            _ => "union".into(),
        },
        (None, kind) => format!("{kind:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
    use expect_test::{Expect, expect};

    use super::*;

    fn record(fields: &str) -> Schema {
        let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
        Schema::parse_str(&text).unwrap()
    }

    /// Compares two records; Avro's own verdict must be the same.
    #[track_caller]
    fn check(writer: &str, reader: &str, expect: &Expect) {
        let (writer, reader) = (record(writer), record(reader));
        let evolution = Evolution::between(&writer, &reader);
        let theirs = SchemaCompatibility::can_read(&writer, &reader) == Ok(Compatibility::Full);
        assert_eq!(evolution.breaks.is_empty(), theirs, "{evolution:?}");
        expect.assert_eq(&evolution.breaks.join("; "));
    }

    const A: &str = r#"{"name": "a", "type": "int"}"#;

    #[test]
    fn removed_fields_wider_numbers_and_null_defaults_are_read() {
        check(A, "", &expect![""]);
        check(A, r#"{"name": "a", "type": "double"}"#, &expect![""]);
        check(A, r#"{"name": "a", "type": ["null", "int"]}"#, &expect![""]);
        let added = r#"{"name": "b", "type": ["null", "int"], "default": null}"#;
        check(A, &format!("{A}, {added}"), &expect![""]);
    }

    #[test]
    fn other_defaults_and_conversions_are_read() {
        let added = r#"{"name": "b", "type": "int", "default": 7}"#;
        check(A, &format!("{A}, {added}"), &expect![""]);
        let (text, bytes) = (
            r#"{"name": "t", "type": "string"}"#,
            r#"{"name": "t", "type": "bytes"}"#,
        );
        check(text, bytes, &expect![""]);
    }

    #[test]
    fn a_break_names_its_place_and_its_reason() {
        let added = r#"{"name": "b", "type": "int"}"#;
        check(
            A,
            &format!("{A}, {added}"),
            &expect!["/b: the field is missing in the writer, and has no default"],
        );
        check(
            A,
            r#"{"name": "a", "type": "string"}"#,
            &expect!["/a: int cannot be read as string"],
        );
        check(
            r#"{"name": "a", "type": {"type": "array", "items": "long"}}"#,
            r#"{"name": "a", "type": {"type": "array", "items": "int"}}"#,
            &expect!["/a/items: long cannot be read as int"],
        );
        check(
            r#"{"name": "a", "type": ["null", "int"]}"#,
            r#"{"name": "a", "type": "int"}"#,
            &expect!["/a: null cannot be read as int"],
        );
        check(
            r#"{"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}}"#,
            r#"{"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X"]}}"#,
            &expect![[r#"/e: the reader knows no ["Y"], and its enum has no default"#]],
        );
    }

    #[test]
    fn a_type_may_be_defined_at_another_place() {
        let point = r#"{"type": "record", "name": "P", "fields": [{"name": "x", "type": "int"}]}"#;
        let writer = record(&format!(
            r#"{{"name": "a", "type": {point}}}, {{"name": "b", "type": "P"}}"#
        ));
        let reader = record(&format!(
            r#"{{"name": "b", "type": {point}}}, {{"name": "a", "type": "P"}}"#
        ));
        let evolution = Evolution::between(&writer, &reader);
        assert_eq!(evolution.breaks, Vec::<String>::new());
    }

    #[test]
    fn recursive_types_end() {
        let node = |x: &str| {
            record(&format!(
                r#"{{"name": "next", "type": ["null", "R"], "default": null}}, {{"name": "x", "type": "{x}"}}"#
            ))
        };
        assert!(
            Evolution::between(&node("int"), &node("long"))
                .breaks
                .is_empty()
        );
        assert_eq!(
            Evolution::between(&node("long"), &node("int")).breaks.len(),
            1
        );
    }
}

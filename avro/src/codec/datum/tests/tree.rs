//! Any value, as serde shows it.

use std::fmt;

use apache_avro::Schema;
use apache_avro::types::Value;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::evolution;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Boolean(bool),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
    Text(String),
    Items(Vec<Tree>),
    Entries(Vec<(String, Tree)>),
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Int(n) | Value::Date(n) | Value::TimeMillis(n) => Self::Long((*n).into()),
            Value::Long(n)
            | Value::TimeMicros(n)
            | Value::TimestampMillis(n)
            | Value::TimestampMicros(n) => Self::Long(*n),
            Value::Float(number) => Self::Float(*number),
            Value::Double(number) => Self::Double(*number),
            Value::Bytes(bytes) | Value::Fixed(_, bytes) => Self::Bytes(bytes.clone()),
            Value::Decimal(decimal) => Self::Bytes(decimal.try_into().unwrap()),
            Value::Duration(duration) => Self::Bytes(<[u8; 12]>::from(*duration).into()),
            Value::String(text) | Value::Enum(_, text) => Self::Text(text.clone()),
            Value::Uuid(uuid) => Self::Text(uuid.to_string()),
            Value::Union(_, value) => Self::from(&**value),
            Value::Array(items) => Self::Items(items.iter().map(Self::from).collect()),
            Value::Map(map) => Self::Entries(map.iter().map(entry).collect()),
            Value::Record(fields) => {
                Self::Entries(fields.iter().map(|(k, v)| entry((k, v))).collect())
            }
            other => panic!("no tree of {other:?}"),
        }
    }
}

fn entry((key, value): (&String, &Value)) -> (String, Tree) {
    (key.clone(), Tree::from(value))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Long(number))
    }

    fn visit_f32<E>(self, number: f32) -> Result<Tree, E> {
        Ok(Tree::Float(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Double(number))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Bytes(bytes.to_vec()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Tree::Items(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            found.push(entry);
        }
        Ok(Tree::Entries(found))
    }
}

/// A value of a schema, serialized as a type that was derived for that schema would be.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) value: &'a Value,
    pub(super) schema: &'a Schema,
    /// The schema that defines what `schema` refers to.
    pub(super) root: &'a Schema,
}

impl<'a> Typed<'a> {
    fn of(self, value: &'a Value, schema: &'a Schema) -> Self {
        let names = evolution::names(self.root);
        let schema = evolution::resolved(schema, &names);
        Self {
            value,
            schema,
            ..self
        }
    }

    fn record<S: Serializer>(
        self,
        fields: &[(String, Value)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Schema::Record(schema) = self.schema else {
            panic!("a record by {:?}", self.schema);
        };
        let name = leaked(schema.name.name());
        let mut out = serializer.serialize_struct(name, fields.len())?;
        for ((name, value), field) in fields.iter().zip(&schema.fields) {
            out.serialize_field(leaked(name), &self.of(value, &field.schema))?;
        }
        out.end()
    }
}

// Serde's names are static: these tests are few.
fn leaked(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.schema) {
            (Value::Union(index, value), Schema::Union(union)) => {
                let branch = self.of(value, &union.variants()[*index as usize]);
                let name = leaked(&evolution::short_name(branch.schema));
                serializer.serialize_newtype_variant("", *index, name, &branch)
            }
            (Value::Enum(index, symbol), _) => {
                serializer.serialize_unit_variant("", *index, leaked(symbol))
            }
            (Value::Record(fields), _) => self.record(fields, serializer),
            (Value::Array(items), Schema::Array(schema)) => {
                serializer.collect_seq(items.iter().map(|item| self.of(item, &schema.items)))
            }
            (Value::Map(map), Schema::Map(schema)) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map {
                    out.serialize_entry(key, &self.of(value, &schema.types))?;
                }
                out.end()
            }
            (plain, _) => Tree::from(plain).serialize(serializer),
        }
    }
}

/// Only what is plain.
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Long(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f32(*number),
            Self::Double(number) => serializer.serialize_f64(*number),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Items(_) | Self::Entries(_) => panic!("not plain: {self:?}"),
        }
    }
}

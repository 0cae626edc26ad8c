//! Avro's binary encoding as serde values (specification 1.12, "Binary Encoding").
//!
//! The bytes are not trusted: what they claim is bounded by how many there are, and how deep
//! values may nest.

mod compound;
mod input;

use std::sync::atomic::Ordering;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::DEPTH_MAX;
use super::error::Error;
use super::shape::{Node, NodeId, Record, Shape};
use compound::{Fields, Items};
use input::Input;

/// Reads a value, and refuses bytes that are left over.
pub(super) fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    shape: &'de Shape,
) -> Result<T, Error> {
    let mut input = Input::new(bytes, shape);
    let value = T::deserialize(input.value(shape.root(), DEPTH_MAX))?;
    match input.len() {
        0 => Ok(value),
        left => Err(Error::new(format!("{left} bytes are left over"))),
    }
}

/// Reads one value as `node` has it.
struct ValueReader<'i, 'de> {
    input: &'i mut Input<'de>,
    node: &'de Node,
    depth_left: u8,
}

impl<'i, 'de> ValueReader<'i, 'de> {
    /// Reads a value of the branch that the bytes choose, if the node is a union.
    fn chosen(mut self) -> Result<Self, Error> {
        if let Node::Union(branches) = self.node {
            let branch = self.input.branch(branches)?;
            self.node = self.input.node(branch.node);
        }
        Ok(self)
    }

    /// True for an enum whose symbols are the variants, rather than its name.
    fn has_symbol(&self, symbol: &str) -> bool {
        match self.node {
            Node::Enum(symbols) => symbols.iter().flatten().any(|known| known == symbol),
            _ => false,
        }
    }

    fn fields(self, record: &'de Record) -> Result<Fields<'i, 'de>, Error> {
        Fields::new(self.input, record, self.depth_left)
    }

    fn visit_items<V: Visitor<'de>>(self, id: NodeId, visitor: V) -> Result<V::Value, Error> {
        let node = self.input.node(id);
        let mut items = Items::new(self.input, node, self.depth_left)?;
        let value = visitor.visit_seq(&mut items)?;
        items.finish().map(|()| value)
    }

    fn visit_entries<V: Visitor<'de>>(self, id: NodeId, visitor: V) -> Result<V::Value, Error> {
        let node = self.input.node(id);
        let mut items = Items::new(self.input, node, self.depth_left)?;
        let value = visitor.visit_map(&mut items)?;
        items.finish().map(|()| value)
    }
}

impl<'de> Deserializer<'de> for ValueReader<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Null => visitor.visit_unit(),
            Node::Boolean => visitor.visit_bool(self.input.boolean()?),
            Node::Int => visitor.visit_i32(self.input.int()?),
            Node::Long => visitor.visit_i64(self.input.long()?),
            Node::Float => visitor.visit_f32(f32::from_le_bytes(self.input.array()?)),
            Node::Double => visitor.visit_f64(f64::from_le_bytes(self.input.array()?)),
            Node::LongAsFloat => visitor.visit_f32(self.input.long()? as f32),
            Node::LongAsDouble => visitor.visit_f64(self.input.long()? as f64),
            Node::FloatAsDouble => {
                visitor.visit_f64(f32::from_le_bytes(self.input.array()?).into())
            }
            Node::Bytes => visitor.visit_borrowed_bytes(self.input.bytes()?),
            Node::String => visitor.visit_borrowed_str(self.input.text()?),
            Node::Fixed(size) => visitor.visit_borrowed_bytes(self.input.take(*size)?),
            Node::Enum(symbols) => visitor.visit_borrowed_str(self.input.symbol(symbols)?),
            Node::Array(items) => self.visit_items(*items, visitor),
            Node::Map(values) => self.visit_entries(*values, visitor),
            Node::Union(_) => self.chosen()?.deserialize_any(visitor),
            Node::Record(record) => self.fields(record)?.visit_map(visitor),
            Node::Refused(why) => Err(Error::new(why)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.chosen()?;
        match value.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A struct whose fields are those of the schema, in their order, is read without their names.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = self.chosen()?;
        match value.node {
            Node::Record(record) if record.is_read_in_order(names) => {
                value.fields(record)?.visit_seq(visitor)
            }
            _ => value.deserialize_any(visitor),
        }
    }

    /// A variant is a symbol, or else a branch of a union by the name of its type.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut value = self;
        if let Node::Union(branches) = value.node {
            let branch = value.input.branch(branches)?;
            value.node = value.input.node(branch.node);
            if variants.contains(&branch.name.as_str()) && !value.has_symbol(&branch.name) {
                let name = &branch.name;
                return visitor.visit_enum(Tagged { name, value });
            }
        }
        match value.node {
            Node::Enum(symbols) => visitor.visit_enum(Symbol(value.input.symbol(symbols)?)),
            Node::String => visitor.visit_enum(Symbol(value.input.text()?)),
            _ => value.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.input.skip(self.node, self.depth_left)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

impl Record {
    fn is_read_in_order(&self, names: &'static [&'static str]) -> bool {
        // A struct asks with the same list each time.
        let list = names.as_ptr() as usize;
        let all = names.len() == self.fields.len();
        if all && self.read_in_order_by.load(Ordering::Relaxed) == list {
            return true;
        }
        let in_order = self.has_in_order(names);
        if in_order && all && !names.is_empty() {
            self.read_in_order_by.store(list, Ordering::Relaxed);
        }
        in_order
    }

    fn has_in_order(&self, names: &[&str]) -> bool {
        let kept = self.fields.iter().filter(|field| field.kept);
        self.added.is_empty()
            && kept
                .map(|field| field.name.as_str())
                .eq(names.iter().copied())
    }
}

/// A variant without content.
struct Symbol<'de>(&'de str);

impl<'de> EnumAccess<'de> for Symbol<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.0))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Symbol<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(self.no_content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(self.no_content())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(self.no_content())
    }
}

impl Symbol<'_> {
    fn no_content(&self) -> Error {
        Error::new("a symbol for a variant with content").inside(self.0)
    }
}

/// A variant whose content is a branch of a union.
struct Tagged<'i, 'de> {
    name: &'de str,
    value: ValueReader<'i, 'de>,
}

impl<'i, 'de> EnumAccess<'de> for Tagged<'i, 'de> {
    type Error = Error;
    type Variant = ValueReader<'i, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((variant, self.value))
    }
}

impl<'de> VariantAccess<'de> for ValueReader<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_struct("", names, visitor)
    }
}

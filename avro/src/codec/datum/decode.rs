//! Avro's binary encoding as serde values (specification 1.12, "Binary Encoding").
//!
//! The bytes are not trusted: what they claim is bounded by how many there are, and how deep
//! values may nest.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::error::Error;
use super::shape::{Node, NodeId, Record, Shape};

/// How deep arrays, maps and records may nest, so that no datum exhausts the stack.
const DEPTH_MAX: u8 = 64;

/// Every item of an array takes a byte at least, unless it is an empty record or null: of these
/// there may be so many.
const EMPTY_ITEMS_MAX: usize = 1024;

/// Reads a value, and refuses bytes that are left over.
pub(super) fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    shape: &'de Shape,
) -> Result<T, Error> {
    let mut input = Input { bytes, shape };
    let value = T::deserialize(input.value(shape.root(), DEPTH_MAX))?;
    match input.bytes.len() {
        0 => Ok(value),
        left => Err(Error::new(format!("{left} bytes are left over"))),
    }
}

/// What is left of the bytes, and the shape that they have.
struct Input<'de> {
    bytes: &'de [u8],
    shape: &'de Shape,
}

impl<'de> Input<'de> {
    fn value<'i>(&'i mut self, node: &'de Node, depth_left: u8) -> ValueReader<'i, 'de> {
        ValueReader {
            input: self,
            node,
            depth_left,
        }
    }

    fn take(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A number by variable-length zig-zag coding.
    fn long(&mut self) -> Result<i64, Error> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if shift == 63 && bits > 1 {
                break;
            }
            if byte < 0x80 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Error::new("a number beyond 64 bits"))
    }

    fn int(&mut self) -> Result<i32, Error> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| Error::new(format!("{number} for an int")))
    }

    fn boolean(&mut self) -> Result<bool, Error> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(Error::new(format!("byte {byte} for a boolean"))),
        }
    }

    fn bytes(&mut self) -> Result<&'de [u8], Error> {
        let len = self.long()?;
        self.take(usize::try_from(len).map_err(|_| Error::new(format!("a length of {len}")))?)
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| Error::new("text that is not UTF-8"))
    }

    fn symbol(&mut self, symbols: &'de [Option<String>]) -> Result<&'de str, Error> {
        match self.chosen(symbols, "symbol")? {
            Some(symbol) => Ok(symbol),
            None => Err(Error::new(
                "a symbol that the reader does not know; give its enum a default",
            )),
        }
    }

    fn branch(&mut self, branches: &'de [NodeId]) -> Result<&'de Node, Error> {
        let id = self.chosen(branches, "branch")?;
        Ok(self.shape.node(*id))
    }

    fn chosen<T>(&mut self, among: &'de [T], what: &str) -> Result<&'de T, Error> {
        let index = self.long()?;
        let chosen = usize::try_from(index)
            .ok()
            .and_then(|index| among.get(index));
        chosen.ok_or_else(|| Error::new(format!("{what} {index} of {}", among.len())))
    }

    /// Passes over a value that nobody wants.
    fn skip(&mut self, node: &'de Node, depth_left: u8) -> Result<(), Error> {
        let shape = self.shape;
        match node {
            Node::Null => {}
            Node::Boolean => drop(self.boolean()?),
            Node::Int | Node::Long | Node::LongAsFloat | Node::LongAsDouble | Node::Enum(_) => {
                self.long()?;
            }
            Node::Float | Node::FloatAsDouble => drop(self.array::<4>()?),
            Node::Double => drop(self.array::<8>()?),
            Node::Bytes | Node::String => drop(self.bytes()?),
            Node::Fixed(size) => drop(self.take(*size)?),
            Node::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(branch, depth_left)?;
            }
            Node::Record(record) => {
                let below = deeper(depth_left)?;
                for field in &record.fields {
                    self.skip(shape.node(field.node), below)?;
                }
            }
            Node::Array(items) => self.skip_blocks(false, shape.node(*items), depth_left)?,
            Node::Map(values) => self.skip_blocks(true, shape.node(*values), depth_left)?,
            Node::Refused(why) => return Err(Error::new(why)),
        }
        Ok(())
    }

    fn skip_blocks(&mut self, keys: bool, node: &'de Node, depth_left: u8) -> Result<(), Error> {
        let mut items = Items::new(self, node, depth_left)?;
        while items.next()? {
            if keys {
                items.input.bytes()?;
            }
            items.input.skip(node, items.depth_left)?;
        }
        Ok(())
    }
}

fn ends_early() -> Error {
    Error::new("the bytes end too early")
}

fn deeper(depth_left: u8) -> Result<u8, Error> {
    let below = depth_left.checked_sub(1);
    below.ok_or_else(|| Error::new(format!("nested more than {DEPTH_MAX} deep")))
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
            self.node = self.input.branch(branches)?;
        }
        Ok(self)
    }

    fn fields(self, record: &'de Record) -> Result<Fields<'i, 'de>, Error> {
        Ok(Fields {
            input: self.input,
            record,
            next: 0,
            depth_left: deeper(self.depth_left)?,
        })
    }

    fn visit_items<V: Visitor<'de>>(self, id: NodeId, visitor: V) -> Result<V::Value, Error> {
        let node = self.input.shape.node(id);
        let mut items = Items::new(self.input, node, self.depth_left)?;
        let value = visitor.visit_seq(&mut items)?;
        items.finish().map(|()| value)
    }

    fn visit_entries<V: Visitor<'de>>(self, id: NodeId, visitor: V) -> Result<V::Value, Error> {
        let node = self.input.shape.node(id);
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

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = self.chosen()?;
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
    fn is_read_in_order(&self, names: &[&str]) -> bool {
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

/// Reads the items of an array, or the entries of a map.
struct Items<'i, 'de> {
    input: &'i mut Input<'de>,
    node: &'de Node,
    depth_left: u8,
    /// What is left of the block.
    left: usize,
    /// How many the blocks to come may have together.
    allowed: usize,
    ended: bool,
}

impl<'i, 'de> Items<'i, 'de> {
    fn new(input: &'i mut Input<'de>, node: &'de Node, depth_left: u8) -> Result<Self, Error> {
        let allowed = input.bytes.len().max(EMPTY_ITEMS_MAX);
        let mut items = Self {
            input,
            node,
            depth_left: deeper(depth_left)?,
            left: 0,
            allowed,
            ended: false,
        };
        items.next_block()?;
        Ok(items)
    }

    /// Counts one item, and is false at the end.
    fn next(&mut self) -> Result<bool, Error> {
        if self.left == 0 && !self.ended {
            self.next_block()?;
        }
        let some = self.left > 0;
        self.left -= usize::from(some);
        Ok(some)
    }

    fn next_block(&mut self) -> Result<(), Error> {
        let count = self.input.long()?;
        if count < 0 {
            // The size of the block in bytes, for those who skip it.
            self.input.long()?;
        }
        let items = count.unsigned_abs();
        self.left = usize::try_from(items).unwrap_or(usize::MAX);
        let allowed = self.allowed.checked_sub(self.left);
        self.allowed = allowed.ok_or_else(|| Error::new(format!("a block of {items} items")))?;
        self.ended = count == 0;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        match self.next()? {
            true => Err(Error::new("more items than are expected")),
            false => Ok(()),
        }
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.next()? {
            return Ok(None);
        }
        let item = self.input.value(self.node, self.depth_left);
        seed.deserialize(item).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.next()? {
            return Ok(None);
        }
        let key = self.input.value(&Node::String, self.depth_left);
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.input.value(self.node, self.depth_left))
    }
}

/// Reads the fields of a record: those that the writer wrote, then those that only the reader has.
struct Fields<'i, 'de> {
    input: &'i mut Input<'de>,
    record: &'de Record,
    next: usize,
    depth_left: u8,
}

impl<'de> Fields<'_, 'de> {
    fn visit_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let value = visitor.visit_map(&mut self)?;
        self.skip_unwanted().map(|()| value)
    }

    fn visit_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let value = visitor.visit_seq(&mut self)?;
        self.skip_unwanted().map(|()| value)
    }

    /// Passes over fields that only the writer has, up to the next that the reader has too.
    fn skip_unwanted(&mut self) -> Result<(), Error> {
        while let Some(field) = self.record.fields.get(self.next)
            && !field.kept
        {
            let node = self.input.shape.node(field.node);
            self.input
                .skip(node, self.depth_left)
                .map_err(|error| error.inside(&field.name))?;
            self.next += 1;
        }
        Ok(())
    }

    fn value<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let place = self.next;
        self.next += 1;
        if let Some(field) = self.record.fields.get(place) {
            let node = self.input.shape.node(field.node);
            let value = seed.deserialize(self.input.value(node, self.depth_left));
            return value.map_err(|error| error.inside(&field.name));
        }
        let added = self.record.added.get(place - self.record.fields.len());
        let added = added.ok_or_else(|| Error::new("no more fields"))?;
        let (bytes, shape) = (&added.datum[..], &added.shape);
        let mut input = Input { bytes, shape };
        let value = seed.deserialize(input.value(shape.root(), self.depth_left));
        value.map_err(|error| error.inside(&added.name))
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.skip_unwanted()?;
        let fields = self.record.fields.iter().map(|field| &field.name);
        let names = fields.chain(self.record.added.iter().map(|added| &added.name));
        let Some(name) = names.skip(self.next).next() else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.value(seed)
    }
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.skip_unwanted()?;
        if self.next >= self.record.fields.len() {
            return Ok(None);
        }
        self.value(seed).map(Some)
    }
}

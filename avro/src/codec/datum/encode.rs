//! Serde values as Avro's binary encoding (specification 1.12, "Binary Encoding").

use serde::ser::{
    Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct,
};
use serde::{Serialize, Serializer};

use super::error::Error;
use super::shape::{Node, NodeId, Record, Shape};

/// Appends the encoding of `value` to `out`.
pub(super) fn write<T: Serialize>(
    value: &T,
    shape: &Shape,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let node = shape.root();
    value.serialize(ValueWriter { shape, node, out })
}

/// Writes a number by variable-length zig-zag coding: 7 bits per byte, the lowest first.
fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn write_len(len: usize, out: &mut Vec<u8>) {
    // No buffer is longer than `isize::MAX`.
    write_long(len as i64, out);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Writes one value as `node` has it.
struct ValueWriter<'a> {
    shape: &'a Shape,
    node: &'a Node,
    out: &'a mut Vec<u8>,
}

impl<'a> ValueWriter<'a> {
    /// The node that takes the value: this one, or the first such branch of a union, whose index
    /// is written.
    fn taken(&mut self, what: &str, takes: impl Fn(&Node) -> bool) -> Result<&'a Node, Error> {
        let found = match self.node {
            Node::Union(branches) => {
                let mut branches = branches.iter().map(|id| self.shape.node(*id)).enumerate();
                let found = branches.find(|(_, branch)| takes(branch));
                found.map(|(index, branch)| {
                    write_len(index, self.out);
                    branch
                })
            }
            node => takes(node).then_some(node),
        };
        found.ok_or_else(|| Error::new(format!("{what} where the schema has {}", name(self.node))))
    }

    fn at(self, node: NodeId) -> Items<'a> {
        Items {
            node: self.shape.node(node),
            shape: self.shape,
            out: self.out,
            left: None,
        }
    }

    fn items(mut self, what: &str, len: Option<usize>) -> Result<Items<'a>, Error> {
        match self.taken(what, |node| matches!(node, Node::Array(_)))? {
            Node::Array(items) => Ok(self.at(*items).begin(len)),
            _ => Err(Error::new(what)),
        }
    }

    fn unsigned(self, number: impl TryInto<i64>) -> Result<(), Error> {
        let number = number.try_into();
        self.serialize_i64(number.map_err(|_| Error::new("a number beyond 64 bits"))?)
    }
}

/// What the schema has, for messages.
fn name(node: &Node) -> &str {
    match node {
        Node::Null => "null",
        Node::Boolean => "a boolean",
        Node::Int => "an int",
        Node::Long | Node::LongAsFloat | Node::LongAsDouble => "a long",
        Node::Float | Node::FloatAsDouble => "a float",
        Node::Double => "a double",
        Node::Bytes => "bytes",
        Node::String => "a string",
        Node::Fixed(_) => "fixed bytes",
        Node::Enum(_) => "an enum",
        Node::Array(_) => "an array",
        Node::Map(_) => "a map",
        Node::Union(_) => "a union without such a branch",
        Node::Record(record) => &record.name,
        Node::Refused(why) => why,
    }
}

fn has_symbol(symbols: &[Option<String>], symbol: &str) -> bool {
    symbols.iter().flatten().any(|known| known == symbol)
}

impl<'a> Serializer for ValueWriter<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(mut self, value: bool) -> Result<(), Error> {
        self.taken("a boolean", |node| matches!(node, Node::Boolean))?;
        self.out.push(u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i64(mut self, number: i64) -> Result<(), Error> {
        self.taken("an integer", |node| match node {
            Node::Int => i32::try_from(number).is_ok(),
            node => matches!(node, Node::Long),
        })?;
        write_long(number, self.out);
        Ok(())
    }

    fn serialize_u8(self, number: u8) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_u16(self, number: u16) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_u32(self, number: u32) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_u64(self, number: u64) -> Result<(), Error> {
        self.unsigned(number)
    }

    fn serialize_f32(mut self, number: f32) -> Result<(), Error> {
        let takes = |node: &Node| matches!(node, Node::Float | Node::Double);
        match self.taken("a float", takes)? {
            Node::Float => self.out.extend_from_slice(&number.to_le_bytes()),
            _ => self.out.extend_from_slice(&f64::from(number).to_le_bytes()),
        }
        Ok(())
    }

    fn serialize_f64(mut self, number: f64) -> Result<(), Error> {
        self.taken("a double", |node| matches!(node, Node::Double))?;
        self.out.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(mut self, text: &str) -> Result<(), Error> {
        let takes = |node: &Node| match node {
            Node::Enum(symbols) => has_symbol(symbols, text),
            node => matches!(node, Node::String),
        };
        match self.taken("text", takes)? {
            Node::Enum(symbols) => {
                let index = symbols
                    .iter()
                    .position(|known| known.as_deref() == Some(text));
                write_len(index.unwrap_or_default(), self.out);
            }
            _ => write_bytes(text.as_bytes(), self.out),
        }
        Ok(())
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result<(), Error> {
        let takes = |node: &Node| match node {
            Node::Fixed(size) => *size == bytes.len(),
            node => matches!(node, Node::Bytes),
        };
        match self.taken("bytes", takes)? {
            Node::Fixed(_) => self.out.extend_from_slice(bytes),
            _ => write_bytes(bytes, self.out),
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(mut self) -> Result<(), Error> {
        self.taken("null", |node| matches!(node, Node::Null))
            .map(drop)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
            .map_err(|error| error.inside(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(tagged(variant))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a>, Error> {
        self.items("a sequence", len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Error> {
        self.items("a tuple", Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items<'a>, Error> {
        self.items("a tuple", Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(tagged(variant))
    }

    fn serialize_map(mut self, len: Option<usize>) -> Result<Items<'a>, Error> {
        match self.taken("a map", |node| matches!(node, Node::Map(_)))? {
            Node::Map(values) => Ok(self.at(*values).begin(len)),
            _ => Err(Error::new("a map")),
        }
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Fields<'a>, Error> {
        let named = |node: &Node| matches!(node, Node::Record(record) if record.name == name);
        let several = matches!(self.node, Node::Union(branches)
            if branches.iter().any(|id| named(self.shape.node(*id))));
        let takes = |node: &Node| matches!(node, Node::Record(_)) && (!several || named(node));
        match self.taken("a struct", takes)? {
            Node::Record(record) => Ok(Fields {
                shape: self.shape,
                record,
                out: self.out,
                next: 0,
                early: Vec::new(),
            }),
            _ => Err(Error::new("a struct")),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(tagged(variant))
    }
}

fn tagged(variant: &str) -> Error {
    let why = "a variant with content, which Avro does not tag; make its enum untagged";
    Error::new(why).inside(variant)
}

/// Writes the items of an array, or the entries of a map.
pub(super) struct Items<'a> {
    shape: &'a Shape,
    node: &'a Node,
    out: &'a mut Vec<u8>,
    /// The items to come in the only block; `None` makes a block of each.
    left: Option<usize>,
}

impl Items<'_> {
    fn begin(mut self, len: Option<usize>) -> Self {
        self.left = len;
        if let Some(len @ 1..) = len {
            write_len(len, self.out);
        }
        self
    }

    fn next(&mut self) -> Result<(), Error> {
        match &mut self.left {
            Some(0) => return Err(Error::new("more items than were announced")),
            Some(left) => *left -= 1,
            None => write_len(1, self.out),
        }
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let (shape, node) = (self.shape, self.node);
        let out = &mut *self.out;
        value.serialize(ValueWriter { shape, node, out })
    }

    fn finish(self) -> Result<(), Error> {
        match self.left {
            Some(1..) => Err(Error::new("fewer items than were announced")),
            _ => {
                write_len(0, self.out);
                Ok(())
            }
        }
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.next()?;
        self.value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next()?;
        let (shape, node) = (self.shape, &Node::String);
        let out = &mut *self.out;
        key.serialize(ValueWriter { shape, node, out })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.value(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

/// Writes the fields of a record in the order of its schema, whatever the struct's is.
pub(super) struct Fields<'a> {
    shape: &'a Shape,
    record: &'a Record,
    out: &'a mut Vec<u8>,
    /// The field whose turn it is.
    next: usize,
    /// What came before its turn, by the place of its field. Empty if the orders are the same.
    early: Vec<Option<Vec<u8>>>,
}

impl Fields<'_> {
    /// Writes what came early and whose turn it is now.
    fn catch_up(&mut self) {
        while let Some(bytes) = self.early.get_mut(self.next).and_then(Option::take) {
            self.out.extend_from_slice(&bytes);
            self.next += 1;
        }
    }

    fn keep_for_later<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        let fields = &self.record.fields;
        let found = fields.iter().enumerate().skip(self.next);
        let Some((place, field)) = found.into_iter().find(|(_, field)| field.name == key) else {
            return Err(Error::new("the schema has no such field, or it came twice"));
        };
        let mut bytes = Vec::new();
        let (shape, node) = (self.shape, self.shape.node(field.node));
        let out = &mut bytes;
        value.serialize(ValueWriter { shape, node, out })?;
        self.early.resize(fields.len(), None);
        if let Some(kept) = self.early.get_mut(place) {
            *kept = Some(bytes);
        }
        Ok(())
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let written = match self.record.fields.get(self.next) {
            Some(field) if field.name == key => {
                self.next += 1;
                let (shape, node) = (self.shape, self.shape.node(field.node));
                let out = &mut *self.out;
                value.serialize(ValueWriter { shape, node, out })
            }
            _ => self.keep_for_later(key, value),
        };
        self.catch_up();
        written.map_err(|error| error.inside(key))
    }

    /// A field that the struct has skipped is null, if its schema allows.
    fn end(mut self) -> Result<(), Error> {
        while let Some(field) = self.record.fields.get(self.next) {
            let (shape, node) = (self.shape, self.shape.node(field.node));
            if !shape.is_nullable(node) {
                return Err(Error::new("the struct has no such field").inside(&field.name));
            }
            let out = &mut *self.out;
            ValueWriter { shape, node, out }.serialize_unit()?;
            self.next += 1;
            self.catch_up();
        }
        Ok(())
    }
}

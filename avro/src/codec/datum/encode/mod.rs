//! Serde values as Avro's binary encoding (specification 1.12, "Binary Encoding").

mod compound;

use serde::{Serialize, Serializer};

use super::DEPTH_MAX;
use super::error::Error;
use super::shape::{Node, Shape};
use compound::{Fields, Items};

/// The name of a union's branch that has no content.
const NULL: &str = "null";

/// Appends the encoding of `value` to `out`.
pub(super) fn write<T: Serialize>(
    value: &T,
    shape: &Shape,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    value.serialize(ValueWriter {
        shape,
        node: shape.root(),
        out,
        depth_left: DEPTH_MAX,
    })
}

/// Writes a number by variable-length zig-zag coding: 7 bits per byte, the lowest first.
pub(super) fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(super) fn write_len(len: usize, out: &mut Vec<u8>) {
    // No buffer is longer than `isize::MAX`.
    write_long(len as i64, out);
}

pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Writes one value as `node` has it.
struct ValueWriter<'a> {
    shape: &'a Shape,
    node: &'a Node,
    out: &'a mut Vec<u8>,
    depth_left: u8,
}

impl<'a> ValueWriter<'a> {
    /// The node that takes the value: this one, or the first such branch of a union, whose index
    /// is written.
    fn taken(&mut self, what: &str, takes: impl Fn(&Node) -> bool) -> Result<&'a Node, Error> {
        let found = match self.node {
            Node::Union(branches) => {
                let branches = branches.iter().enumerate();
                let mut nodes = branches.map(|(at, branch)| (at, self.shape.node(branch.node)));
                nodes.find(|(_, node)| takes(node)).map(|(index, node)| {
                    write_len(index, self.out);
                    node
                })
            }
            node => takes(node).then_some(node),
        };
        found.ok_or_else(|| Error::new(format!("{what} where the schema has {}", name(self.node))))
    }

    /// The branch that has the name of a variant; its index is written.
    fn tagged(mut self, variant: &str) -> Result<Self, Error> {
        let branches = match self.node {
            Node::Union(branches) => branches.as_slice(),
            _ => &[],
        };
        let mut branches = branches.iter().enumerate();
        let Some((index, branch)) = branches.find(|(_, branch)| branch.name == variant) else {
            let why = "a variant with content, whose name is that of no branch of a union";
            return Err(Error::new(why).inside(variant));
        };
        write_len(index, self.out);
        self.node = self.shape.node(branch.node);
        Ok(self)
    }

    /// True for a union with such a symbol in an enum.
    fn has_branch_with(&self, symbol: &str) -> bool {
        let Node::Union(branches) = self.node else {
            return false;
        };
        branches
            .iter()
            .any(|branch| match self.shape.node(branch.node) {
                Node::Enum(symbols) => has_symbol(symbols, symbol),
                _ => false,
            })
    }

    fn items(mut self, what: &str, len: Option<usize>) -> Result<Items<'a>, Error> {
        match self.taken(what, |node| matches!(node, Node::Array(_)))? {
            Node::Array(items) => Items::begin(self, *items, len),
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
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

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
        let as_null = variant == NULL && !self.has_branch_with(variant);
        if let (Node::Union(_), true) = (self.node, as_null) {
            return self.serialize_unit();
        }
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
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self.tagged(variant)?)
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
        len: usize,
    ) -> Result<Items<'a>, Error> {
        self.tagged(variant)?.serialize_tuple(len)
    }

    fn serialize_map(mut self, len: Option<usize>) -> Result<Items<'a>, Error> {
        match self.taken("a map", |node| matches!(node, Node::Map(_)))? {
            Node::Map(values) => Items::begin(self, *values, len),
            _ => Err(Error::new("a map")),
        }
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Fields<'a>, Error> {
        let named = |node: &Node| matches!(node, Node::Record(record) if record.name == name);
        let several = matches!(self.node, Node::Union(branches)
            if branches.iter().any(|branch| named(self.shape.node(branch.node))));
        let takes = |node: &Node| matches!(node, Node::Record(_)) && (!several || named(node));
        match self.taken("a struct", takes)? {
            Node::Record(record) => Fields::begin(self, record),
            _ => Err(Error::new("a struct")),
        }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'a>, Error> {
        self.tagged(variant)?.serialize_struct(variant, len)
    }
}

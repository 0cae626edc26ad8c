//! Bytes that are not trusted, taken piece by piece.

use super::super::deeper;
use super::super::error::Error;
use super::super::shape::{Branch, Node, NodeId, Shape};
use super::ValueReader;
use super::compound::Items;

/// What is left of the bytes, and the shape that they have.
pub(super) struct Input<'de> {
    bytes: &'de [u8],
    shape: &'de Shape,
}

impl<'de> Input<'de> {
    pub(super) fn new(bytes: &'de [u8], shape: &'de Shape) -> Self {
        Self { bytes, shape }
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &'de Node {
        self.shape.node(id)
    }

    pub(super) fn value<'i>(&'i mut self, node: &'de Node, depth_left: u8) -> ValueReader<'i, 'de> {
        ValueReader {
            input: self,
            node,
            depth_left,
        }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(ends_early)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A number by variable-length zig-zag coding.
    pub(super) fn long(&mut self) -> Result<i64, Error> {
        match self.bytes.split_first() {
            Some((&byte @ ..0x80, rest)) => {
                self.bytes = rest;
                Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1))
            }
            _ => self.long_of_several_bytes(),
        }
    }

    fn long_of_several_bytes(&mut self) -> Result<i64, Error> {
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

    pub(super) fn int(&mut self) -> Result<i32, Error> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| Error::new(format!("{number} for an int")))
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Error> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(Error::new(format!("byte {byte} for a boolean"))),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'de [u8], Error> {
        let len = self.long()?;
        self.take(usize::try_from(len).map_err(|_| Error::new(format!("a length of {len}")))?)
    }

    pub(super) fn text(&mut self) -> Result<&'de str, Error> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| Error::new("text that is not UTF-8"))
    }

    pub(super) fn symbol(&mut self, symbols: &'de [Option<String>]) -> Result<&'de str, Error> {
        match self.chosen(symbols, "symbol")? {
            Some(symbol) => Ok(symbol),
            None => Err(Error::new(
                "a symbol that the reader does not know; give its enum a default",
            )),
        }
    }

    pub(super) fn branch(&mut self, branches: &'de [Branch]) -> Result<&'de Branch, Error> {
        self.chosen(branches, "branch")
    }

    fn chosen<T>(&mut self, among: &'de [T], what: &str) -> Result<&'de T, Error> {
        let index = self.long()?;
        let chosen = usize::try_from(index)
            .ok()
            .and_then(|index| among.get(index));
        chosen.ok_or_else(|| Error::new(format!("{what} {index} of {}", among.len())))
    }

    /// Passes over a value that nobody wants.
    pub(super) fn skip(&mut self, node: &'de Node, depth_left: u8) -> Result<(), Error> {
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
                self.skip(shape.node(branch.node), depth_left)?;
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
                items.input().bytes()?;
            }
            items.skip_value()?;
        }
        Ok(())
    }
}

fn ends_early() -> Error {
    Error::new("the bytes end too early")
}

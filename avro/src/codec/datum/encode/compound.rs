//! The items of arrays, the entries of maps and the fields of records, as serde writes them.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::super::error::Error;
use super::super::shape::{Field, Node, NodeId, Record, Shape};
use super::super::{EMPTY_ITEMS_MAX, deeper};
use super::{ValueWriter, write_len};

/// Writes the items of an array, or the entries of a map.
pub(super) struct Items<'a> {
    shape: &'a Shape,
    node: &'a Node,
    out: &'a mut Vec<u8>,
    depth_left: u8,
    /// The items to come in the only block; `None` makes a block of each.
    left: Option<usize>,
    /// How long `out` must become for the reader to believe that there are so many items.
    len_min: usize,
}

impl<'a> Items<'a> {
    pub(super) fn begin(
        to: ValueWriter<'a>,
        node: NodeId,
        len: Option<usize>,
    ) -> Result<Self, Error> {
        let ValueWriter {
            shape,
            out,
            depth_left,
            ..
        } = to;
        if let Some(len @ 1..) = len {
            write_len(len, out);
        }
        let items_claimed = len.filter(|len| *len > EMPTY_ITEMS_MAX).unwrap_or_default();
        Ok(Self {
            len_min: out.len() + items_claimed,
            shape,
            node: shape.node(node),
            out,
            depth_left: deeper(depth_left)?,
            left: len,
        })
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
        self.write(self.node, value)
    }

    fn write<T: Serialize + ?Sized>(&mut self, node: &Node, value: &T) -> Result<(), Error> {
        value.serialize(ValueWriter {
            shape: self.shape,
            node,
            out: self.out,
            depth_left: self.depth_left,
        })
    }

    fn finish(self) -> Result<(), Error> {
        match self.left {
            Some(1..) => Err(Error::new("fewer items than were announced")),
            _ if self.out.len() < self.len_min => Err(Error::new("too many empty items")),
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

impl SerializeTupleVariant for Items<'_> {
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
        self.write(&Node::String, key)
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
    depth_left: u8,
}

impl<'a> Fields<'a> {
    pub(super) fn begin(to: ValueWriter<'a>, record: &'a Record) -> Result<Self, Error> {
        let ValueWriter {
            shape,
            out,
            depth_left,
            ..
        } = to;
        Ok(Self {
            shape,
            record,
            out,
            next: 0,
            early: Vec::new(),
            depth_left: deeper(depth_left)?,
        })
    }

    /// Writes the field whose turn it is.
    fn write<T: Serialize + ?Sized>(&mut self, field: &Field, value: &T) -> Result<(), Error> {
        self.next += 1;
        value.serialize(ValueWriter {
            shape: self.shape,
            node: self.shape.node(field.node),
            out: self.out,
            depth_left: self.depth_left,
        })
    }

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
        value.serialize(ValueWriter {
            shape: self.shape,
            node: self.shape.node(field.node),
            out: &mut bytes,
            depth_left: self.depth_left,
        })?;
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
            Some(field) if field.name == key => self.write(field, value),
            _ => self.keep_for_later(key, value),
        };
        self.catch_up();
        written.map_err(|error| error.inside(key))
    }

    /// A field that the struct has skipped is null, if its schema allows.
    fn end(mut self) -> Result<(), Error> {
        while let Some(field) = self.record.fields.get(self.next) {
            if !self.shape.is_nullable(self.shape.node(field.node)) {
                return Err(Error::new("the struct has no such field").inside(&field.name));
            }
            self.write(field, &())?;
            self.catch_up();
        }
        Ok(())
    }
}

impl SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        SerializeStruct::serialize_field(self, key, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeStruct::end(self)
    }
}

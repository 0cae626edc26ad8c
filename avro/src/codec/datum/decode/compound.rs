//! The items of arrays, the entries of maps and the fields of records, as serde reads them.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::super::error::Error;
use super::super::shape::{Node, Record};
use super::super::{EMPTY_ITEMS_MAX, deeper};
use super::input::Input;

/// Reads the items of an array, or the entries of a map.
pub(super) struct Items<'i, 'de> {
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
    pub(super) fn new(
        input: &'i mut Input<'de>,
        node: &'de Node,
        depth_left: u8,
    ) -> Result<Self, Error> {
        let allowed = input.len().max(EMPTY_ITEMS_MAX);
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

    pub(super) fn input(&mut self) -> &mut Input<'de> {
        self.input
    }

    pub(super) fn skip_value(&mut self) -> Result<(), Error> {
        self.input.skip(self.node, self.depth_left)
    }

    /// Counts one item, and is false at the end.
    pub(super) fn next(&mut self) -> Result<bool, Error> {
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

    /// Refuses items that the visitor has left.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
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
pub(super) struct Fields<'i, 'de> {
    input: &'i mut Input<'de>,
    record: &'de Record,
    next: usize,
    depth_left: u8,
}

impl<'i, 'de> Fields<'i, 'de> {
    pub(super) fn new(
        input: &'i mut Input<'de>,
        record: &'de Record,
        depth_left: u8,
    ) -> Result<Self, Error> {
        Ok(Self {
            input,
            record,
            next: 0,
            depth_left: deeper(depth_left)?,
        })
    }

    pub(super) fn visit_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let value = visitor.visit_map(&mut self)?;
        self.finish().map(|()| value)
    }

    pub(super) fn visit_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let value = visitor.visit_seq(&mut self)?;
        self.finish().map(|()| value)
    }

    /// Refuses fields that the visitor has left.
    fn finish(&mut self) -> Result<(), Error> {
        self.skip_unwanted()?;
        match self.record.fields.get(self.next) {
            Some(field) => Err(Error::new("more fields than are expected").inside(&field.name)),
            None => Ok(()),
        }
    }

    /// Passes over fields that only the writer has, up to the next that the reader has too.
    fn skip_unwanted(&mut self) -> Result<(), Error> {
        while let Some(field) = self.record.fields.get(self.next)
            && !field.kept
        {
            let node = self.input.node(field.node);
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
            let node = self.input.node(field.node);
            let value = seed.deserialize(self.input.value(node, self.depth_left));
            return value.map_err(|error| error.inside(&field.name));
        }
        let added = self.record.added.get(place - self.record.fields.len());
        let added = added.ok_or_else(|| Error::new("no more fields"))?;
        let (bytes, shape) = (&added.datum[..], &added.shape);
        let mut input = Input::new(bytes, shape);
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
        let mut names = fields.chain(self.record.added.iter().map(|added| &added.name));
        let Some(name) = names.nth(self.next) else {
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

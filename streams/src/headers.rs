//! Record headers: an ordered list of names and values, kept in its encoded form.
//!
//! Most records pass through a topology with their headers untouched, so the list is a byte slice
//! that is parsed only when somebody looks. An empty list is empty bytes and costs nothing.
//!
//! Encoding, per header: name length (`u32` LE), name (UTF-8), value length (`u32` LE, `u32::MAX`
//! for a null value), value.

use std::fmt;

const NULL: u32 = u32::MAX;

/// A borrowed list of headers.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    encoded: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers { encoded: &[] };

    /// Headers from bytes that [`HeaderList`] has encoded.
    pub const fn from_encoded(encoded: &'a [u8]) -> Self {
        Self { encoded }
    }

    /// The encoded form.
    pub const fn encoded(self) -> &'a [u8] {
        self.encoded
    }

    /// True if there is no header.
    pub const fn is_empty(self) -> bool {
        self.encoded.is_empty()
    }

    /// The last value under `name`, as Kafka's `Headers.lastHeader` answers. `None` when there is
    /// no such header, or its value is null.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .filter(|(n, _)| *n == name)
            .last()
            .and_then(|(_, value)| value)
    }

    /// As [`Headers::get`], for a value that is text. `None` when it is not UTF-8.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Names and values, in order.
    pub fn iter(self) -> Iter<'a> {
        Iter { rest: self.encoded }
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, value.map(String::from_utf8_lossy))),
            )
            .finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterates over names and values. Damaged bytes end the iteration.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iter<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn take_len(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let len = self.take_len()?;
        let name = std::str::from_utf8(self.take(len as usize)?).ok()?;
        let value = match self.take_len()? {
            NULL => None,
            len => Some(self.take(len as usize)?),
        };
        Some((name, value))
    }
}

/// An owned, growing list of headers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    encoded: Vec<u8>,
}

impl HeaderList {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            encoded: Vec::new(),
        }
    }

    /// Appends a header; a `None` value is Kafka's null.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.push_len(name.len());
        self.encoded.extend_from_slice(name.as_bytes());
        match value {
            Some(value) => {
                self.push_len(value.len());
                self.encoded.extend_from_slice(value);
            }
            None => self.encoded.extend_from_slice(&NULL.to_le_bytes()),
        }
    }

    /// Replaces every header of this name by one value.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        if self.view().iter().any(|(n, _)| n == name) {
            let mut kept = Self::new();
            for (n, v) in self.view().iter().filter(|(n, _)| *n != name) {
                kept.push(n, v);
            }
            *self = kept;
        }
        self.push(name, Some(value));
    }

    /// Drops all headers and keeps the allocation.
    pub fn clear(&mut self) {
        self.encoded.clear();
    }

    /// Makes this list equal to `other`.
    pub fn copy_from(&mut self, other: Headers<'_>) {
        self.encoded.clear();
        self.encoded.extend_from_slice(other.encoded());
    }

    /// A borrowed view.
    pub fn view(&self) -> Headers<'_> {
        Headers::from_encoded(&self.encoded)
    }

    // A Kafka record is far below 4 GiB, so a length always fits; a longer one would be refused by
    // the size limit of the log before it is written.
    fn push_len(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(NULL - 1);
        self.encoded.extend_from_slice(&len.to_le_bytes());
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl From<Headers<'_>> for HeaderList {
    fn from(headers: Headers<'_>) -> Self {
        Self {
            encoded: headers.encoded().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_wins_and_null_is_no_value() {
        let mut list = HeaderList::new();
        list.push("a", Some(b"1"));
        list.push("b", None);
        list.push("a", Some(b"2"));
        assert_eq!(list.view().get("a"), Some(&b"2"[..]));
        assert_eq!(list.view().get("b"), None);
        assert_eq!(list.view().iter().count(), 3);
    }

    #[test]
    fn set_replaces_every_header_of_the_name() {
        let mut list = HeaderList::new();
        list.push("a", Some(b"1"));
        list.push("b", Some(b"x"));
        list.push("a", Some(b"2"));
        list.set("a", b"3");
        assert_eq!(
            list.view().iter().collect::<Vec<_>>(),
            vec![("b", Some(&b"x"[..])), ("a", Some(&b"3"[..])),]
        );
    }

    #[test]
    fn damaged_bytes_end_the_iteration() {
        assert_eq!(Headers::from_encoded(&[9, 0, 0, 0, b'a']).iter().count(), 0);
    }
}

//! Kafka's wire format, as far as membership needs it: primitive types, and requests that are
//! answered one by one on a connection of their own.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An answer is never larger than this.
const ANSWER_BYTES_MAX: usize = 16 << 20;

const CLIENT_ID: &str = "millrace";

/// Writes the primitive types.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// A number of seven bits per byte, the low ones first.
    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(low_seven_bits(value) | 0x80);
            value >>= 7;
        }
        self.bytes.push(low_seven_bits(value));
    }

    /// The length of a compact string or array: one more than it is, 0 for null.
    fn compact_len(&mut self, len: Option<usize>) {
        let len = len.map_or(0, |len| u32::try_from(len).unwrap_or(u32::MAX - 1) + 1);
        self.varint(len);
    }

    pub(super) fn string(&mut self, text: &str) {
        self.nullable_string(Some(text));
    }

    pub(super) fn nullable_string(&mut self, text: Option<&str>) {
        self.compact_len(text.map(str::len));
        self.bytes.extend(text.unwrap_or_default().as_bytes());
    }

    pub(super) fn array<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.compact_len(Some(items.len()));
        for item in items {
            each(self, item);
        }
    }

    pub(super) fn null_array(&mut self) {
        self.compact_len(None);
    }

    /// The end of a structure: no tagged fields.
    pub(super) fn no_tags(&mut self) {
        self.varint(0);
    }

    fn short_string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).unwrap_or(0));
        self.bytes.extend(text.as_bytes());
    }
}

fn low_seven_bits(value: u32) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Reads the primitive types. What is cut off or malformed is an error of kind `InvalidData`.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(head)
    }

    fn fixed<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| cut_off())
    }

    pub(super) fn i8(&mut self) -> io::Result<i8> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> io::Result<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> io::Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(super) fn u128(&mut self) -> io::Result<u128> {
        self.fixed().map(u128::from_be_bytes)
    }

    fn varint(&mut self) -> io::Result<u32> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(cut_off())
    }

    fn compact_len(&mut self) -> io::Result<Option<usize>> {
        Ok(self.varint()?.checked_sub(1).map(|len| len as usize))
    }

    pub(super) fn nullable_string(&mut self) -> io::Result<Option<String>> {
        let Some(len) = self.compact_len()? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(self.take(len)?);
        Ok(Some(text.into_owned()))
    }

    pub(super) fn string(&mut self) -> io::Result<String> {
        Ok(self.nullable_string()?.unwrap_or_default())
    }

    pub(super) fn nullable_array<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<Option<Vec<T>>> {
        let Some(len) = self.compact_len()? else {
            return Ok(None);
        };
        (0..len)
            .map(|_| each(self))
            .collect::<io::Result<_>>()
            .map(Some)
    }

    pub(super) fn array<T>(
        &mut self,
        each: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<Vec<T>> {
        Ok(self.nullable_array(each)?.unwrap_or_default())
    }

    pub(super) fn skip_tags(&mut self) -> io::Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let len = self.varint()?;
            self.take(len as usize)?;
        }
        Ok(())
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is cut off")
}

/// A kind of request: its number, its version, and the form of its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    /// Kafka's number of the request.
    pub(super) key: i16,
    /// The version that is spoken here.
    pub(super) version: i16,
    /// Whether request and answer have the header with tagged fields.
    pub(super) flexible: bool,
}

/// A connection to one broker, with one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    correlation: i32,
}

impl Connection {
    /// Connects to `host:port`; `timeout` also bounds each later read and write.
    pub(super) fn open(address: &str, timeout: Duration) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "no such host");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Self::prepare(stream, timeout),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn prepare(stream: TcpStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            stream,
            correlation: 0,
        })
    }

    /// Sends a request and waits for its answer's body. After an error the connection is of no use
    /// any more.
    pub(super) fn call(&mut self, api: Api, body: &Encoder) -> io::Result<Vec<u8>> {
        self.correlation = self.correlation.wrapping_add(1);
        let mut header = Encoder::default();
        header.i16(api.key);
        header.i16(api.version);
        header.i32(self.correlation);
        header.short_string(CLIENT_ID);
        if api.flexible {
            header.no_tags();
        }
        self.send(&header.bytes, &body.bytes)?;
        self.receive(api)
    }

    fn send(&mut self, header: &[u8], body: &[u8]) -> io::Result<()> {
        let len = i32::try_from(header.len() + body.len()).map_err(io::Error::other)?;
        let frame = [&len.to_be_bytes(), header, body].concat();
        self.stream.write_all(&frame)
    }

    fn receive(&mut self, api: Api) -> io::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = usize::try_from(i32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len > ANSWER_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a Kafka broker",
            ));
        }
        let mut answer = vec![0; len];
        self.stream.read_exact(&mut answer)?;
        let mut decoder = Decoder::new(&answer);
        if decoder.i32()? != self.correlation {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the answer is to another request",
            ));
        }
        if api.flexible {
            decoder.skip_tags()?;
        }
        Ok(decoder.rest.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_and_nulls_come_back() {
        let long = "x".repeat(300);
        let mut encoder = Encoder::default();
        encoder.string(&long);
        encoder.nullable_string(None);
        encoder.array(&[1, -2], |encoder, item| encoder.i32(*item));
        encoder.null_array();
        encoder.no_tags();
        let mut decoder = Decoder::new(&encoder.bytes);
        assert_eq!(decoder.string().expect("a string"), long);
        assert_eq!(decoder.nullable_string().expect("a null"), None);
        assert_eq!(decoder.array(Decoder::i32).expect("an array"), [1, -2]);
        assert_eq!(decoder.nullable_array(Decoder::i32).expect("a null"), None);
        decoder.skip_tags().expect("no tags");
        assert!(decoder.rest.is_empty());
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for bytes in [&[][..], &[5, b'a'], &[0xff; 9]] {
            assert!(Decoder::new(bytes).string().is_err(), "{bytes:?}");
        }
    }
}

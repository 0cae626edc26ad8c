//! Serdes: how a typed key or value becomes the bytes of a record, and back.
//!
//! A serde is a property of the type ([`Data`]), so the flow of a topology carries none. Only what
//! becomes bytes needs the bound: a topic, a store, a repartition. Each task builds its own serde
//! once, for one place ([`SerdeContext`]), so a serde may keep buffers and resolved schema ids.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::headers::{HeaderList, Headers};

/// A type that can become bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no serde, so it cannot become bytes",
    label = "is no `Data`",
    note = "topics, stores and repartitions need `Data`; what flows between operators does not"
)]
pub trait Data: Sized + Send + Sync + 'static {
    /// The serde of this type.
    type Serde: Serde<Self>;

    /// Builds the serde for one place.
    ///
    /// # Errors
    /// When a resource that the serde needs is absent or refuses, a schema registry for example.
    fn serde(at: &SerdeContext<'_>) -> Result<Self::Serde, SerdeError>;
}

/// Turns values of `T` into record bytes, and back.
pub trait Serde<T>: Send + 'static {
    /// Appends the bytes of `value` to `out`, and may add to or change `headers`.
    ///
    /// # Errors
    /// When the value cannot be expressed, for instance because it violates its schema.
    fn serialize(
        &mut self,
        value: &T,
        headers: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError>;

    /// Reads a value; `bytes` is `None` for Kafka's null.
    ///
    /// # Errors
    /// When the bytes are not a `T`. The record then goes to the deserialization handler.
    fn deserialize(&mut self, bytes: Option<&[u8]>, headers: Headers<'_>) -> Result<T, SerdeError>;
}

/// Whether a serialized value is a value or Kafka's null (a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The bytes that were appended are the value.
    Value,
    /// The value is null; nothing was appended.
    Null,
}

/// The place that a serde is built for.
#[derive(Clone, Copy, Debug)]
pub struct SerdeContext<'a> {
    /// The topic whose records these bytes are; for a store, its changelog topic.
    pub topic: &'a str,
    /// Key or value.
    pub role: Role,
    /// What the application has put at the disposal of its serdes.
    pub resources: &'a Resources,
}

/// Key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The record's key.
    Key,
    /// The record's value.
    Value,
}

/// Objects that serdes share, found by their type: a schema registry's client, a key ring.
#[derive(Clone, Default)]
pub struct Resources {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    /// No resources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource, replacing one of the same type.
    #[must_use]
    pub fn with<R: Send + Sync + 'static>(mut self, resource: Arc<R>) -> Self {
        self.by_type.insert(TypeId::of::<R>(), resource);
        self
    }

    /// The resource of type `R`.
    pub fn get<R: Send + Sync + 'static>(&self) -> Option<Arc<R>> {
        self.by_type
            .get(&TypeId::of::<R>())
            .cloned()?
            .downcast()
            .ok()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resources({})", self.by_type.len())
    }
}

/// Why bytes were not a value, or a value not bytes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerdeError {
    /// A null where the type has none.
    #[error("null {what}; use a type that allows it, such as `Option`")]
    Null {
        /// "key" or "value", or the type's name.
        what: &'static str,
    },
    /// The bytes are not a value of the type.
    #[error("malformed `{what}`: {reason}")]
    Malformed {
        /// The type's name.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A record type that this program does not know; a stream of several types may skip it.
    #[error("unknown type `{name}`")]
    UnknownType {
        /// The record type's name, as its schema gives it.
        name: String,
    },
    /// What the serde needs from outside did not answer: worth another try, no fault of the bytes.
    #[error("serde unavailable: {reason}")]
    Unavailable {
        /// What did not answer, and how.
        reason: String,
    },
}

impl SerdeError {
    /// What does not answer, if that is all that is wrong.
    pub(crate) fn unavailable(&self) -> Option<&str> {
        match self {
            Self::Unavailable { reason } => Some(reason),
            _ => None,
        }
    }
}

/// The serde of the types that stand as they are: text, integers (big-endian, as Kafka's own
/// serializers write them), bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

macro_rules! plain_integer {
    ($($int:ty),*) => {$(
        impl Data for $int {
            type Serde = Plain;

            fn serde(_: &SerdeContext<'_>) -> Result<Plain, SerdeError> {
                Ok(Plain)
            }
        }

        impl Serde<$int> for Plain {
            fn serialize(
                &mut self,
                value: &$int,
                _: &mut HeaderList,
                out: &mut Vec<u8>,
            ) -> Result<Presence, SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(Presence::Value)
            }

            fn deserialize(
                &mut self,
                bytes: Option<&[u8]>,
                _: Headers<'_>,
            ) -> Result<$int, SerdeError> {
                let bytes = bytes.ok_or(SerdeError::Null { what: stringify!($int) })?;
                let fixed = bytes.try_into().map_err(|_| SerdeError::Malformed {
                    what: stringify!($int),
                    reason: format!("{} bytes", bytes.len()),
                })?;
                Ok(<$int>::from_be_bytes(fixed))
            }
        }
    )*};
}

plain_integer!(i32, i64, u32, u64);

impl Data for String {
    type Serde = Plain;

    fn serde(_: &SerdeContext<'_>) -> Result<Plain, SerdeError> {
        Ok(Plain)
    }
}

impl Serde<String> for Plain {
    fn serialize(
        &mut self,
        value: &String,
        _: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(Presence::Value)
    }

    fn deserialize(&mut self, bytes: Option<&[u8]>, _: Headers<'_>) -> Result<String, SerdeError> {
        let bytes = bytes.ok_or(SerdeError::Null { what: "String" })?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(SerdeError::Malformed {
                what: "String",
                reason: error.to_string(),
            }),
        }
    }
}

impl Data for Vec<u8> {
    type Serde = Plain;

    fn serde(_: &SerdeContext<'_>) -> Result<Plain, SerdeError> {
        Ok(Plain)
    }
}

impl Serde<Vec<u8>> for Plain {
    fn serialize(
        &mut self,
        value: &Vec<u8>,
        _: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        out.extend_from_slice(value);
        Ok(Presence::Value)
    }

    fn deserialize(&mut self, bytes: Option<&[u8]>, _: Headers<'_>) -> Result<Vec<u8>, SerdeError> {
        Ok(bytes.ok_or(SerdeError::Null { what: "Vec<u8>" })?.to_vec())
    }
}

impl Data for () {
    type Serde = Plain;

    fn serde(_: &SerdeContext<'_>) -> Result<Plain, SerdeError> {
        Ok(Plain)
    }
}

impl Serde<()> for Plain {
    fn serialize(
        &mut self,
        (): &(),
        _: &mut HeaderList,
        _: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        Ok(Presence::Null)
    }

    fn deserialize(&mut self, _: Option<&[u8]>, _: Headers<'_>) -> Result<(), SerdeError> {
        Ok(())
    }
}

/// The serde of `Option<T>`: `None` is Kafka's null.
#[derive(Clone, Debug)]
pub struct Nullable<S>(S);

impl<T: Data> Data for Option<T> {
    type Serde = Nullable<T::Serde>;

    fn serde(at: &SerdeContext<'_>) -> Result<Self::Serde, SerdeError> {
        Ok(Nullable(T::serde(at)?))
    }
}

impl<T, S: Serde<T>> Serde<Option<T>> for Nullable<S> {
    fn serialize(
        &mut self,
        value: &Option<T>,
        headers: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        match value {
            Some(value) => self.0.serialize(value, headers, out),
            None => Ok(Presence::Null),
        }
    }

    fn deserialize(
        &mut self,
        bytes: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<Option<T>, SerdeError> {
        match bytes {
            Some(bytes) => self.0.deserialize(Some(bytes), headers).map(Some),
            None => Ok(None),
        }
    }
}

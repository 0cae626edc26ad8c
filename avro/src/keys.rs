//! Keys: one newtype per thing that has an identity, so that two kinds cannot be mistaken.
//!
//! A key is UTF-8 text that clients treat as opaque. It is shared, so a clone costs no allocation.
//! In a record's key it stands as it is, in a record's value it is a string.
//!
//! ```
//! use millrace_avro::keys::{LocationId, OrderId, Sku, SkuAtLocation};
//!
//! let order = OrderId::new("ord-17")?;
//! assert_eq!(order.as_str(), "ord-17");
//! assert!(OrderId::new("").is_err());
//!
//! let at = SkuAtLocation::of(&Sku::new("mug/red")?, &LocationId::new("main")?);
//! assert_eq!(at.as_str(), "main/mug/red");
//! # Ok::<(), millrace_avro::keys::InvalidKey>(())
//! ```

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::serde::{Data, Presence, Serde, SerdeContext, SerdeError};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// The longest key of one part, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// The longest key of two parts with their separator, in bytes.
const PAIR_BYTES_MAX: usize = 2 * KEY_BYTES_MAX + 1;

/// Why text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind}: {reason}")]
pub struct InvalidKey {
    /// The type's name.
    pub kind: &'static str,
    /// What is wrong with the text.
    pub reason: &'static str,
}

/// The serde of keys: UTF-8 text.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextSerde;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident $(without $separator:literal)? $(up to $max:expr)?;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// A key from text.
            ///
            /// # Errors
            /// When the text is empty, too long, or has control characters.
            pub fn new(text: &str) -> Result<Self, InvalidKey> {
                let [bytes_max, ..] = [$($max,)? KEY_BYTES_MAX];
                let [separator, ..] = [$(Some($separator),)? None];
                check(text, bytes_max, separator)
                    .map(|()| Self(text.into()))
                    .map_err(|reason| InvalidKey { kind: stringify!($name), reason })
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }

        impl Data for $name {
            type Serde = TextSerde;

            fn serde(_: &SerdeContext<'_>) -> Result<TextSerde, SerdeError> {
                Ok(TextSerde)
            }
        }

        impl Serde<$name> for TextSerde {
            fn serialize(
                &mut self,
                value: &$name,
                _: &mut HeaderList,
                out: &mut Vec<u8>,
            ) -> Result<Presence, SerdeError> {
                out.extend_from_slice(value.0.as_bytes());
                Ok(Presence::Value)
            }

            fn deserialize(
                &mut self,
                bytes: Option<&[u8]>,
                _: Headers<'_>,
            ) -> Result<$name, SerdeError> {
                let what = stringify!($name);
                let bytes = bytes.ok_or(SerdeError::Null { what })?;
                let malformed = |reason: String| SerdeError::Malformed { what, reason };
                let text = std::str::from_utf8(bytes).map_err(|e| malformed(e.to_string()))?;
                $name::new(text).map_err(|e| malformed(e.reason.to_owned()))
            }
        }
    )*};
}

keys! {
    /// A user.
    UserId;
    /// A product: what has a page, a name and variants.
    ProductId;
    /// A stock keeping unit: one variant of a product, what is priced, stocked and sold.
    Sku;
    /// A category of the catalogue.
    CategoryId;
    /// A catalogue: what owns a tree of categories.
    CatalogueId;
    /// An order.
    OrderId;
    /// A payment attempt; a new attempt has a new id.
    PaymentId;
    /// A refund.
    RefundId;
    /// A parcel, or what else brings goods to a customer.
    ShipmentId;
    /// A cart.
    CartId;
    /// Where stock lies. It has no `/`, which separates it from the SKU in [`SkuAtLocation`].
    LocationId without '/';
    /// A message to a user.
    NotificationId;
    /// What a recommendation is about: a user or a product.
    SubjectId;
    /// Any aggregate, where replies and audit entries of all kinds stand in one topic.
    AggregateId up to PAIR_BYTES_MAX;
    /// A claim of one order on the stock of one SKU.
    ReservationId up to PAIR_BYTES_MAX;
    /// One SKU at one location.
    SkuAtLocation up to PAIR_BYTES_MAX;
}

impl ReservationId {
    /// The reservation that an order makes for a SKU. Demand is summed per SKU, so there is one.
    pub fn of(order: &OrderId, sku: &Sku) -> Self {
        Self(format!("{order}/{sku}").into())
    }
}

impl SkuAtLocation {
    /// The key of one SKU at one location.
    pub fn of(sku: &Sku, location: &LocationId) -> Self {
        Self(format!("{location}/{sku}").into())
    }

    /// The SKU; `None` when the key was made from text that has no two parts.
    pub fn sku(&self) -> Option<Sku> {
        Sku::new(self.0.split_once('/')?.1).ok()
    }

    /// The location; `None` when the key was made from text that has no two parts.
    pub fn location(&self) -> Option<LocationId> {
        LocationId::new(self.0.split_once('/')?.0).ok()
    }
}

impl AggregateId {
    /// The id of an aggregate of any kind.
    pub fn of(key: impl AsRef<str>) -> Self {
        // Invariant: keys of every kind are checked, and none is longer than this kind allows.
        Self(key.as_ref().into())
    }
}

impl From<&UserId> for SubjectId {
    fn from(user: &UserId) -> Self {
        Self(Arc::clone(&user.0))
    }
}

impl From<&ProductId> for SubjectId {
    fn from(product: &ProductId) -> Self {
        Self(Arc::clone(&product.0))
    }
}

impl From<&OrderId> for AggregateId {
    fn from(order: &OrderId) -> Self {
        Self(Arc::clone(&order.0))
    }
}

impl From<&Sku> for AggregateId {
    fn from(sku: &Sku) -> Self {
        Self(Arc::clone(&sku.0))
    }
}

fn check(text: &str, bytes_max: usize, separator: Option<char>) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > bytes_max {
        return Err("it is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if separator.is_some_and(|separator| text.contains(separator)) {
        return Err("it has a character that separates keys");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_key_is_refused_with_its_reason() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for (text, reason) in [
            ("", "it is empty"),
            (long.as_str(), "it is too long"),
            ("a\nb", "it has control characters"),
        ] {
            assert_eq!(Sku::new(text).map_err(|e| e.reason), Err(reason));
        }
        assert!(LocationId::new("a/b").is_err());
    }

    #[test]
    fn a_key_of_two_parts_gives_them_back() {
        let (sku, location) = (Sku::new("a/b").unwrap(), LocationId::new("north").unwrap());
        let key = SkuAtLocation::of(&sku, &location);
        assert_eq!((key.sku(), key.location()), (Some(sku), Some(location)));
    }

    #[test]
    fn the_longest_keys_still_make_a_reservation() {
        let order = OrderId::new(&"o".repeat(KEY_BYTES_MAX)).unwrap();
        let sku = Sku::new(&"s".repeat(KEY_BYTES_MAX)).unwrap();
        let id = ReservationId::of(&order, &sku);
        assert_eq!(ReservationId::new(id.as_str()), Ok(id));
    }

    #[test]
    fn bytes_of_a_record_are_checked_like_any_text() {
        let mut out = Vec::new();
        let key = OrderId::new("ord-1").unwrap();
        let presence = TextSerde.serialize(&key, &mut HeaderList::new(), &mut out);
        assert_eq!(
            (presence, out.as_slice()),
            (Ok(Presence::Value), &b"ord-1"[..])
        );
        let read = |bytes| Serde::<OrderId>::deserialize(&mut TextSerde, bytes, Headers::EMPTY);
        assert_eq!(read(Some(b"ord-1")), Ok(key));
        assert!(read(Some(b"")).is_err() && read(Some(b"\xff")).is_err() && read(None).is_err());
    }
}

//! Events: a body of a closed set of record types, and the metadata that travels in headers.
//!
//! ```
//! use millrace_avro::event::{EventId, EventSet, Meta};
//! use millrace_streams::Timestamp;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! pub struct LampLit {
//!     pub lamp: String,
//! }
//! millrace_avro::avro_record!(LampLit = "doc.LampLit", schema r#"{
//!     "type": "record", "namespace": "doc", "name": "LampLit",
//!     "fields": [{"name": "lamp", "type": "string"}]
//! }"#);
//!
//! millrace_avro::events! {
//!     /// What happens to lamps.
//!     pub enum LampEvent {
//!         Lit(LampLit) = "lamp.lit",
//!     }
//! }
//!
//! let begin = Meta::new(EventId::new("request-7"), "/lamps", Timestamp::from_millis(0));
//! let lit = LampEvent::from(LampLit { lamp: "hall".into() });
//! assert_eq!(lit.type_name(), "lamp.lit");
//! let meta = begin.derive(lit.type_name(), 0, "/lamps", Timestamp::from_millis(5));
//! assert_eq!(meta.causation_id, begin.id);
//! assert_eq!(meta.id, EventId::derive(&begin.id, "lamp.lit", 0));
//! ```

use std::fmt;
use std::sync::Arc;

use millrace_streams::Timestamp;
use millrace_streams::serde::SerdeError;
use uuid::Uuid;

use crate::codec::{AvroRecord, Decoder, Encoder};

/// One event: what it says, and what is said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<E> {
    /// Where it comes from; travels in the record's headers.
    pub meta: Meta,
    /// What it says; the record's value.
    pub body: E,
}

impl<E> Event<E> {
    /// The event `body` with its metadata.
    pub fn new(meta: Meta, body: impl Into<E>) -> Self {
        let body = body.into();
        Self { meta, body }
    }
}

/// What is known of an event beside its body. The field names are the header names, those of
/// CloudEvents with its prefix `ce_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Unique among all events; a consumer that sees it twice sees a duplicate.
    pub id: EventId,
    /// Who wrote it, a URI reference: `/orders`.
    pub source: Arc<str>,
    /// When it happened. [`Timestamp::UNKNOWN`] when a foreign writer did not say.
    pub time: Timestamp,
    /// The request that began it all.
    pub correlation_id: EventId,
    /// The event or request that caused this one; its own id when it is the first.
    pub causation_id: EventId,
    /// W3C trace context, if the request was traced.
    pub traceparent: Option<Arc<str>>,
    /// The place among the events of its aggregate, from 1 and without gaps; 0 for what has no
    /// place, such as a command.
    pub seq: u64,
    /// On whose behalf: a user's or a service's id.
    pub actor: Option<Arc<str>>,
}

impl Meta {
    /// The metadata of an event that no other event caused. It is its own cause, until
    /// [`Meta::caused_by`] says otherwise.
    pub fn new(id: EventId, source: impl Into<Arc<str>>, time: Timestamp) -> Self {
        Self {
            source: source.into(),
            time,
            correlation_id: id.clone(),
            causation_id: id.clone(),
            id,
            traceparent: None,
            seq: 0,
            actor: None,
        }
    }

    /// The metadata of the event number `index` (from 0) of type `type_name` that this event
    /// causes: a derived id, the same correlation, trace and actor.
    #[must_use]
    pub fn derive(
        &self,
        type_name: &str,
        index: u32,
        source: impl Into<Arc<str>>,
        time: Timestamp,
    ) -> Self {
        Self {
            id: EventId::derive(&self.id, type_name, index),
            source: source.into(),
            time,
            correlation_id: self.correlation_id.clone(),
            causation_id: self.id.clone(),
            traceparent: self.traceparent.clone(),
            seq: 0,
            actor: self.actor.clone(),
        }
    }

    /// The same, caused by the request or event `cause`, in the correlation that it began.
    #[must_use]
    pub fn caused_by(mut self, cause: EventId) -> Self {
        self.correlation_id = cause.clone();
        self.causation_id = cause;
        self
    }

    /// The same, at place `seq` of its aggregate.
    #[must_use]
    pub fn with_seq(mut self, seq: u64) -> Self {
        self.seq = seq;
        self
    }

    /// The same, on behalf of `actor`.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<Arc<str>>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The same, in the trace `traceparent`.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: impl Into<Arc<str>>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }
}

/// The id of an event or of a request: opaque text, a UUID when this program chose it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The id `text`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// A fresh id, ordered by time (UUID version 7). It reads the clock and a random source, so it
    /// is for the edges: a task derives its ids.
    #[expect(
        clippy::disallowed_methods,
        reason = "ids of events that nothing caused are made here"
    )]
    pub fn random() -> Self {
        Self::from(Uuid::now_v7())
    }

    /// The id of event number `index` (from 0) of type `type_name` that `cause` causes: the same
    /// whenever it is derived again (UUID version 5, of RFC 9562).
    pub fn derive(cause: &EventId, type_name: &str, index: u32) -> Self {
        let name = format!("{}\n{type_name}\n{index}", cause.0);
        Self::from(Uuid::new_v5(&DERIVED, name.as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name space of derived ids; changing it would give every repeated derivation a new id.
const DERIVED: Uuid = Uuid::from_u128(0x6d69_6c6c_7261_5365_9d5e_0f2a_9c1b_4e77);

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        let mut buffer = Uuid::encode_buffer();
        Self(Arc::from(&*uuid.hyphenated().encode_lower(&mut buffer)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.0)
    }
}

/// One type of a set of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// The name in the header `ce_type`: "order.created".
    pub name: &'static str,
    /// The full name of its Avro record: "millrace.orders.OrderCreated".
    pub full_name: &'static str,
    /// The schema of its Avro record.
    pub schema: &'static str,
}

impl EventType {
    /// The type `name` whose record is `R`.
    pub const fn of<R: AvroRecord>(name: &'static str) -> Self {
        Self {
            name,
            full_name: R::FULL_NAME,
            schema: R::SCHEMA,
        }
    }
}

/// A closed set of event types that share a topic. [`events!`](macro@crate::events) implements it.
pub trait EventSet: Sized + Send + Sync + 'static {
    /// The name of the set, for messages.
    const NAME: &'static str;
    /// The types; each record type occurs once.
    const TYPES: &'static [EventType];

    /// The place of this event's type in [`EventSet::TYPES`].
    fn index(&self) -> usize;

    /// Writes the body with `encoder`, which is made for the type at [`EventSet::index`].
    ///
    /// # Errors
    /// When the body violates its schema.
    fn encode(&self, encoder: Encoder<'_>) -> Result<(), SerdeError>;

    /// Reads a body of the type at `index` of [`EventSet::TYPES`].
    ///
    /// # Errors
    /// When the bytes are not such a body, or there is no such type.
    fn decode(index: usize, decoder: Decoder<'_>) -> Result<Self, SerdeError>;

    /// The name of this event's type, as the header `ce_type` gives it.
    fn type_name(&self) -> &'static str {
        Self::TYPES.get(self.index()).map_or("", |ty| ty.name)
    }
}

/// Declares a closed set of event types that share a topic: an enum with one variant per Avro
/// record, and the name that each type has in the header `ce_type`.
///
/// The enum is `Clone`, `Debug` and `PartialEq`, as its records must be, and is made `From` each
/// of them.
#[macro_export]
macro_rules! events {
    (
        $(#[$attribute:meta])*
        $vis:vis enum $set:ident {
            $( $(#[$variant_attribute:meta])* $variant:ident($record:ty) = $name:literal ),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $set {
            $(
                #[doc = concat!("`", $name, "`")]
                $(#[$variant_attribute])*
                $variant($record),
            )+
        }

        impl $crate::event::EventSet for $set {
            const NAME: &'static str = stringify!($set);
            const TYPES: &'static [$crate::event::EventType] = &[
                $( $crate::event::EventType::of::<$record>($name) ),+
            ];

            #[allow(unused_assignments)]
            fn index(&self) -> usize {
                let mut index = 0;
                $(
                    if matches!(self, Self::$variant(_)) {
                        return index;
                    }
                    index += 1;
                )+
                index
            }

            fn encode(
                &self,
                encoder: $crate::codec::Encoder<'_>,
            ) -> Result<(), $crate::codec::SerdeError> {
                match self {
                    $( Self::$variant(record) => encoder.record(record), )+
                }
            }

            #[allow(unused_assignments)]
            fn decode(
                index: usize,
                decoder: $crate::codec::Decoder<'_>,
            ) -> Result<Self, $crate::codec::SerdeError> {
                let mut candidate = 0;
                $(
                    if index == candidate {
                        return decoder.record::<$record>().map(Self::$variant);
                    }
                    candidate += 1;
                )+
                Err($crate::codec::SerdeError::UnknownType {
                    name: format!("{}[{index}]", stringify!($set)),
                })
            }
        }

        $(
            impl From<$record> for $set {
                fn from(record: $record) -> Self {
                    Self::$variant(record)
                }
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_derivation_has_the_same_id() {
        let cause = EventId::new("request-7");
        let id = EventId::derive(&cause, "order.created", 0);
        assert_eq!(id, EventId::derive(&cause, "order.created", 0));
        assert_eq!(id.as_str(), "5d8621bb-1f7c-5d81-8c7c-d201528eb2af");
    }

    #[test]
    fn derived_ids_differ_by_cause_type_and_index() {
        let cause = EventId::new("a");
        let id = EventId::derive(&cause, "t", 0);
        assert_ne!(id, EventId::derive(&EventId::new("b"), "t", 0));
        assert_ne!(id, EventId::derive(&cause, "u", 0));
        assert_ne!(id, EventId::derive(&cause, "t", 1));
    }

    #[test]
    fn a_derived_event_keeps_correlation_trace_and_actor_and_points_to_its_cause() {
        let cause = Meta::new(EventId::new("e1"), "/orders", Timestamp::from_millis(1))
            .caused_by(EventId::new("request-7"))
            .with_actor("u1")
            .with_traceparent("00-1-2-01")
            .with_seq(4);
        let derived = cause.derive("t", 0, "/payments", Timestamp::from_millis(2));
        assert_eq!(derived.correlation_id.as_str(), "request-7");
        assert_eq!(derived.causation_id.as_str(), "e1");
        assert_eq!(derived.actor.as_deref(), Some("u1"));
        assert_eq!(derived.traceparent, cause.traceparent);
        assert_eq!(derived.seq, 0);
    }
}

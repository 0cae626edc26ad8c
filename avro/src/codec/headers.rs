//! The metadata of an event as record headers, by CloudEvents' binding for Kafka (its binary mode).

use std::fmt::Write as _;
use std::sync::Arc;

use millrace_streams::Timestamp;
use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::serde::SerdeError;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::event::{EventId, Meta};

/// The event's id.
pub const ID: &str = "ce_id";
/// The event's type: "order.created".
pub const TYPE: &str = "ce_type";
/// Who wrote it.
pub const SOURCE: &str = "ce_source";
/// When it happened, by RFC 3339.
pub const TIME: &str = "ce_time";
/// The version of CloudEvents, "1.0".
pub const SPEC_VERSION: &str = "ce_specversion";
/// The media type of the value, "application/avro".
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// The request that began it all.
pub const CORRELATION_ID: &str = "correlation_id";
/// The event or request that caused this one.
pub const CAUSATION_ID: &str = "causation_id";
/// The place among the events of the aggregate.
pub const SEQ: &str = "seq";
/// On whose behalf.
pub const ACTOR: &str = "actor";

const OURS: [&str; 11] = [
    ID,
    TYPE,
    SOURCE,
    TIME,
    SPEC_VERSION,
    CONTENT_TYPE,
    TRACEPARENT,
    CORRELATION_ID,
    CAUSATION_ID,
    SEQ,
    ACTOR,
];

/// Writes and reads metadata, with buffers that it keeps.
#[derive(Debug, Default)]
pub(super) struct MetaHeaders {
    inherited: HeaderList,
    text: String,
    /// The last source that was read: a topic has few, so most records share one allocation.
    source: Option<Arc<str>>,
}

impl MetaHeaders {
    /// Replaces the metadata in `headers`, which may be that of the record that an event was
    /// derived from. Other headers stay.
    pub(super) fn write(&mut self, meta: &Meta, type_name: &str, headers: &mut HeaderList) {
        self.keep_foreign(headers);
        let mut put = |name: &str, value: &str| headers.push(name, Some(value.as_bytes()));
        put(SPEC_VERSION, "1.0");
        put(CONTENT_TYPE, "application/avro");
        put(ID, meta.id.as_str());
        put(TYPE, type_name);
        put(SOURCE, &meta.source);
        put(CORRELATION_ID, meta.correlation_id.as_str());
        put(CAUSATION_ID, meta.causation_id.as_str());
        let optional = [(TRACEPARENT, &meta.traceparent), (ACTOR, &meta.actor)];
        for (name, value) in optional {
            if let Some(value) = value {
                put(name, value);
            }
        }
        if let Some(time) = self.rfc3339(meta.time) {
            headers.push(TIME, Some(time.as_bytes()));
        }
        if meta.seq > 0 {
            headers.push(SEQ, Some(self.decimal(meta.seq).as_bytes()));
        }
    }

    fn keep_foreign(&mut self, headers: &mut HeaderList) {
        if headers.view().is_empty() {
            return;
        }
        self.inherited.copy_from(headers.view());
        headers.clear();
        let foreign = self.inherited.view().iter();
        for (name, value) in foreign.filter(|(name, _)| !OURS.contains(name)) {
            headers.push(name, value);
        }
    }

    fn decimal(&mut self, number: u64) -> &str {
        self.text.clear();
        // Writing to a `String` cannot fail.
        write!(self.text, "{number}").ok();
        &self.text
    }

    /// `None` for a time that the format cannot express, such as [`Timestamp::UNKNOWN`].
    fn rfc3339(&mut self, time: Timestamp) -> Option<&str> {
        if time == Timestamp::UNKNOWN {
            return None;
        }
        let nanos = i128::from(time.as_millis()) * 1_000_000;
        let utc = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        self.text.clear();
        let (date, time) = (utc.date(), utc.time());
        if !(0..=9999).contains(&date.year()) {
            return None;
        }
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute, second, ms) = time.as_hms_milli();
        write!(
            self.text,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
        .ok()?;
        Some(&self.text)
    }

    /// The metadata in `headers`; `what` names the type for the error.
    pub(super) fn read(
        &mut self,
        what: &'static str,
        headers: Headers<'_>,
    ) -> Result<Meta, SerdeError> {
        let found = Found::in_headers(headers);
        let malformed = |reason: String| SerdeError::Malformed { what, reason };
        let text = |name: &str, value: Option<&[u8]>| {
            let text = value.map(std::str::from_utf8).transpose();
            text.map(|text| text.map(Arc::<str>::from))
                .map_err(|_| malformed(format!("header `{name}` is not UTF-8")))
        };
        let required = |name: &str, value: Option<&[u8]>| {
            text(name, value)?.ok_or_else(|| malformed(format!("header `{name}` is missing")))
        };
        let id = EventId::new(required(ID, found.id)?);
        let related = |name, value| {
            Ok::<_, SerdeError>(text(name, value)?.map_or_else(|| id.clone(), EventId::new))
        };
        Ok(Meta {
            source: self.shared_source(found.source, |source| required(SOURCE, source))?,
            time: match found.time {
                Some(time) => parse_time(time)
                    .ok_or_else(|| malformed(format!("header `{TIME}` is not a time")))?,
                None => Timestamp::UNKNOWN,
            },
            correlation_id: related(CORRELATION_ID, found.correlation_id)?,
            causation_id: related(CAUSATION_ID, found.causation_id)?,
            traceparent: text(TRACEPARENT, found.traceparent)?,
            seq: match found.seq {
                Some(seq) => parse_seq(seq)
                    .ok_or_else(|| malformed(format!("header `{SEQ}` is not a number")))?,
                None => 0,
            },
            actor: text(ACTOR, found.actor)?,
            id,
        })
    }

    fn shared_source<E>(
        &mut self,
        bytes: Option<&[u8]>,
        read: impl FnOnce(Option<&[u8]>) -> Result<Arc<str>, E>,
    ) -> Result<Arc<str>, E> {
        match &self.source {
            Some(last) if Some(last.as_bytes()) == bytes => Ok(last.clone()),
            _ => Ok(self.source.insert(read(bytes)?).clone()),
        }
    }
}

fn parse_time(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?;
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let ms = time.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(ms).ok().map(Timestamp::from_millis)
}

fn parse_seq(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The headers that make the metadata, found in one pass; the last of a name counts.
#[derive(Default)]
struct Found<'a> {
    id: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    correlation_id: Option<&'a [u8]>,
    causation_id: Option<&'a [u8]>,
    traceparent: Option<&'a [u8]>,
    seq: Option<&'a [u8]>,
    actor: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn in_headers(headers: Headers<'a>) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            match name {
                ID => found.id = value,
                SOURCE => found.source = value,
                TIME => found.time = value,
                CORRELATION_ID => found.correlation_id = value,
                CAUSATION_ID => found.causation_id = value,
                TRACEPARENT => found.traceparent = value,
                SEQ => found.seq = value,
                ACTOR => found.actor = value,
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta::new(
            EventId::new("e1"),
            "/orders",
            Timestamp::from_millis(1_700_000_000_123),
        )
        .caused_by(EventId::new("request-7"))
        .with_seq(3)
        .with_actor("u1")
        .with_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    }

    fn written(meta: &Meta) -> HeaderList {
        let mut headers = HeaderList::new();
        MetaHeaders::default().write(meta, "order.created", &mut headers);
        headers
    }

    fn read(headers: &HeaderList) -> Result<Meta, SerdeError> {
        MetaHeaders::default().read("Test", headers.view())
    }

    #[test]
    fn metadata_travels_by_the_cloudevents_binding() {
        let headers = written(&meta());
        let text = |name| headers.view().text(name);
        assert_eq!(text("ce_id"), Some("e1"));
        assert_eq!(text("ce_type"), Some("order.created"));
        assert_eq!(text("ce_source"), Some("/orders"));
        assert_eq!(text("ce_time"), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(text("ce_specversion"), Some("1.0"));
        assert_eq!(text("content-type"), Some("application/avro"));
        assert_eq!(text("correlation_id"), Some("request-7"));
        assert_eq!(text("seq"), Some("3"));
        assert_eq!(read(&headers), Ok(meta()));
    }

    #[test]
    fn writing_replaces_inherited_metadata_and_keeps_foreign_headers() {
        let mut headers = written(&meta());
        headers.push("mine", Some(b"1"));
        headers.push("mine", None);
        let other = Meta::new(EventId::new("e2"), "/p", Timestamp::UNKNOWN);
        MetaHeaders::default().write(&other, "t", &mut headers);
        assert_eq!(read(&headers), Ok(other));
        assert_eq!(
            headers
                .view()
                .iter()
                .filter(|(name, _)| *name == "mine")
                .count(),
            2
        );
        assert_eq!(headers.view().text("actor"), None);
        assert_eq!(headers.view().text("seq"), None);
    }

    #[test]
    fn a_foreign_event_needs_an_id_and_a_source_only() {
        let mut headers = HeaderList::new();
        headers.push("ce_id", Some(b"x"));
        headers.push("ce_source", Some(b"/far"));
        let meta = Meta::new(EventId::new("x"), "/far", Timestamp::UNKNOWN);
        assert_eq!(read(&headers), Ok(meta));
    }

    #[test]
    fn missing_or_broken_metadata_names_its_header() {
        let reason = |name: &str, value: Option<&[u8]>| {
            let mut headers = written(&meta());
            headers.push(name, value);
            match read(&headers) {
                Err(SerdeError::Malformed { reason, .. }) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason("ce_id", None), "header `ce_id` is missing");
        assert_eq!(
            reason("ce_source", Some(b"\xff")),
            "header `ce_source` is not UTF-8"
        );
        assert_eq!(
            reason("ce_time", Some(b"noon")),
            "header `ce_time` is not a time"
        );
        assert_eq!(reason("seq", Some(b"-1")), "header `seq` is not a number");
    }

    #[test]
    fn a_time_with_an_offset_and_nanoseconds_is_read() {
        let time = parse_time(b"2023-11-14T23:13:20.123999999+01:00");
        assert_eq!(time, Some(Timestamp::from_millis(1_700_000_000_123)));
        let before = parse_time(b"1969-12-31T23:59:59.9995Z");
        assert_eq!(before, Some(Timestamp::from_millis(-1)));
    }
}

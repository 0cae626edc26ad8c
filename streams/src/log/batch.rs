//! Batches: how records travel between the log and the tasks.
//!
//! A batch keeps the bytes of its records in one arena, so a record costs no allocation, and a
//! batch that was used up is handed back to be filled again.

use std::ops::Range;
use std::sync::Arc;

use crate::headers::Headers;
use crate::log::{Offset, TopicPartition};
use crate::time::Timestamp;

/// A record as it lies in a batch.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: Headers<'a>,
    /// The key's bytes, `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes, `None` for null.
    pub value: Option<&'a [u8]>,
}

/// Records of one partition, in offset order, as a fetch delivers them.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    /// Where the records come from.
    pub partition: TopicPartition,
    /// The offset to read next. It may lie behind the last record's successor, because markers and
    /// aborted records take offsets too.
    pub position: Offset,
    /// True if, when this batch was read, `position` was the end of what can be read: the last
    /// stable offset for a reader of committed records.
    pub at_end: bool,
    arena: Arena,
    offsets: Vec<Offset>,
}

impl RecordBatch {
    /// Empties the batch and keeps its allocations.
    pub fn reset(&mut self, partition: TopicPartition) {
        self.partition = partition;
        self.position = 0;
        self.at_end = false;
        self.arena.clear();
        self.offsets.clear();
    }

    /// Appends a record and moves `position` behind it.
    pub fn push(&mut self, record: RawRecord<'_>) {
        self.arena
            .push(record.timestamp, record.headers, record.key, record.value);
        self.offsets.push(record.offset);
        self.position = record.offset + 1;
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The bytes that the records take.
    pub fn bytes(&self) -> usize {
        self.arena.data.len()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<RawRecord<'_>> {
        let offset = *self.offsets.get(index)?;
        let (timestamp, headers, key, value) = self.arena.get(index)?;
        Some(RawRecord {
            offset,
            timestamp,
            headers,
            key,
            value,
        })
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = RawRecord<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A topic's place in an [`OutputBatch`], so that no name is looked up per record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicSlot(pub u32);

/// A record on its way out.
#[derive(Clone, Copy, Debug)]
pub struct OutputRecord<'a> {
    /// The topic it goes to; [`OutputBatch::topic_name`] tells the name.
    pub topic: TopicSlot,
    /// The partition it goes to. The engine decides it, as Java's default partitioner would.
    pub partition: i32,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its headers.
    pub headers: Headers<'a>,
    /// The key's bytes, `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value's bytes, `None` for null.
    pub value: Option<&'a [u8]>,
}

/// Records that a stream thread's tasks have written, in the order in which they were written.
///
/// There is one per stream thread for its whole life; slots stay valid when it is cleared.
#[derive(Clone, Debug, Default)]
pub struct OutputBatch {
    topics: Vec<Arc<str>>,
    arena: Arena,
    targets: Vec<(TopicSlot, i32)>,
}

impl OutputBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The slot of a topic, made at the first call. Slots count from 0 without gaps.
    pub fn slot(&mut self, topic: &str) -> TopicSlot {
        let known = self.topics.iter().position(|name| &**name == topic);
        let index = known.unwrap_or_else(|| {
            self.topics.push(topic.into());
            self.topics.len() - 1
        });
        // A topology has far fewer than 2^32 topics.
        TopicSlot(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The topic of a slot.
    pub fn topic_name(&self, slot: TopicSlot) -> Option<&Arc<str>> {
        self.topics.get(slot.0 as usize)
    }

    /// The topics of all slots, in slot order.
    pub fn topics(&self) -> &[Arc<str>] {
        &self.topics
    }

    /// Appends a record.
    pub fn push(&mut self, record: OutputRecord<'_>) {
        self.arena
            .push(record.timestamp, record.headers, record.key, record.value);
        self.targets.push((record.topic, record.partition));
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// True if there is no record.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The bytes that the records take.
    pub fn bytes(&self) -> usize {
        self.arena.data.len()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<OutputRecord<'_>> {
        let (topic, partition) = *self.targets.get(index)?;
        let (timestamp, headers, key, value) = self.arena.get(index)?;
        Some(OutputRecord {
            topic,
            partition,
            timestamp,
            headers,
            key,
            value,
        })
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = OutputRecord<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Drops the records; keeps slots and allocations.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.targets.clear();
    }
}

/// The bytes of many records, end to end: headers, key, value.
#[derive(Clone, Debug, Default)]
struct Arena {
    data: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    timestamp: Timestamp,
    start: usize,
    headers: u32,
    key: u32,
    value: u32,
}

/// A length that no key or value has: the sign of a null.
const NULL: u32 = u32::MAX;

impl Arena {
    fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }

    fn push(
        &mut self,
        timestamp: Timestamp,
        headers: Headers<'_>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let start = self.data.len();
        self.data.extend_from_slice(headers.encoded());
        self.data.extend_from_slice(key.unwrap_or_default());
        self.data.extend_from_slice(value.unwrap_or_default());
        let headers = len_of(Some(headers.encoded()));
        self.spans.push(Span {
            timestamp,
            start,
            headers,
            key: len_of(key),
            value: len_of(value),
        });
    }

    #[expect(clippy::type_complexity, reason = "private; named by its two callers")]
    fn get(&self, index: usize) -> Option<(Timestamp, Headers<'_>, Option<&[u8]>, Option<&[u8]>)> {
        let span = self.spans.get(index)?;
        let mut at = span.start;
        let headers = self.part(&mut at, span.headers)?;
        let key = self.part(&mut at, span.key);
        let value = self.part(&mut at, span.value);
        Some((span.timestamp, Headers::from_encoded(headers), key, value))
    }

    fn part(&self, at: &mut usize, len: u32) -> Option<&[u8]> {
        if len == NULL {
            return None;
        }
        let range: Range<usize> = *at..*at + len as usize;
        *at = range.end;
        self.data.get(range)
    }
}

// Kafka's own limit on a record is below 2 GiB, so a real length is never cut here.
fn len_of(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(NULL, |bytes| u32::try_from(bytes.len()).unwrap_or(NULL - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::HeaderList;

    #[test]
    fn null_and_empty_are_told_apart() {
        let mut batch = RecordBatch::default();
        let mut headers = HeaderList::new();
        headers.push("h", Some(b"v"));
        batch.push(RawRecord {
            offset: 7,
            timestamp: Timestamp::from_millis(5),
            headers: headers.view(),
            key: Some(b""),
            value: None,
        });
        let record = batch.get(0).expect("one record");
        assert_eq!(record.key, Some(&b""[..]));
        assert_eq!(record.value, None);
        assert_eq!(record.headers.text("h"), Some("v"));
        assert_eq!(batch.position, 8);
    }

    #[test]
    fn slots_survive_a_clear() {
        let mut batch = OutputBatch::new();
        let a = batch.slot("a");
        let b = batch.slot("b");
        batch.clear();
        assert_eq!(batch.slot("b"), b);
        assert_eq!(batch.topic_name(a).map(|name| &**name), Some("a"));
    }
}

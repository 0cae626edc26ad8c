//! One partition: records and control markers by offset, and what each isolation level sees.

use std::collections::{BTreeMap, VecDeque};

use super::digest::Digest;
use crate::log::{Bounds, Isolation, Offset, RawRecord, RecordBatch};

/// A producer that writes in transactions, and its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProducerKey {
    pub(super) id: u64,
    pub(super) epoch: i16,
}

/// What lies at one offset.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// A record: its place in the arena, and the transaction that it belongs to.
    Record {
        index: usize,
        producer: Option<ProducerKey>,
        aborted: bool,
    },
    /// The end of a producer's transaction.
    Marker { producer: ProducerKey, commit: bool },
    /// A record that compaction has removed.
    Gone,
}

/// What a read may bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimit {
    /// Bytes; the first record comes whatever its size.
    pub(super) bytes: usize,
    /// Records.
    pub(super) records: usize,
}

impl ReadLimit {
    pub(super) const NONE: Self = Self {
        bytes: usize::MAX,
        records: usize::MAX,
    };
}

/// An append-only log of records and markers.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// The first offset that still exists.
    start: Offset,
    /// What lies at `start`, `start + 1`, and so on.
    entries: VecDeque<Entry>,
    /// The bytes of the records.
    records: RecordBatch,
    /// First offset of every open transaction, by producer id.
    open: BTreeMap<u64, Offset>,
}

impl Partition {
    /// Appends a record; `producer` when it is part of a transaction.
    pub(super) fn append(
        &mut self,
        record: RawRecord<'_>,
        producer: Option<ProducerKey>,
    ) -> Offset {
        let offset = self.end();
        self.entries.push_back(Entry::Record {
            index: self.records.len(),
            producer,
            aborted: false,
        });
        self.records.push(RawRecord { offset, ..record });
        if let Some(producer) = producer {
            self.open.entry(producer.id).or_insert(offset);
        }
        offset
    }

    /// Ends a producer's transaction with a marker. Nothing happens if it has none open here.
    pub(super) fn mark(&mut self, producer: ProducerKey, commit: bool) {
        let Some(first) = self.open.remove(&producer.id) else {
            return;
        };
        if !commit {
            self.hide(producer.id, first);
        }
        self.entries.push_back(Entry::Marker { producer, commit });
    }

    fn hide(&mut self, id: u64, first: Offset) {
        let skip = usize::try_from(first - self.start).unwrap_or(0);
        for entry in self.entries.iter_mut().skip(skip) {
            if let Entry::Record {
                producer: Some(producer),
                aborted,
                ..
            } = entry
                && producer.id == id
            {
                *aborted = true;
            }
        }
    }

    /// The high watermark: behind the last record or marker.
    pub(super) fn end(&self) -> Offset {
        // A simulated partition has far fewer than 2^63 entries.
        self.start + Offset::try_from(self.entries.len()).unwrap_or(Offset::MAX)
    }

    /// The last stable offset: where the first open transaction begins, or the end.
    pub(super) fn last_stable(&self) -> Offset {
        self.open
            .values()
            .min()
            .copied()
            .unwrap_or_else(|| self.end())
    }

    pub(super) fn bounds(&self, isolation: Isolation) -> Bounds {
        let end = match isolation {
            Isolation::ReadCommitted => self.last_stable(),
            Isolation::ReadUncommitted => self.end(),
        };
        let start = self.start.min(end);
        Bounds {
            start,
            end,
            high_watermark: self.end(),
        }
    }

    /// True if a reader may go on from `offset`.
    pub(super) fn contains(&self, offset: Offset) -> bool {
        (self.start..=self.end()).contains(&offset)
    }

    pub(super) const fn start(&self) -> Offset {
        self.start
    }

    /// Fills `into` from offset `from` on, and sets its position.
    pub(super) fn read(
        &self,
        from: Offset,
        isolation: Isolation,
        limit: ReadLimit,
        into: &mut RecordBatch,
    ) {
        let end = self.bounds(isolation).end;
        let skip = usize::try_from(from - self.start).unwrap_or(0);
        let mut at = from;
        for entry in self.entries.iter().skip(skip) {
            if at >= end {
                break;
            }
            if let Some(record) = self.visible(*entry, isolation) {
                if is_full(into, &record, limit) {
                    break;
                }
                into.push(record);
            }
            at += 1;
        }
        into.position = at;
        into.at_end = at >= end;
    }

    fn visible(&self, entry: Entry, isolation: Isolation) -> Option<RawRecord<'_>> {
        match entry {
            Entry::Record { aborted: true, .. } if isolation == Isolation::ReadCommitted => None,
            Entry::Record { index, .. } => self.records.get(index),
            Entry::Marker { .. } | Entry::Gone => None,
        }
    }

    /// Deletes everything before `before`, but nothing of an open transaction.
    pub(super) fn delete_before(&mut self, before: Offset) {
        let before = before.min(self.last_stable());
        while self.start < before && self.entries.pop_front().is_some() {
            self.start += 1;
        }
        self.rebuild(|_| true);
    }

    /// Keeps the last committed record of each key, as a finished compaction does; a record with
    /// a null value goes too. Offsets stay.
    pub(super) fn compact(&mut self) {
        let stable = self.last_stable();
        let mut last = BTreeMap::new();
        let committed = self
            .entries
            .iter()
            .filter_map(|entry| self.visible(*entry, Isolation::ReadCommitted));
        for record in committed.filter(|record| record.offset < stable) {
            last.insert(
                record.key.map(<[u8]>::to_vec),
                (record.offset, record.value.is_none()),
            );
        }
        self.rebuild(|record| {
            let survivor = last.get(&record.key.map(<[u8]>::to_vec));
            record.offset >= stable || survivor == Some(&(record.offset, false))
        });
    }

    /// Copies what `keep` keeps into a new arena.
    fn rebuild(&mut self, keep: impl Fn(&RawRecord<'_>) -> bool) {
        let old = std::mem::take(&mut self.records);
        for entry in &mut self.entries {
            let Entry::Record { index, .. } = entry else {
                continue;
            };
            match old.get(*index).filter(|record| keep(record)) {
                Some(record) => {
                    *index = self.records.len();
                    self.records.push(record);
                }
                None => *entry = Entry::Gone,
            }
        }
    }

    /// Mixes every byte, offset and marker into `digest`.
    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.number(self.start);
        for entry in &self.entries {
            match *entry {
                Entry::Record {
                    index,
                    producer,
                    aborted,
                } => {
                    digest.number(if aborted { 1 } else { 0 });
                    digest.producer(producer);
                    if let Some(record) = self.records.get(index) {
                        digest.record(&record);
                    }
                }
                Entry::Marker { producer, commit } => {
                    digest.number(if commit { 3 } else { 2 });
                    digest.producer(Some(producer));
                }
                Entry::Gone => digest.number(4),
            }
        }
    }
}

fn is_full(batch: &RecordBatch, next: &RawRecord<'_>, limit: ReadLimit) -> bool {
    let bytes = batch.bytes().saturating_add(size_of(next));
    !batch.is_empty() && (batch.len() >= limit.records || bytes > limit.bytes)
}

/// The bytes of a record's key, value and headers.
pub(super) fn size_of(record: &RawRecord<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len)
        + record.value.map_or(0, <[u8]>::len)
        + record.headers.encoded().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::headers::Headers;

    const A: ProducerKey = ProducerKey { id: 1, epoch: 0 };
    const B: ProducerKey = ProducerKey { id: 2, epoch: 0 };

    fn record<'a>(key: &'a str, value: Option<&'a str>) -> RawRecord<'a> {
        RawRecord {
            offset: 0,
            timestamp: Timestamp::from_millis(0),
            headers: Headers::EMPTY,
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
        }
    }

    fn keys(partition: &Partition, isolation: Isolation) -> (Vec<String>, Offset) {
        let mut batch = RecordBatch::default();
        partition.read(partition.start, isolation, ReadLimit::NONE, &mut batch);
        let keys = batch
            .iter()
            .map(|record| String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned());
        (keys.collect(), batch.position)
    }

    #[test]
    fn the_first_open_transaction_holds_back_what_others_have_committed() {
        let mut partition = Partition::default();
        partition.append(record("plain", None), None);
        partition.append(record("open", None), Some(A));
        partition.append(record("done", None), Some(B));
        partition.mark(B, true);
        assert_eq!(
            keys(&partition, Isolation::ReadCommitted),
            (vec!["plain".into()], 1)
        );
        partition.mark(A, false);
        assert_eq!(
            keys(&partition, Isolation::ReadCommitted),
            (vec!["plain".into(), "done".into()], 5)
        );
        assert_eq!(keys(&partition, Isolation::ReadUncommitted).0.len(), 3);
    }

    #[test]
    fn an_abort_hides_nothing_that_the_producer_committed_before() {
        let mut partition = Partition::default();
        partition.append(record("kept", None), Some(A));
        partition.mark(A, true);
        partition.append(record("lost", None), Some(A));
        partition.mark(A, false);
        assert_eq!(
            keys(&partition, Isolation::ReadCommitted).0,
            vec!["kept".to_owned()]
        );
    }

    #[test]
    fn compaction_keeps_the_last_value_of_each_key_and_all_offsets() {
        let mut partition = Partition::default();
        partition.append(record("a", Some("1")), None);
        partition.append(record("b", Some("1")), None);
        partition.append(record("a", Some("2")), None);
        partition.append(record("b", None), None);
        partition.compact();
        assert_eq!(
            keys(&partition, Isolation::ReadCommitted),
            (vec!["a".into()], 4)
        );
    }

    #[test]
    fn deleted_records_are_gone_and_the_rest_keeps_its_offsets() {
        let mut partition = Partition::default();
        for key in ["a", "b", "c"] {
            partition.append(record(key, None), None);
        }
        partition.delete_before(2);
        assert!(!partition.contains(1));
        assert_eq!(
            keys(&partition, Isolation::ReadCommitted),
            (vec!["c".into()], 3)
        );
    }
}

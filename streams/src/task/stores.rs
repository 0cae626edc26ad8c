//! A task's stores, as bytes: a store of the state directory and its changelog.

use std::sync::Arc;

use millrace_state::{Entry, Range, Store};

use crate::error::{ProcessError, ProcessResult};
use crate::headers::Headers;
use crate::log::{Offset, OutputBatch, OutputRecord, TopicPartition, TopicSlot};
use crate::store::split_timestamp;
use crate::task::TaskContext;
use crate::task::origins::Origins;
use crate::time::Timestamp;

/// Keys and values as bytes.
pub(crate) type Pairs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Copies a range's pairs out.
pub(crate) fn pairs(range: Range<'_>) -> Result<Pairs, ProcessError> {
    let pair = |entry: Result<Entry, millrace_state::Error>| {
        let entry = entry?;
        Ok((entry.key().into(), entry.value().into()))
    };
    range.map(pair).collect()
}

/// One store of a task.
pub(crate) struct TaskStore {
    name: Arc<str>,
    store: Store,
    /// The changelog partition.
    changelog: TopicPartition,
    slot: TopicSlot,
    /// What the buffer's bytes do not tell of its changes.
    origins: Origins,
}

impl TaskStore {
    pub(crate) fn new(
        name: Arc<str>,
        store: Store,
        changelog: TopicPartition,
        outputs: &mut OutputBatch,
    ) -> Self {
        let slot = outputs.slot(&changelog.topic);
        Self {
            name,
            store,
            changelog,
            slot,
            origins: Origins::default(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn changelog(&self) -> &TopicPartition {
        &self.changelog
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    pub(crate) fn into_store(self) -> Store {
        self.store
    }

    /// Runs `read` on the stored bytes under `key`.
    pub(crate) fn get_with<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, ProcessError> {
        Ok(self.store.get_with(key, read)?)
    }

    pub(crate) fn put(&mut self, key: &[u8], stored: &[u8]) -> ProcessResult {
        Ok(self.store.put(key, stored)?)
    }

    /// Deletes a key for a record of the time `at`.
    pub(crate) fn delete(&mut self, key: &[u8], at: Timestamp) -> ProcessResult {
        self.origins.set_deleted(key, at);
        Ok(self.store.delete(key)?)
    }

    /// Remembers the headers of the record that has changed the key, until the commit.
    pub(crate) fn keep_headers(&mut self, key: &[u8], headers: Headers<'_>) {
        self.origins.set_headers(key, headers);
    }

    /// Writes what has changed since the last commit to the changelog: per key one record, with the
    /// timestamp of the value, or of the record that has deleted it.
    pub(crate) fn log_changes(
        &self,
        outputs: &mut OutputBatch,
        now: Timestamp,
    ) -> Result<(), ProcessError> {
        for change in self.store.changes() {
            let stored = change.new.and_then(split_timestamp);
            // A key that was written and deleted again before any commit saw it needs no tombstone.
            if stored.is_none() && change.old()?.is_none() {
                continue;
            }
            let timestamp = match stored {
                Some((timestamp, _)) => timestamp,
                None => self.origins.deleted_at(change.key).unwrap_or(now),
            };
            outputs.push(OutputRecord {
                topic: self.slot,
                partition: self.changelog.partition,
                timestamp,
                headers: Headers::EMPTY,
                key: Some(change.key),
                value: stored.map(|(_, value)| value),
            });
        }
        Ok(())
    }

    /// Makes the buffer's content the committed state, after the log has committed it.
    pub(crate) fn commit(
        &mut self,
        last_offsets: &[(TopicSlot, i32, Offset)],
    ) -> Result<(), ProcessError> {
        let mine = |(slot, partition, _): &&(TopicSlot, i32, Offset)| {
            *slot == self.slot && *partition == self.changelog.partition
        };
        let next = last_offsets
            .iter()
            .find(mine)
            .map(|(_, _, offset)| offset + 1);
        self.origins.clear();
        Ok(self.store.commit(next)?)
    }

    pub(crate) fn discard(&mut self) {
        self.origins.clear();
        self.store.discard();
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.store.buffered_bytes() + self.origins.bytes()
    }
}

/// The changes of a store's buffer, copied out, so that the store can be used while they are read.
#[derive(Debug, Default)]
pub(crate) struct ChangeList {
    data: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    key: usize,
    old: Option<usize>,
    new: Option<usize>,
    deleted_at: Option<Timestamp>,
    headers: usize,
}

/// One change of a store, as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawChange<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) old: Option<&'a [u8]>,
    pub(crate) new: Option<&'a [u8]>,
    /// The time of the record that has deleted the key.
    pub(crate) deleted_at: Option<Timestamp>,
    /// Those of the last record that has changed the key.
    pub(crate) headers: Headers<'a>,
}

impl ChangeList {
    /// Replaces the content by the changes of the task's store `slot`, in the order of the first
    /// write to each key.
    pub(crate) fn take_from(&mut self, cx: &TaskContext, slot: usize) -> ProcessResult {
        self.data.clear();
        self.spans.clear();
        let store = cx.store(slot)?;
        for change in store.store.changes() {
            let old = change.old()?;
            let old = old.as_deref();
            if old.is_none() && change.new.is_none() {
                continue;
            }
            let start = self.data.len();
            self.data.extend_from_slice(change.key);
            self.data.extend_from_slice(old.unwrap_or_default());
            self.data.extend_from_slice(change.new.unwrap_or_default());
            let headers = store.origins.headers(change.key).encoded();
            self.data.extend_from_slice(headers);
            self.spans.push(Span {
                start,
                key: change.key.len(),
                old: old.map(<[u8]>::len),
                new: change.new.map(<[u8]>::len),
                deleted_at: store.origins.deleted_at(change.key),
                headers: headers.len(),
            });
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RawChange<'_>> {
        self.spans.iter().filter_map(|span| {
            let rest = self.data.get(span.start..)?;
            let (key, rest) = rest.split_at_checked(span.key)?;
            let (old, rest) = rest.split_at_checked(span.old.unwrap_or(0))?;
            let (new, rest) = rest.split_at_checked(span.new.unwrap_or(0))?;
            Some(RawChange {
                key,
                old: span.old.map(|_| old),
                new: span.new.map(|_| new),
                deleted_at: span.deleted_at,
                headers: Headers::from_encoded(rest.get(..span.headers)?),
            })
        })
    }
}

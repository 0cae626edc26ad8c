//! The latest offset of each key: what compaction needs to know of the partitions it cleans.

use std::collections::HashMap;

use super::entry::PartitionId;
use super::segment::Section;
use super::shared::Shared;
use crate::log::{Cleanup, LogError, Offset, RawRecord};

/// The partitions to compact in one run, each with its latest offsets.
#[derive(Debug)]
pub(super) struct Latest {
    partitions: HashMap<PartitionId, Keys>,
    bytes: usize,
    /// Tombstones appended before this time, in milliseconds, may go.
    tombstones_before: i64,
}

/// The keys of one partition.
#[derive(Debug, Default)]
struct Keys {
    latest: HashMap<Box<[u8]>, Offset, foldhash::fast::RandomState>,
    /// Below this offset a run before has left one record for each key.
    compacted_to: Offset,
    /// Below this offset this run does.
    covered: Offset,
}

/// What an entry costs beside the bytes of its key.
const ENTRY_OVERHEAD: usize = 48;

impl Latest {
    /// Reads the keys of the compacted partitions that have become dirty enough, as many as fit
    /// the memory. Only segments up to `closed_to` count.
    pub(super) fn read(shared: &Shared, closed_to: u64) -> Result<Self, LogError> {
        let now = (shared.options.clock)();
        let mut latest = Self {
            partitions: HashMap::new(),
            bytes: 0,
            tombstones_before: (now - shared.options.delete_retention).as_millis(),
        };
        for dirty in dirty_partitions(shared, closed_to) {
            latest.read_partition(&dirty, shared.options.cleaner_bytes_max)?;
        }
        Ok(latest)
    }

    fn read_partition(&mut self, dirty: &Dirty, bytes_max: usize) -> Result<(), LogError> {
        let mut keys = Keys {
            compacted_to: dirty.compacted_to,
            ..Keys::default()
        };
        for section in &dirty.sections {
            if self.bytes >= bytes_max {
                break;
            }
            self.bytes += keys.read_section(section)?;
        }
        if keys.covered > 0 {
            self.partitions.insert(dirty.partition, keys);
        }
        Ok(())
    }

    /// The partitions that are compacted in this run, and how far.
    pub(super) fn covered(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        let partitions = self.partitions.iter();
        partitions.map(|(partition, keys)| (*partition, keys.covered))
    }

    /// True if this partition is compacted in this run.
    pub(super) fn has(&self, partition: PartitionId) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// True if a record stays: it is the latest with its key as far as this run knows, and no
    /// tombstone that has grown too old.
    ///
    /// A tombstone may only go when no older record with its key is left, wherever a crash may end
    /// this run: when a run before has come to its end behind it.
    pub(super) fn keeps(&self, section: &Section, record: &RawRecord<'_>) -> bool {
        let keys = self.partitions.get(&section.head.partition);
        let (Some(keys), Some(key)) = (keys, record.key) else {
            return true;
        };
        if keys
            .latest
            .get(key)
            .is_some_and(|latest| *latest > record.offset)
        {
            return false;
        }
        let is_old = section.head.appended < self.tombstones_before;
        !(record.value.is_none() && is_old && record.offset < keys.compacted_to)
    }
}

impl Keys {
    /// Answers the bytes of memory that it took.
    fn read_section(&mut self, section: &Section) -> Result<usize, LogError> {
        let data = section.load()?;
        let mut bytes = 0;
        for record in section.records(&data, section.first()) {
            let Some(key) = record.key else { continue };
            if let Some(latest) = self.latest.get_mut(key) {
                *latest = record.offset;
            } else {
                bytes += key.len() + ENTRY_OVERHEAD;
                self.latest.insert(key.into(), record.offset);
            }
        }
        self.covered = section.last() + 1;
        Ok(bytes)
    }
}

/// A partition to compact.
#[derive(Debug)]
struct Dirty {
    partition: PartitionId,
    compacted_to: Offset,
    /// The sections with records that were not looked at yet.
    sections: Vec<Section>,
}

/// The compacted partitions of which a large enough part is dirty.
fn dirty_partitions(shared: &Shared, closed_to: u64) -> Vec<Dirty> {
    let state = shared.state.read();
    let percent = u64::from(shared.options.dirty_percent_min);
    let compacted = state
        .partitions()
        .filter(|(_, topic, _)| topic.cleanup == Cleanup::Compact);
    let dirty = compacted.filter_map(|(id, _, partition)| {
        let closed = || {
            let sections = partition.sections.iter();
            sections.take_while(|section| section.segment.id <= closed_to)
        };
        let is_dirty = |section: &&Section| section.last() >= partition.compacted_to;
        let all: u64 = closed().map(|section| u64::from(section.head.len)).sum();
        let sections: Vec<_> = closed().filter(is_dirty).cloned().collect();
        let bytes: u64 = sections.iter().map(|one| u64::from(one.head.len)).sum();
        let is_worth_it = !sections.is_empty() && bytes * 100 >= all * percent;
        is_worth_it.then_some(Dirty {
            partition: id,
            compacted_to: partition.compacted_to,
            sections,
        })
    });
    dirty.collect()
}

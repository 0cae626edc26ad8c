//! Drafts: many requests on their way into one frame.

use std::collections::HashMap;

use super::entry::{Entry, Head, PartitionId};
use super::queue::{Failure, Pending, Request};
use super::record::Layout;
use super::state::{State, no_topic};
use crate::log::{LogError, Offset};

/// A section grows by joining up to this size, so that reading one record of an old section does
/// not read much more than it.
pub(super) const SECTION_BYTES_MAX: usize = 1 << 20;

/// A frame in the making.
#[derive(Debug)]
pub(super) struct Draft {
    /// Everything but records.
    entries: Vec<Entry>,
    parts: Vec<Part>,
    /// Where the next record of a partition goes: the last of its parts.
    newest: HashMap<PartitionId, usize>,
    /// The time, in milliseconds.
    now: i64,
}

/// The records of one partition.
#[derive(Debug)]
struct Part {
    partition: PartitionId,
    base: Offset,
    last: Offset,
    max_timestamp: i64,
    data: Vec<u8>,
    crc: Option<u32>,
}

impl Draft {
    pub(super) fn new(now: i64) -> Self {
        Self {
            entries: Vec::new(),
            parts: Vec::new(),
            newest: HashMap::new(),
            now,
        }
    }

    /// True if there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.parts.is_empty()
    }

    /// Takes over what a request wants written, all or nothing, and gives its records offsets.
    /// Answers the last offset of each of its sections.
    pub(super) fn add(
        &mut self,
        request: &mut Request,
        state: &State,
    ) -> Result<Vec<Offset>, Failure> {
        if request.permit.as_ref().is_some_and(|one| one.is_lifted()) {
            return Err(Failure::Fenced);
        }
        check(request, state).map_err(Failure::NotWritten)?;
        self.entries.append(&mut request.entries);
        let sections = std::mem::take(&mut request.sections);
        let lasts = sections.into_iter().map(|section| {
            let end = state.partition(section.partition).map_or(0, |one| one.end);
            self.add_section(section, end)
        });
        Ok(lasts.collect())
    }

    fn add_section(&mut self, section: Pending, end: Offset) -> Offset {
        let newest = self.newest.get(&section.partition).copied();
        let newest = newest.and_then(|index| self.parts.get_mut(index));
        let base = newest.as_ref().map_or(end, |part| part.last + 1);
        let last = base + i64::from(section.count) - 1;
        match newest {
            Some(part) if part.data.len() + section.data.len() <= SECTION_BYTES_MAX => {
                part.join(&section, last);
            }
            _ => {
                self.newest.insert(section.partition, self.parts.len());
                self.parts.push(Part::new(section, base, last));
            }
        }
        last
    }

    /// The entries of the frame, and the bytes of its sections in the order of their entries.
    pub(super) fn finish(self) -> (Vec<Entry>, Vec<Vec<u8>>) {
        let Self {
            mut entries,
            parts,
            now,
            ..
        } = self;
        entries.extend(parts.iter().map(|part| Entry::Records(part.head(now))));
        (entries, parts.into_iter().map(|part| part.data).collect())
    }
}

fn check(request: &Request, state: &State) -> Result<(), LogError> {
    for section in &request.sections {
        if state.partition(section.partition).is_none() {
            return Err(LogError::Config(
                "a topic was deleted while records for it were written".to_owned(),
            ));
        }
    }
    for entry in &request.entries {
        if let Entry::Offset { partition, .. } = entry
            && state.topic(&partition.topic).is_none()
        {
            return Err(no_topic(&partition.topic));
        }
    }
    Ok(())
}

impl Part {
    fn new(section: Pending, base: Offset, last: Offset) -> Self {
        Self {
            partition: section.partition,
            base,
            last,
            max_timestamp: section.max_timestamp,
            data: section.data,
            crc: section.crc,
        }
    }

    fn join(&mut self, section: &Pending, last: Offset) {
        self.data.extend_from_slice(&section.data);
        self.last = last;
        self.max_timestamp = self.max_timestamp.max(section.max_timestamp);
        self.crc = None;
    }

    fn head(&self, now: i64) -> Head {
        Head {
            partition: self.partition,
            base: self.base,
            last: self.last,
            layout: Layout::Dense,
            max_timestamp: self.max_timestamp,
            appended: now,
            // A frame is shorter than 2^32 bytes.
            len: u32::try_from(self.data.len()).unwrap_or(u32::MAX),
            crc: self.crc.unwrap_or_else(|| crc32fast::hash(&self.data)),
        }
    }
}

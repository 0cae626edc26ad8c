//! Fetching: positions in partitions, and the wait for more. Members and readers share it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::PartitionId;
use super::record::{OVERHEAD, Place};
use super::segment::Section;
use super::shared::Shared;
use super::signal::Signal;
use super::state::{Partition, no_topic};
use crate::log::{LogError, Offset, RecordBatch, TopicPartition};

/// Reads a set of partitions.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    /// Set when an assigned partition gets records.
    signal: Arc<Signal>,
    cursors: Vec<Cursor>,
    /// The cursor that is served first, so that a small budget goes round.
    turn: usize,
    /// What one fetch brings at most, but always a whole record.
    bytes_max: usize,
    /// Batches to fill again.
    spare: Vec<RecordBatch>,
}

/// A position in a partition.
#[derive(Debug)]
struct Cursor {
    partition: TopicPartition,
    id: PartitionId,
    position: Offset,
    paused: bool,
    /// The last position that was delivered, and whether it was the end.
    told: Option<(Offset, bool)>,
    /// The section that is half read.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    section: Section,
    data: Arc<Vec<u8>>,
    place: Place,
}

/// What lies at a cursor's position.
enum Next {
    Section(Section),
    End,
}

const SPARE_BATCHES_MAX: usize = 64;

impl Fetcher {
    pub(super) fn new(shared: Arc<Shared>, bytes_max: usize) -> Self {
        Self {
            shared,
            signal: Arc::default(),
            cursors: Vec::new(),
            turn: 0,
            bytes_max,
            spare: Vec::new(),
        }
    }

    /// Replaces the set of partitions; none of them is paused afterwards.
    pub(super) fn assign(
        &mut self,
        partitions: &[(TopicPartition, Offset)],
    ) -> Result<(), LogError> {
        self.shared.check()?;
        let mut cursors = Vec::with_capacity(partitions.len());
        let mut state = self.shared.state.write();
        for (partition, position) in partitions {
            let id = state.resolve(partition)?;
            cursors.push(Cursor::new(partition.clone(), id, *position));
        }
        for cursor in &self.cursors {
            if let Some(partition) = state.partition_mut(cursor.id) {
                stop_watching(partition, &self.signal);
            }
        }
        for cursor in &cursors {
            if let Some(partition) = state.partition_mut(cursor.id) {
                partition.watchers.push(Arc::clone(&self.signal));
            }
        }
        drop(state);
        self.cursors = cursors;
        self.turn = 0;
        Ok(())
    }

    /// Pauses or resumes partitions, all or none.
    pub(super) fn set_paused(
        &mut self,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<(), LogError> {
        for partition in partitions {
            if !self.cursors.iter().any(|one| one.partition == *partition) {
                return Err(LogError::Config(format!(
                    "partition `{partition}` is not assigned"
                )));
            }
        }
        let named = self
            .cursors
            .iter_mut()
            .filter(|cursor| partitions.contains(&cursor.partition));
        named.for_each(|cursor| cursor.paused = paused);
        Ok(())
    }

    /// See [`crate::log::Member::fetch`].
    pub(super) fn fetch(
        &mut self,
        max_wait: Duration,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        let deadline = Instant::now() + max_wait;
        loop {
            self.shared.check()?;
            self.signal.clear();
            self.check_positions()?;
            let found = self.collect(into)?;
            if found || !self.signal.wait_until(deadline) {
                self.tell_positions(into);
                return Ok(());
            }
        }
    }

    /// Keeps a batch to fill it again.
    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        if self.spare.len() < SPARE_BATCHES_MAX {
            self.spare.push(batch);
        }
    }

    /// Before any cursor moves, so that an error loses no batch.
    fn check_positions(&self) -> Result<(), LogError> {
        let state = self.shared.state.read();
        for cursor in self.cursors.iter().filter(|cursor| !cursor.paused) {
            match state.partition(cursor.id) {
                Some(partition) => cursor.check(partition)?,
                None => return Err(cursor.gone(&state)),
            }
        }
        Ok(())
    }

    /// Fills one batch for each partition that has records; true if there is any.
    fn collect(&mut self, into: &mut Vec<RecordBatch>) -> Result<bool, LogError> {
        let ready = self.ready();
        let mut budget = self.bytes_max;
        let before = into.len();
        for (served, index) in ready.iter().enumerate() {
            let share = budget / (ready.len() - served);
            let batch = self.spare.pop().unwrap_or_default();
            let Some(cursor) = self.cursors.get_mut(*index) else {
                continue;
            };
            let batch = cursor.fill(&self.shared, share, batch)?;
            budget = budget.saturating_sub(cost(&batch));
            if batch.is_empty() {
                self.recycle(batch);
            } else {
                cursor.told = Some((batch.position, batch.at_end));
                into.push(batch);
            }
            if budget == 0 && served + 1 < ready.len() {
                self.turn = index + 1;
                break;
            }
        }
        Ok(into.len() > before)
    }

    /// The cursors behind which there is something, beginning with the one whose turn it is.
    fn ready(&mut self) -> Vec<usize> {
        let count = self.cursors.len();
        if count == 0 {
            return Vec::new();
        }
        self.turn %= count;
        let state = self.shared.state.read();
        let turn = self.turn;
        let in_turn = (0..count).map(|step| (turn + step) % count);
        let ready = in_turn.filter(|index| {
            let cursor = self.cursors.get(*index);
            cursor.is_some_and(|cursor| {
                let end = state.partition(cursor.id).map_or(0, |one| one.end);
                !cursor.paused && cursor.position < end
            })
        });
        let ready = ready.collect();
        self.turn += 1;
        ready
    }

    /// Tells positions and ends that no batch with records has told.
    fn tell_positions(&mut self, into: &mut Vec<RecordBatch>) {
        let state = self.shared.state.read();
        for cursor in self.cursors.iter_mut().filter(|cursor| !cursor.paused) {
            let end = state.partition(cursor.id).map_or(0, |one| one.end);
            let now = (cursor.position, cursor.position >= end);
            if now.1 && cursor.told != Some(now) {
                let mut batch = self.spare.pop().unwrap_or_default();
                batch.reset(cursor.partition.clone());
                (batch.position, batch.at_end) = now;
                cursor.told = Some(now);
                into.push(batch);
            }
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        let mut state = self.shared.state.write();
        for cursor in &self.cursors {
            if let Some(partition) = state.partition_mut(cursor.id) {
                stop_watching(partition, &self.signal);
            }
        }
    }
}

fn stop_watching(partition: &mut Partition, signal: &Arc<Signal>) {
    partition
        .watchers
        .retain(|watcher| !Arc::ptr_eq(watcher, signal));
}

impl Cursor {
    fn new(partition: TopicPartition, id: PartitionId, position: Offset) -> Self {
        Self {
            partition,
            id,
            position,
            paused: false,
            told: None,
            open: None,
        }
    }

    fn check(&self, partition: &Partition) -> Result<(), LogError> {
        if (partition.start..=partition.end).contains(&self.position) {
            return Ok(());
        }
        Err(self.out_of_range(partition.start))
    }

    /// The error for a topic that was deleted, or made anew with other records.
    fn gone(&self, state: &super::state::State) -> LogError {
        match state.bounds(std::slice::from_ref(&self.partition)) {
            Ok(bounds) => self.out_of_range(bounds.first().map_or(0, |one| one.start)),
            Err(_) => no_topic(&self.partition.topic),
        }
    }

    fn out_of_range(&self, start: Offset) -> LogError {
        LogError::OffsetOutOfRange {
            partition: self.partition.clone(),
            wanted: self.position,
            start,
        }
    }

    /// Fills a batch with up to `bytes_max` bytes of records, at least one record.
    fn fill(
        &mut self,
        shared: &Shared,
        bytes_max: usize,
        mut batch: RecordBatch,
    ) -> Result<RecordBatch, LogError> {
        batch.reset(self.partition.clone());
        let bytes_max = bytes_max.max(1);
        while cost(&batch) < bytes_max {
            let open = match self.open.take() {
                Some(open) => open,
                None => match self.next(shared) {
                    Next::Section(section) => Open::new(section)?,
                    Next::End => break,
                },
            };
            self.open = self.read(open, bytes_max, &mut batch)?;
        }
        let end = shared.state.read().partition(self.id).map(|one| one.end);
        batch.position = self.position;
        batch.at_end = end.is_some_and(|end| self.position >= end);
        Ok(batch)
    }

    /// Skips silently what compaction has removed, but nothing that retention has: the next fetch
    /// finds that and answers an error.
    fn next(&mut self, shared: &Shared) -> Next {
        let state = shared.state.read();
        let partition = state.partition(self.id);
        let Some(partition) = partition.filter(|one| one.start <= self.position) else {
            return Next::End;
        };
        match partition.locate(self.position) {
            Some(section) => Next::Section(section.clone()),
            None => {
                self.position = self.position.max(partition.end);
                Next::End
            }
        }
    }

    /// Reads on in a section; answers it when there is more in it.
    fn read(
        &mut self,
        mut open: Open,
        bytes_max: usize,
        batch: &mut RecordBatch,
    ) -> Result<Option<Open>, LogError> {
        let mut records = open.section.records(&open.data, open.place);
        for record in records.by_ref() {
            if record.offset < self.position {
                continue;
            }
            batch.push(record);
            self.position = record.offset + 1;
            if cost(batch) >= bytes_max {
                break;
            }
        }
        if self.position > open.section.last() {
            return Ok(None);
        }
        // Only a full batch ends before the last record.
        if cost(batch) < bytes_max {
            return Err(open.section.segment.damaged(open.section.at));
        }
        open.place = records.place();
        Ok(Some(open))
    }
}

/// What a batch takes of the budget: its bytes, and something for each record.
fn cost(batch: &RecordBatch) -> usize {
    batch.bytes() + batch.len() * OVERHEAD
}

impl Open {
    fn new(section: Section) -> Result<Self, LogError> {
        Ok(Self {
            data: section.load()?,
            place: section.first(),
            section,
        })
    }
}

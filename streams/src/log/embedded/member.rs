//! Members: one seat of an application, and one transaction at a time.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::fetch::Fetcher;
use super::group::{Ticket, lost};
use super::membership;
use super::queue::Failure;
use super::shared::Shared;
use super::state::State;
use super::transaction::{self, Transaction};
use crate::log::{
    Assignment, Bounds, CommitError, Committed, CommittedOffset, HeldTasks, LogError, Member,
    Offset, OutputBatch, RecordBatch, Seat, TopicPartition,
};

/// A stream thread's seat.
#[derive(Debug)]
pub(super) struct EmbeddedMember {
    shared: Arc<Shared>,
    seat: Seat,
    ticket: Ticket,
    fetcher: Fetcher,
    transaction: Transaction,
}

impl EmbeddedMember {
    pub(super) fn join(shared: Arc<Shared>, seat: Seat) -> Result<Self, LogError> {
        let ticket = membership::join(&shared, &seat)?;
        Ok(Self {
            fetcher: Fetcher::new(Arc::clone(&shared), seat.fetch_bytes_max),
            shared,
            seat,
            ticket,
            transaction: Transaction::default(),
        })
    }

    fn check_tasks(
        &self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<(), CommitError> {
        let mut groups = self.shared.groups.lock();
        let fenced = |error: LogError| CommitError::Fenced(error.to_string());
        let group = groups.group_of(&self.ticket).map_err(fenced)?;
        let mut partitions = offsets.iter().map(|(partition, _)| partition);
        match partitions.find(|one| !group.may_commit(self.ticket.key, one)) {
            None => Ok(()),
            Some(partition) => Err(CommitError::Fenced(format!(
                "this member holds no task that reads `{partition}`"
            ))),
        }
    }

    /// The input offsets, and the ends of what repartition topics need to keep: nobody but this
    /// application reads them.
    fn offset_entries(&self, offsets: &[(TopicPartition, CommittedOffset)]) -> Vec<Entry> {
        let state = self.shared.state.read();
        let mut entries = Vec::with_capacity(offsets.len());
        for (partition, committed) in offsets {
            entries.push(Entry::Offset {
                application: Arc::clone(&self.seat.application),
                partition: partition.clone(),
                committed: committed.clone(),
            });
            entries.extend(self.purge_entry(&state, partition, committed.offset));
        }
        entries
    }

    fn purge_entry(
        &self,
        state: &State,
        partition: &TopicPartition,
        start: Offset,
    ) -> Option<Entry> {
        let mut subtopologies = self.seat.topology.subtopologies.iter();
        let is_repartition = subtopologies.any(|one| {
            let mut sources = one.repartition_sources.iter();
            sources.any(|topic| topic.name == partition.topic)
        });
        let partition = is_repartition.then(|| state.resolve(partition).ok())??;
        Some(Entry::Start { partition, start })
    }

    fn try_commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        let aborted = |error: LogError| CommitError::Aborted(error.to_string());
        self.transaction.check().map_err(aborted)?;
        self.check_tasks(offsets)?;
        let (targets, sections) = self.transaction.take();
        let entries = self.offset_entries(offsets);
        if sections.is_empty() && entries.is_empty() {
            return Ok(Committed::default());
        }
        let permit = Some(Arc::clone(&self.ticket.permit));
        match self.shared.write(sections, entries, permit) {
            Ok(lasts) => Ok(transaction::committed(&targets, &lasts)),
            Err(Failure::NotWritten(error)) => Err(CommitError::Aborted(error.to_string())),
            Err(Failure::Fenced) => Err(CommitError::Fenced(lost().to_string())),
            Err(Failure::Unknown(error)) => Err(CommitError::Unknown(error.to_string())),
        }
    }
}

impl Member for EmbeddedMember {
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        self.shared.check()?;
        membership::poll(&self.shared, &self.ticket)
    }

    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError> {
        self.shared.check()?;
        let mut groups = self.shared.groups.lock();
        groups
            .group_of(&self.ticket)?
            .confirm(self.ticket.key, held)
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.shared.check()?;
        let state = self.shared.state.read();
        Ok(state.committed(&self.seat.application, partitions))
    }

    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.shared.check()?;
        self.shared.state.read().bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.fetcher.assign(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.set_paused(partitions, false)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.fetcher.fetch(max_wait, into)
    }

    fn recycle(&mut self, batch: RecordBatch) {
        self.fetcher.recycle(batch);
    }

    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        let added = match self.shared.check() {
            Ok(()) => self.transaction.add(outputs, &self.shared),
            Err(stopped) => Err(stopped),
        };
        outputs.clear();
        added
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        let outcome = self.try_commit(offsets);
        if let Err(error) = &outcome {
            self.transaction.fail(error.to_string());
        }
        outcome
    }

    fn recover(&mut self) -> Result<(), LogError> {
        self.transaction.clear();
        self.shared.check()?;
        let mut groups = self.shared.groups.lock();
        groups.group_of(&self.ticket).map(|_| ())
    }

    fn rejoin(&mut self) -> Result<(), LogError> {
        self.shared.check()?;
        self.transaction.clear();
        self.fetcher.assign(&[])?;
        membership::leave(&self.shared, &self.ticket);
        self.ticket = membership::join(&self.shared, &self.seat)?;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.transaction.clear();
        membership::leave(&self.shared, &self.ticket);
        Ok(())
    }
}

impl Drop for EmbeddedMember {
    /// A thread that is gone cannot hold tasks.
    fn drop(&mut self) {
        membership::leave(&self.shared, &self.ticket);
    }
}

//! A stream thread's seat in a group: heartbeats, fetching, and transactions under one roof.

use std::sync::Arc;
use std::time::Duration;

use super::brokers::Brokers;
use super::failure::Cause;
use super::fetcher::Fetcher;
use super::ffi::GroupIdentity;
use super::heartbeat::Heartbeats;
use super::lists::list_to_commit;
use super::options::KafkaOptions;
use super::purge::Purge;
use super::transaction::Transactor;
use crate::log::{
    Assignment, Bounds, CommitError, Committed, CommittedOffset, HeldTasks, Isolation, LogError,
    Member, Offset, OutputBatch, RecordBatch, Seat, TopicPartition,
};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// [`Member`] on a Kafka cluster.
pub(super) struct KafkaMember {
    heartbeats: Heartbeats,
    transactor: Transactor,
    fetcher: Fetcher,
    purge: Purge,
    application: String,
    member_id: String,
}

impl KafkaMember {
    /// Begins to join, and to fence the member's former self. Does not block.
    pub(super) fn join(
        options: &KafkaOptions,
        brokers: &Arc<Brokers>,
        seat: &Seat,
    ) -> Result<Self, LogError> {
        let config = options.consumer(
            &seat.member_id,
            &seat.application,
            Isolation::ReadCommitted,
            seat.fetch_bytes_max,
        );
        let fetcher = Fetcher::start(&config, options.request_timeout)?;
        let transactor = Transactor::start(options, seat)?;
        let heartbeats =
            Heartbeats::start(Arc::clone(brokers), seat.clone(), options.rebalance_timeout)
                .map_err(|error| LogError::Unavailable(format!("no thread: {error}")))?;
        Ok(Self {
            heartbeats,
            transactor,
            fetcher,
            purge: Purge::new(options, seat),
            application: seat.application.to_string(),
            member_id: seat.member_id.clone(),
        })
    }
}

impl KafkaMember {
    /// In whose name to commit. The member may have been removed while its thread was busy: then
    /// nothing is sent at all.
    fn identity(
        &self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<GroupIdentity, CommitError> {
        self.heartbeats
            .check()
            .map_err(|error| CommitError::Fenced(error.to_string()))?;
        let partitions = offsets.iter().map(|(partition, _)| partition);
        let epoch = self.heartbeats.epoch_for(partitions).ok_or_else(|| {
            CommitError::Fenced("a partition belongs to a task of somebody else".into())
        })?;
        GroupIdentity::new(&self.application, epoch, &self.member_id)
            .map_err(|error| CommitError::Aborted(error.text))
    }
}

impl Member for KafkaMember {
    fn poll_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        self.heartbeats.check()?;
        // Until the former self is fenced, what can be read is not the truth.
        if !self.transactor.poll_ready()? {
            return Ok(None);
        }
        self.heartbeats.poll()
    }

    fn confirm(&mut self, held: &HeldTasks) -> Result<(), LogError> {
        // Tasks that come back were somebody else's meanwhile.
        self.fetcher.forget_questions();
        self.heartbeats.confirm(held)
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.transactor.await_ready()?;
        self.fetcher.committed(partitions)
    }

    fn poll_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        if !self.transactor.poll_ready()? {
            return Ok(None);
        }
        self.transactor.await_ready()?;
        self.fetcher.poll_committed(partitions)
    }

    fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.fetcher.bounds(partitions)
    }

    fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        self.fetcher.poll_bounds(partitions)
    }

    fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.fetcher.assign(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.fetcher.resume(partitions)
    }

    fn fetch(&mut self, max_wait: Duration, into: &mut Vec<RecordBatch>) -> Result<(), LogError> {
        self.fetcher.fetch(max_wait, into)
    }

    fn recycle(&mut self, batch: RecordBatch) {
        self.fetcher.recycle(batch);
    }

    fn send(&mut self, outputs: &mut OutputBatch) -> Result<(), LogError> {
        if outputs.is_empty() {
            return Ok(());
        }
        self.transactor.send(outputs)
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<Committed, CommitError> {
        self.fetcher.forget_committed(offsets);
        let group = self.identity(offsets).inspect_err(|_| {
            self.transactor.refuse();
        })?;
        let result = self.transactor.commit(list_to_commit(offsets), group);
        if let Err(error) = &result {
            tracing::info!(member = self.member_id, %error, "a commit failed");
            if self.transactor.cause() == Cause::UnknownMember {
                self.heartbeats.lose(&error.to_string());
            }
        } else {
            self.purge.committed(offsets);
        }
        result
    }

    fn recover(&mut self) -> Result<(), LogError> {
        self.fetcher.forget_questions();
        let recovered = self.transactor.recover();
        if let Err(LogError::MemberLost(why)) = &recovered {
            self.heartbeats.lose(why);
        }
        recovered?;
        self.heartbeats.check()
    }

    fn rejoin(&mut self) -> Result<(), LogError> {
        self.fetcher.forget_questions();
        self.fetcher.assign(&[])?;
        self.transactor.restart()?;
        self.heartbeats.rejoin();
        Ok(())
    }

    fn leave(&mut self) -> Result<(), LogError> {
        self.transactor.close();
        self.fetcher.assign(&[])?;
        self.heartbeats.leave(GOODBYE)
    }
}

/// Reads the offsets of a group without being its member.
pub(super) fn committed_offsets(
    options: &KafkaOptions,
    application: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<CommittedOffset>>, LogError> {
    let config = options.consumer(
        "millrace-offsets",
        application,
        Isolation::ReadCommitted,
        1 << 20,
    );
    Fetcher::start(&config, options.request_timeout)?.committed(partitions)
}

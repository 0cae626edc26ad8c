//! Reads assigned partitions into batches: the half that members and readers have in common.

use std::time::Duration;

use rdkafka::Offset as KafkaOffset;
use rdkafka::config::ClientConfig;

use super::ffi::{Consumer, NativeError};
use super::inquiry::Inquiry;
use super::lists::{list_at, list_of};
use super::questions::Questions;
use super::sorter::{Failure, Seat, Seats};
use crate::log::{Bounds, CommittedOffset, LogError, Offset, RecordBatch, TopicPartition};

/// Messages per fetch: enough to make a call cheap, few enough to come back soon.
const MESSAGES_PER_FETCH: usize = 4_096;
/// How long to wait for what is polled for. Others wait for their turn behind it.
const POLLED: Duration = Duration::from_millis(500);

/// A consumer, what it is assigned, and how far it has read.
pub(super) struct Fetcher {
    consumer: Consumer,
    inquiry: Inquiry,
    committed: Questions<Vec<Option<CommittedOffset>>>,
    bounds: Questions<Vec<Bounds>>,
    seats: Seats,
}

impl Fetcher {
    /// A fetcher with nothing assigned. A question to the cluster may take `timeout`.
    pub(super) fn start(config: &ClientConfig, timeout: Duration) -> Result<Self, LogError> {
        let consumer = Consumer::start(config).map_err(config_error)?;
        Ok(Self {
            inquiry: Inquiry::new(consumer.inquirer(), timeout),
            consumer,
            committed: Questions::new("committed-offsets"),
            bounds: Questions::new("bounds"),
            seats: Seats::default(),
        })
    }

    /// The first offset and the ends, in the order of `partitions`.
    pub(super) fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, LogError> {
        self.inquiry.bounds(partitions)
    }

    /// As [`Fetcher::bounds`], without waiting: `None` until the answer is there.
    pub(super) fn poll_bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Bounds>>, LogError> {
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let inquiry = self.inquiry.within(POLLED);
        self.bounds
            .poll(partitions, move |partitions| inquiry.bounds(partitions))
    }

    /// The offsets that the consumer's group has committed, in the order of `partitions`.
    pub(super) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        self.inquiry.committed(partitions)
    }

    /// As [`Fetcher::committed`], without waiting: `None` until the answer is there.
    pub(super) fn poll_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Option<CommittedOffset>>>, LogError> {
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let inquiry = self.inquiry.within(POLLED);
        self.committed
            .poll(partitions, move |partitions| inquiry.committed(partitions))
    }

    /// What was asked for before may not be true any more.
    pub(super) fn forget_questions(&mut self) {
        self.committed.forget();
        self.bounds.forget();
    }

    /// The same, where it is about partitions for which an offset is committed.
    pub(super) fn forget_committed(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) {
        let is_committed = |asked: &TopicPartition| offsets.iter().any(|(one, _)| one == asked);
        self.committed.forget_about(is_committed);
    }

    /// Replaces the assignment. What stays where it is goes on without being fetched again.
    pub(super) fn assign(&mut self, wanted: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        wanted
            .iter()
            .try_for_each(|(partition, _)| self.inquiry.check_exists(partition))?;
        let (removed, added) = self.seats.replace(wanted);
        self.remove(&removed)?;
        self.add(&added)
    }

    fn remove(&self, seats: &[Seat]) -> Result<(), LogError> {
        if seats.is_empty() {
            return Ok(());
        }
        // A pause would outlive the assignment.
        let stopped = seats.iter().filter(|seat| seat.stopped);
        let stopped = list_of(stopped.map(|seat| &seat.partition));
        if stopped.count() > 0 {
            self.consumer.resume(&stopped).map_err(unavailable)?;
        }
        let list = list_of(seats.iter().map(|seat| &seat.partition));
        self.consumer.remove(&list).map_err(unavailable)
    }

    fn add(&self, wanted: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let at = wanted.iter();
        let list = list_at(at.map(|(p, offset)| (p, KafkaOffset::Offset(*offset))));
        self.consumer.add(&list).map_err(unavailable)
    }

    /// Stops fetching these partitions.
    pub(super) fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.seats.set_paused(partitions, true)
    }

    /// Goes on fetching them.
    pub(super) fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.seats.set_paused(partitions, false)
    }

    /// Tells the client which partitions to stop, and which to go on with.
    fn apply_pauses(&mut self) -> Result<(), LogError> {
        let stop = list_of(self.seats.to_stop(true));
        if stop.count() > 0 {
            self.consumer.pause(&stop).map_err(unavailable)?;
        }
        let go_on = list_of(self.seats.to_stop(false));
        if go_on.count() > 0 {
            self.consumer.resume(&go_on).map_err(unavailable)?;
        }
        self.seats.note_stopped();
        Ok(())
    }

    /// Appends what arrived to `into`, at most one batch per partition.
    pub(super) fn fetch(
        &mut self,
        max_wait: Duration,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        self.tell_failure()?;
        if self.seats.is_pausing() {
            self.apply_pauses()?;
        }
        let max_wait = if self.seats.owes_end() {
            Duration::ZERO
        } else {
            max_wait
        };
        let before = into.len();
        let mut sorter = self.seats.sort(into);
        self.consumer
            .drain(max_wait, MESSAGES_PER_FETCH, |message| sorter.take(message));
        sorter.finish();
        // Records first: an error behind them is told by the next fetch.
        if into.len() > before {
            return Ok(());
        }
        self.tell_failure()
    }

    /// The client tells an error once, and reads no further: it stays until it is told whole.
    fn tell_failure(&mut self) -> Result<(), LogError> {
        let (partition, wanted) = match self.seats.take_failure() {
            None => return Ok(()),
            Some(Failure::Other(error)) => return Err(error),
            Some(Failure::OutOfRange(partition, wanted)) => (partition, wanted),
        };
        match self.bounds(std::slice::from_ref(&partition)) {
            Err(error) => {
                self.seats
                    .keep_failure(Failure::OutOfRange(partition, wanted));
                Err(error)
            }
            Ok(bounds) => Err(LogError::OffsetOutOfRange {
                partition,
                wanted,
                start: bounds.first().map_or(0, |bounds| bounds.start),
            }),
        }
    }

    /// Takes a batch back.
    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        self.seats.recycle(batch);
    }
}

pub(super) fn config_error(error: NativeError) -> LogError {
    LogError::Config(error.text)
}

pub(super) fn unavailable(error: NativeError) -> LogError {
    LogError::Unavailable(error.text)
}

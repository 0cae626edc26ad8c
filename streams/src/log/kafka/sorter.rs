//! The partitions that a consumer is assigned, and how its messages become one batch for each.

use std::collections::HashMap;
use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;

use super::ffi::Message;
use crate::headers::HeaderList;
use crate::log::{LogError, Offset, RawRecord, RecordBatch, TopicPartition};

/// Used-up batches that are kept to be filled again.
const SPARE_BATCHES: usize = 64;

/// The assigned partitions, and what is needed to sort their messages.
#[derive(Default)]
pub(super) struct Seats {
    list: Vec<Seat>,
    /// Topic and partition to the place in `list`.
    places: HashMap<Arc<str>, HashMap<i32, usize>>,
    /// An error that came behind records.
    failure: Option<Failure>,
    spare: Vec<RecordBatch>,
    headers: HeaderList,
}

/// An assigned partition.
pub(super) struct Seat {
    pub(super) partition: TopicPartition,
    position: Offset,
    /// It is to bring nothing for the time being.
    paused: bool,
    /// The client has been told so. Telling it costs what was fetched ahead, so that waits until
    /// the next fetch: a pause that was taken back by then costs nothing.
    pub(super) stopped: bool,
    /// The client has given it up after an error; only a new assignment brings it back.
    broken: bool,
    /// `position` was the end when it was last heard of.
    at_end: bool,
    /// Whoever has assigned it anew has not been told so. The client tells an end only once.
    owes_end: bool,
}

/// Why a partition brings nothing.
pub(super) enum Failure {
    /// The offset to read next is gone.
    OutOfRange(TopicPartition, Offset),
    /// Something else.
    Other(LogError),
}

impl Seat {
    fn new(partition: TopicPartition, position: Offset) -> Self {
        Self {
            partition,
            position,
            paused: false,
            stopped: false,
            broken: false,
            at_end: false,
            owes_end: false,
        }
    }

    /// Goes on for a new assignment.
    fn renewed(self) -> Self {
        Self {
            paused: false,
            owes_end: self.at_end,
            ..self
        }
    }
}

impl Seats {
    /// Replaces the partitions; none is paused afterwards. Answers those to remove from the client,
    /// and those to add: what is at its wanted position already is neither.
    pub(super) fn replace(
        &mut self,
        wanted: &[(TopicPartition, Offset)],
    ) -> (Vec<Seat>, Vec<(TopicPartition, Offset)>) {
        let stays = |seat: &Seat| {
            let at = |(partition, offset): &(TopicPartition, Offset)| {
                *partition == seat.partition && *offset == seat.position
            };
            !seat.broken && wanted.iter().any(at)
        };
        let (kept, removed): (Vec<_>, Vec<_>) = self.list.drain(..).partition(stays);
        let is_kept = |partition: &TopicPartition| kept.iter().any(|s| s.partition == *partition);
        let added = wanted.iter().filter(|(p, _)| !is_kept(p));
        let added: Vec<_> = added.cloned().collect();
        let fresh = added.iter().cloned();
        let fresh = fresh.map(|(partition, position)| Seat::new(partition, position));
        self.list = kept.into_iter().map(Seat::renewed).chain(fresh).collect();
        self.failure = None;
        self.index();
        (removed, added)
    }

    fn index(&mut self) {
        self.places.clear();
        for (place, seat) in self.list.iter().enumerate() {
            let topic = Arc::clone(&seat.partition.topic);
            let numbers = self.places.entry(topic).or_default();
            numbers.insert(seat.partition.partition, place);
        }
    }

    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        self.places.get(topic)?.get(&partition).copied()
    }

    /// Notes which partitions are to bring nothing.
    pub(super) fn set_paused(
        &mut self,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<(), LogError> {
        for partition in partitions {
            let place = self.place(&partition.topic, partition.partition);
            let seat = place
                .and_then(|place| self.list.get_mut(place))
                .ok_or_else(|| LogError::Config(format!("`{partition}` is not assigned")))?;
            seat.paused = paused;
        }
        Ok(())
    }

    /// True if the client does not know yet what is paused.
    pub(super) fn is_pausing(&self) -> bool {
        self.list.iter().any(|seat| seat.paused != seat.stopped)
    }

    /// What the client is to stop, or to go on with.
    pub(super) fn to_stop(&self, stop: bool) -> impl Iterator<Item = &TopicPartition> {
        self.list
            .iter()
            .filter(move |seat| seat.paused == stop && seat.stopped != stop)
            .map(|seat| &seat.partition)
    }

    /// The client knows what is paused.
    pub(super) fn note_stopped(&mut self) {
        for seat in &mut self.list {
            seat.stopped = seat.paused;
        }
    }

    /// True if there is an end to be told again.
    pub(super) fn owes_end(&self) -> bool {
        self.list.iter().any(|seat| seat.owes_end)
    }

    /// The first error since the last call.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Keeps an error for the next call.
    pub(super) fn keep_failure(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// Takes a batch back.
    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        if self.spare.len() < SPARE_BATCHES {
            self.spare.push(batch);
        }
    }

    /// Begins to sort messages into batches, which are appended to `into`.
    pub(super) fn sort<'a>(&'a mut self, into: &'a mut Vec<RecordBatch>) -> Sorter<'a> {
        Sorter {
            seats: self,
            into,
            filled: Vec::new(),
            last: None,
        }
    }
}

/// Sorts the messages of one fetch into batches by partition.
pub(super) struct Sorter<'a> {
    seats: &'a mut Seats,
    into: &'a mut Vec<RecordBatch>,
    /// Which batch of `into` belongs to which seat.
    filled: Vec<(usize, usize)>,
    /// The topic and partition of the message before, with its seat and batch: messages come in
    /// runs of one partition.
    last: Option<(usize, i32, usize, usize)>,
}

impl Sorter<'_> {
    /// Takes in the next message.
    pub(super) fn take(&mut self, message: &Message<'_>) {
        match message.error() {
            None => self.record(message),
            Some(RDKafkaErrorCode::PartitionEOF) => self.end(message),
            Some(error) => self.error(message, error),
        }
    }

    /// Tells again where partitions end that were assigned anew, and brought nothing.
    pub(super) fn finish(mut self) {
        if !self.seats.owes_end() {
            return;
        }
        for place in 0..self.seats.list.len() {
            let told = self.filled.iter().any(|(filled, _)| *filled == place);
            if self.collect_debt(place)
                && !told
                && let Some(batch) = self.batch_of(place)
                && let Some(batch) = self.into.get_mut(batch)
            {
                batch.at_end = true;
            }
        }
    }

    fn collect_debt(&mut self, place: usize) -> bool {
        let seat = self.seats.list.get_mut(place);
        seat.is_some_and(|seat| std::mem::take(&mut seat.owes_end) && seat.at_end)
    }

    fn record(&mut self, message: &Message<'_>) {
        let Some((seat, batch)) = self.target(message) else {
            return;
        };
        let headers = &mut self.seats.headers;
        headers.clear();
        message.copy_headers(headers);
        let (seat, batch) = (self.seats.list.get_mut(seat), self.into.get_mut(batch));
        let (Some(seat), Some(batch)) = (seat, batch) else {
            return;
        };
        if message.offset() < seat.position {
            return;
        }
        batch.push(RawRecord {
            offset: message.offset(),
            timestamp: message.timestamp(),
            headers: headers.view(),
            key: message.key(),
            value: message.value(),
        });
        seat.position = batch.position;
        (batch.at_end, seat.at_end) = (false, false);
    }

    fn end(&mut self, message: &Message<'_>) {
        let Some((seat, batch)) = self.target(message) else {
            return;
        };
        let (seat, batch) = (self.seats.list.get_mut(seat), self.into.get_mut(batch));
        if let (Some(seat), Some(batch)) = (seat, batch) {
            // Markers behind the last record take offsets too.
            seat.position = seat.position.max(message.offset());
            batch.position = seat.position;
            (batch.at_end, seat.at_end) = (true, true);
        }
    }

    fn error(&mut self, message: &Message<'_>, error: RDKafkaErrorCode) {
        let text = message.value().map(String::from_utf8_lossy);
        let text = text.unwrap_or_default();
        let seat = self.seat(message);
        let Some(seat) = seat.and_then(|place| self.seats.list.get_mut(place)) else {
            // About no partition of ours: brokers that come and go.
            tracing::debug!(%error, %text, "the consumer reports");
            return;
        };
        seat.broken = true;
        let failure = match error {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                Failure::OutOfRange(seat.partition.clone(), seat.position)
            }
            _ => {
                let text = format!("`{}`: {error}: {text}", seat.partition);
                Failure::Other(LogError::Unavailable(text))
            }
        };
        self.seats.failure.get_or_insert(failure);
    }

    fn seat(&self, message: &Message<'_>) -> Option<usize> {
        self.seats.place(message.topic()?, message.partition())
    }

    /// The seat and the batch of a message; `None` if its partition is not assigned any more.
    fn target(&mut self, message: &Message<'_>) -> Option<(usize, usize)> {
        let (topic, partition) = (message.topic_address(), message.partition());
        if let Some((t, p, seat, batch)) = self.last
            && (t, p) == (topic, partition)
        {
            return Some((seat, batch));
        }
        let seat = self.seat(message)?;
        let batch = self.batch_of(seat)?;
        self.last = Some((topic, partition, seat, batch));
        Some((seat, batch))
    }

    fn batch_of(&mut self, seat: usize) -> Option<usize> {
        if let Some((_, batch)) = self.filled.iter().find(|(filled, _)| *filled == seat) {
            return Some(*batch);
        }
        let mut batch = self.seats.spare.pop().unwrap_or_default();
        let reader = self.seats.list.get(seat)?;
        batch.reset(reader.partition.clone());
        batch.position = reader.position;
        self.into.push(batch);
        self.filled.push((seat, self.into.len() - 1));
        Some(self.into.len() - 1)
    }
}

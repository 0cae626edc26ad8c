//! Reads assigned partitions into batches: the half that members and readers have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::ffi::{Consumer, Message, NativeError};
use crate::headers::HeaderList;
use crate::log::{
    Bounds, CommittedOffset, LogError, Offset, RawRecord, RecordBatch, TopicPartition,
};

/// Messages per fetch: enough to make a call cheap, few enough to come back soon.
const MESSAGES_PER_FETCH: usize = 4_096;
/// Used-up batches that are kept to be filled again.
const SPARE_BATCHES: usize = 64;
/// How long a topic that was made a moment ago may be unknown to some broker.
const TOPIC_GRACE: Duration = Duration::from_secs(5);
/// How long to wait for one answer. The library may miss that a coordinator is back, and sleep on
/// until its time is up.
const ONE_ANSWER: Duration = Duration::from_secs(2);
/// How soon to ask again after a passing error.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A consumer, what it is assigned, and how far it has read.
pub(super) struct Fetcher {
    consumer: Consumer,
    timeout: Duration,
    seats: Vec<Seat>,
    /// Topic and partition to the place in `seats`.
    places: HashMap<Arc<str>, HashMap<i32, usize>>,
    /// Topics that are known to exist, with their partitions.
    partitions: HashMap<Arc<str>, i32>,
    /// An error that came behind records; the next fetch tells it.
    failure: Option<Failure>,
    spare: Vec<RecordBatch>,
    headers: HeaderList,
}

/// An assigned partition.
struct Seat {
    partition: TopicPartition,
    position: Offset,
    /// It is to bring nothing for the time being.
    paused: bool,
    /// The client has been told so. Telling it costs what was fetched ahead, so that waits until
    /// the next fetch: a pause that was taken back by then costs nothing.
    stopped: bool,
    /// The client has given it up after an error; only a new assignment brings it back.
    broken: bool,
    /// `position` was the end when it was last heard of.
    at_end: bool,
    /// Whoever has assigned it anew has not been told so. The client tells an end only once.
    owes_end: bool,
}

enum Failure {
    /// The offset to read next is gone.
    OutOfRange(TopicPartition, Offset),
    Other(LogError),
}

impl Fetcher {
    /// A fetcher with nothing assigned. A question to the cluster may take `timeout`.
    pub(super) fn start(config: &ClientConfig, timeout: Duration) -> Result<Self, LogError> {
        Ok(Self {
            consumer: Consumer::start(config).map_err(config_error)?,
            timeout,
            seats: Vec::new(),
            places: HashMap::new(),
            partitions: HashMap::new(),
            failure: None,
            spare: Vec::new(),
            headers: HeaderList::new(),
        })
    }

    /// The first offset and the end, in the order of `partitions`.
    pub(super) fn bounds(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Bounds>, LogError> {
        partitions
            .iter()
            .try_for_each(|partition| self.check_exists(partition))?;
        let starts = self.offsets_at(partitions, KafkaOffset::Beginning)?;
        let ends = self.offsets_at(partitions, KafkaOffset::End)?;
        let bounds = starts.into_iter().zip(ends);
        Ok(bounds.map(|(start, end)| Bounds { start, end }).collect())
    }

    /// The offsets that the consumer's group has committed, in the order of `partitions`.
    pub(super) fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = self.patiently(|consumer, timeout| {
            let list = list_of(partitions);
            consumer.committed(&list, timeout)?;
            Ok(list)
        })?;
        list.elements()
            .iter()
            .map(|element| {
                element
                    .error()
                    .map_err(|error| LogError::Unavailable(error.to_string()))?;
                Ok(match element.offset() {
                    KafkaOffset::Offset(offset) => Some(CommittedOffset {
                        offset,
                        metadata: element.metadata().to_owned(),
                    }),
                    _ => None,
                })
            })
            .collect()
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time: KafkaOffset,
    ) -> Result<Vec<Offset>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        self.patiently(|consumer, timeout| {
            let list = list_at(partitions.iter().map(|partition| (partition, time)));
            consumer.offsets_for_times(&list, timeout)?;
            let elements = list.elements();
            let offsets = elements.iter().map(|element| match element.offset() {
                KafkaOffset::Offset(offset) if element.error().is_ok() => Ok(offset),
                _ => Err(NativeError::not_ready()),
            });
            offsets.collect()
        })
    }

    /// Asks until there is an answer, while leaders move and coordinators load.
    fn patiently<T>(
        &self,
        ask: impl Fn(&Consumer, Duration) -> Result<T, NativeError>,
    ) -> Result<T, LogError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            match ask(&self.consumer, rest.min(ONE_ANSWER)) {
                Ok(answer) => return Ok(answer),
                Err(error) if is_final(error.code) => return Err(config_error(error)),
                Err(error) if rest <= RETRY_PAUSE => {
                    return Err(LogError::Unavailable(error.to_string()));
                }
                Err(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    fn check_exists(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        let count = match self.partitions.get(&partition.topic) {
            Some(count) if partition.partition < *count => *count,
            _ => self.count_partitions(&partition.topic)?,
        };
        if (0..count).contains(&partition.partition) {
            return Ok(());
        }
        Err(LogError::Config(format!(
            "`{partition}` does not exist: `{}` has {count} partitions",
            partition.topic
        )))
    }

    fn count_partitions(&mut self, topic: &Arc<str>) -> Result<i32, LogError> {
        let deadline = Instant::now() + TOPIC_GRACE.min(self.timeout);
        loop {
            match self.patiently(|consumer, wait| consumer.partition_count(topic, wait))? {
                Some(count) => {
                    self.partitions.insert(Arc::clone(topic), count);
                    return Ok(count);
                }
                None if Instant::now() < deadline => std::thread::sleep(RETRY_PAUSE),
                None => {
                    let text = format!("topic `{topic}` does not exist: create it");
                    return Err(LogError::Config(text));
                }
            }
        }
    }

    /// Replaces the assignment. What stays where it is goes on without being fetched again.
    pub(super) fn assign(&mut self, wanted: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        wanted
            .iter()
            .try_for_each(|(partition, _)| self.check_exists(partition))?;
        let stays = |seat: &Seat| {
            let at = |(partition, offset): &(TopicPartition, Offset)| {
                *partition == seat.partition && *offset == seat.position
            };
            !seat.broken && wanted.iter().any(at)
        };
        let (mut kept, removed): (Vec<_>, Vec<_>) = self.seats.drain(..).partition(stays);
        for seat in &mut kept {
            seat.paused = false;
            seat.owes_end = seat.at_end;
        }
        let is_kept = |partition: &TopicPartition| kept.iter().any(|s| s.partition == *partition);
        let added: Vec<_> = wanted
            .iter()
            .filter(|(p, _)| !is_kept(p))
            .cloned()
            .collect();
        self.seats = kept;
        self.failure = None;
        self.remove(removed)?;
        self.add(added)?;
        self.index();
        Ok(())
    }

    #[expect(clippy::needless_pass_by_value, reason = "who is removed is gone")]
    fn remove(&mut self, seats: Vec<Seat>) -> Result<(), LogError> {
        if seats.is_empty() {
            return Ok(());
        }
        // A pause would outlive the assignment.
        let paused = seats
            .iter()
            .filter(|seat| seat.paused)
            .map(|seat| &seat.partition);
        let stopped = list_of(paused);
        if stopped.count() > 0 {
            self.consumer.resume(&stopped).map_err(unavailable)?;
        }
        let list = list_of(seats.iter().map(|seat| &seat.partition));
        self.consumer.remove(&list).map_err(unavailable)
    }

    fn add(&mut self, wanted: Vec<(TopicPartition, Offset)>) -> Result<(), LogError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let list = list_at(
            wanted
                .iter()
                .map(|(p, offset)| (p, KafkaOffset::Offset(*offset))),
        );
        self.consumer.add(&list).map_err(unavailable)?;
        self.seats
            .extend(wanted.into_iter().map(|(partition, position)| Seat {
                partition,
                position,
                paused: false,
                stopped: false,
                broken: false,
                at_end: false,
                owes_end: false,
            }));
        Ok(())
    }

    fn index(&mut self) {
        self.places.clear();
        for (index, seat) in self.seats.iter().enumerate() {
            let places = self
                .places
                .entry(Arc::clone(&seat.partition.topic))
                .or_default();
            places.insert(seat.partition.partition, index);
        }
    }

    /// Stops fetching these partitions.
    pub(super) fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.set_paused(partitions, true)
    }

    /// Goes on fetching them.
    pub(super) fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError> {
        for partition in partitions {
            let place = self.place(&partition.topic, partition.partition);
            let seat = place
                .and_then(|place| self.seats.get_mut(place))
                .ok_or_else(|| LogError::Config(format!("`{partition}` is not assigned")))?;
            seat.paused = paused;
        }
        Ok(())
    }

    /// Tells the client which partitions to stop, and which to go on with.
    fn apply_pauses(&mut self) -> Result<(), LogError> {
        if self.seats.iter().all(|seat| seat.paused == seat.stopped) {
            return Ok(());
        }
        let changed = |stop: bool| {
            let seats = self.seats.iter();
            list_of(
                seats
                    .filter(|seat| seat.paused == stop && seat.stopped != stop)
                    .map(|seat| &seat.partition),
            )
        };
        let (stop, go_on) = (changed(true), changed(false));
        if stop.count() > 0 {
            self.consumer.pause(&stop).map_err(unavailable)?;
        }
        if go_on.count() > 0 {
            self.consumer.resume(&go_on).map_err(unavailable)?;
        }
        for seat in &mut self.seats {
            seat.stopped = seat.paused;
        }
        Ok(())
    }

    fn place(&self, topic: &str, partition: i32) -> Option<usize> {
        self.places.get(topic)?.get(&partition).copied()
    }

    /// Appends what arrived to `into`, at most one batch per partition.
    pub(super) fn fetch(
        &mut self,
        max_wait: Duration,
        into: &mut Vec<RecordBatch>,
    ) -> Result<(), LogError> {
        if let Some(failure) = self.failure.take() {
            return Err(self.explain(failure));
        }
        self.apply_pauses()?;
        let owes_end = self.seats.iter().any(|seat| seat.owes_end);
        let max_wait = if owes_end { Duration::ZERO } else { max_wait };
        let mut sorter = Sorter {
            seats: &mut self.seats,
            places: &self.places,
            spare: &mut self.spare,
            headers: &mut self.headers,
            failure: &mut self.failure,
            into,
            filled: Vec::new(),
            last: None,
        };
        self.consumer
            .drain(max_wait, MESSAGES_PER_FETCH, |message| {
                sorter.take(message);
            });
        if owes_end {
            sorter.tell_ends();
        }
        let silent = sorter.filled.is_empty();
        match self.failure.take() {
            // Records first: the error is told by the next fetch.
            Some(failure) if !silent => self.failure = Some(failure),
            Some(failure) => return Err(self.explain(failure)),
            None => {}
        }
        Ok(())
    }

    fn explain(&mut self, failure: Failure) -> LogError {
        match failure {
            Failure::Other(error) => error,
            Failure::OutOfRange(partition, wanted) => {
                match self.bounds(std::slice::from_ref(&partition)) {
                    Err(error) => error,
                    Ok(bounds) => LogError::OffsetOutOfRange {
                        partition,
                        wanted,
                        start: bounds.first().map_or(0, |bounds| bounds.start),
                    },
                }
            }
        }
    }

    /// Takes a batch back.
    pub(super) fn recycle(&mut self, batch: RecordBatch) {
        if self.spare.len() < SPARE_BATCHES {
            self.spare.push(batch);
        }
    }
}

/// Sorts the messages of one fetch into batches by partition.
struct Sorter<'a> {
    seats: &'a mut Vec<Seat>,
    places: &'a HashMap<Arc<str>, HashMap<i32, usize>>,
    spare: &'a mut Vec<RecordBatch>,
    headers: &'a mut HeaderList,
    failure: &'a mut Option<Failure>,
    into: &'a mut Vec<RecordBatch>,
    /// Which batch of `into` belongs to which seat.
    filled: Vec<(usize, usize)>,
    /// The topic and partition of the message before, with its seat and batch: messages come in
    /// runs of one partition.
    last: Option<(usize, i32, usize, usize)>,
}

impl Sorter<'_> {
    fn take(&mut self, message: &Message<'_>) {
        match message.error() {
            None => self.record(message),
            Some(RDKafkaErrorCode::PartitionEOF) => self.end(message),
            Some(error) => self.error(message, error),
        }
    }

    fn record(&mut self, message: &Message<'_>) {
        let Some((seat, batch)) = self.target(message) else {
            return;
        };
        self.headers.clear();
        message.copy_headers(self.headers);
        let (Some(seat), Some(batch)) = (self.seats.get_mut(seat), self.into.get_mut(batch)) else {
            return;
        };
        if message.offset() < seat.position {
            return;
        }
        batch.push(RawRecord {
            offset: message.offset(),
            timestamp: message.timestamp(),
            headers: self.headers.view(),
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
        if let (Some(seat), Some(batch)) = (self.seats.get_mut(seat), self.into.get_mut(batch)) {
            // Markers behind the last record take offsets too.
            seat.position = seat.position.max(message.offset());
            batch.position = seat.position;
            (batch.at_end, seat.at_end) = (true, true);
        }
    }

    /// Tells again where partitions end that were assigned anew, and brought nothing.
    fn tell_ends(&mut self) {
        for place in 0..self.seats.len() {
            let Some(seat) = self.seats.get_mut(place) else {
                continue;
            };
            let owed = std::mem::take(&mut seat.owes_end) && seat.at_end;
            let told = self.filled.iter().any(|(filled, _)| *filled == place);
            if owed
                && !told
                && let Some(batch) = self.batch_of(place)
                && let Some(batch) = self.into.get_mut(batch)
            {
                batch.at_end = true;
            }
        }
    }

    fn error(&mut self, message: &Message<'_>, error: RDKafkaErrorCode) {
        let text = message
            .value()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let topic = message.topic().unwrap_or_default();
        let seat = self
            .seat(message)
            .and_then(|place| self.seats.get_mut(place));
        let Some(seat) = seat else {
            // About no partition of ours: brokers that come and go.
            tracing::debug!(%error, topic, %text, "the consumer reports");
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
        self.failure.get_or_insert(failure);
    }

    fn seat(&self, message: &Message<'_>) -> Option<usize> {
        let places = self.places.get(message.topic()?)?;
        places.get(&message.partition()).copied()
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
        let mut batch = self.spare.pop().unwrap_or_default();
        let reader = self.seats.get(seat)?;
        batch.reset(reader.partition.clone());
        batch.position = reader.position;
        self.into.push(batch);
        self.filled.push((seat, self.into.len() - 1));
        Some(self.into.len() - 1)
    }
}

fn list_of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    list_at(
        partitions
            .into_iter()
            .map(|partition| (partition, KafkaOffset::Invalid)),
    )
}

fn list_at<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, KafkaOffset)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        // Only an offset of a kind that does not occur here is refused.
        let _ = element.set_offset(offset);
    }
    list
}

/// A list of offsets to commit, with their metadata.
pub(super) fn list_to_commit(offsets: &[(TopicPartition, CommittedOffset)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, committed) in offsets {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        let _ = element.set_offset(KafkaOffset::Offset(committed.offset));
        element.set_metadata(&committed.metadata);
    }
    list
}

/// Errors that asking again does not mend.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidArgument
    )
}

pub(super) fn config_error(error: NativeError) -> LogError {
    LogError::Config(error.text)
}

fn unavailable(error: NativeError) -> LogError {
    LogError::Unavailable(error.text)
}

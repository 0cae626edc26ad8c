//! The way from an output batch into the producer's queue, and the offsets back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::ffi::{NativeError, Outgoing, Producer, TopicHandle};
use crate::log::{Committed, LogError, OutputBatch, OutputRecord, TopicSlot};

/// How long to serve delivery reports before a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(2);
/// What a record takes on the wire beside its own bytes, at most.
const RECORD_OVERHEAD: usize = 64;

/// The topics that a producer writes to.
///
/// A lane is one partition of one topic; lanes count from 0, and tell a delivery report whose
/// offset it brings.
pub(super) struct Outbox {
    topics: Vec<Topic>,
    /// For each slot of the batch: the place in `topics`.
    slots: Vec<usize>,
    /// For each lane: the place in `topics`, and the partition.
    lanes: Vec<(usize, i32)>,
    offsets: Vec<i64>,
    producer: Arc<Producer>,
}

struct Topic {
    name: Arc<str>,
    handle: TopicHandle,
    slot: TopicSlot,
    /// The lane of each partition.
    lanes: Vec<Option<usize>>,
}

impl Outbox {
    /// An outbox without topics.
    pub(super) fn new(producer: &Arc<Producer>) -> Self {
        Self {
            topics: Vec::new(),
            slots: Vec::new(),
            lanes: Vec::new(),
            offsets: Vec::new(),
            producer: Arc::clone(producer),
        }
    }

    /// Refuses a batch that holds a record over `limit` bytes.
    pub(super) fn check_sizes(outputs: &OutputBatch, limit: usize) -> Result<(), LogError> {
        if outputs.bytes() + RECORD_OVERHEAD <= limit {
            return Ok(());
        }
        let too_large = outputs.iter().find(|record| size_of_record(record) > limit);
        too_large.map_or(Ok(()), |record| {
            Err(LogError::RecordTooLarge {
                topic: outputs
                    .topic_name(record.topic)
                    .cloned()
                    .unwrap_or_else(|| "".into()),
                bytes: size_of_record(&record),
                limit,
            })
        })
    }

    /// Puts the records into the producer's queue; waits up to `patience` for room in it.
    pub(super) fn send(
        &mut self,
        outputs: &OutputBatch,
        patience: Duration,
    ) -> Result<(), NativeError> {
        self.learn_slots(outputs)?;
        for record in outputs.iter() {
            self.produce(&record, patience)?;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// A batch may have other slots than the one before; mostly it is the same.
    fn learn_slots(&mut self, outputs: &OutputBatch) -> Result<(), NativeError> {
        self.slots.clear();
        for (slot, name) in (0..).map(TopicSlot).zip(outputs.topics()) {
            let known = self
                .topics
                .iter()
                .position(|topic| Arc::ptr_eq(&topic.name, name) || topic.name == *name);
            let place = match known {
                Some(place) => place,
                None => self.open(name, slot)?,
            };
            if let Some(topic) = self.topics.get_mut(place) {
                topic.slot = slot;
            }
            self.slots.push(place);
        }
        Ok(())
    }

    fn open(&mut self, name: &Arc<str>, slot: TopicSlot) -> Result<usize, NativeError> {
        self.topics.push(Topic {
            name: Arc::clone(name),
            handle: TopicHandle::open(&self.producer, name)?,
            slot,
            lanes: Vec::new(),
        });
        Ok(self.topics.len() - 1)
    }

    fn produce(
        &mut self,
        record: &OutputRecord<'_>,
        patience: Duration,
    ) -> Result<(), NativeError> {
        let place = self.slots.get(record.topic.0 as usize).copied();
        let place = place.ok_or_else(NativeError::no_such_slot)?;
        let lane = self.lane(place, record.partition)?;
        let Some(topic) = self.topics.get(place) else {
            return Err(NativeError::no_such_slot());
        };
        let outgoing = Outgoing {
            partition: record.partition,
            lane,
            timestamp: record.timestamp,
            headers: record.headers,
            key: record.key,
            value: record.value,
        };
        match topic.handle.produce(&outgoing) {
            Err(error) if error.code == RDKafkaErrorCode::QueueFull => {
                self.produce_patiently(&topic.handle, &outgoing, patience)
            }
            result => result,
        }
    }

    fn produce_patiently(
        &self,
        handle: &TopicHandle,
        record: &Outgoing<'_>,
        patience: Duration,
    ) -> Result<(), NativeError> {
        let deadline = Instant::now() + patience;
        loop {
            self.producer.poll(QUEUE_PAUSE);
            match handle.produce(record) {
                Err(error)
                    if error.code == RDKafkaErrorCode::QueueFull && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    fn lane(&mut self, place: usize, partition: i32) -> Result<usize, NativeError> {
        let index = usize::try_from(partition).map_err(|_| NativeError::no_such_slot())?;
        let topic = self
            .topics
            .get_mut(place)
            .ok_or_else(NativeError::no_such_slot)?;
        if let Some(Some(lane)) = topic.lanes.get(index) {
            return Ok(*lane);
        }
        let lane = self.lanes.len();
        if topic.lanes.len() <= index {
            topic.lanes.resize(index + 1, None);
        }
        if let Some(free) = topic.lanes.get_mut(index) {
            *free = Some(lane);
        }
        self.lanes.push((place, partition));
        self.producer.reserve_lanes(self.lanes.len());
        Ok(lane)
    }

    /// The last offset of each partition that was written to since the last call.
    pub(super) fn take_committed(&mut self) -> Committed {
        self.producer.take_last_offsets(&mut self.offsets);
        let written = self
            .lanes
            .iter()
            .zip(&self.offsets)
            .filter(|(_, offset)| **offset >= 0);
        let last_offsets = written
            .filter_map(|((place, partition), offset)| {
                let topic = self.topics.get(*place)?;
                Some((topic.slot, *partition, *offset))
            })
            .collect();
        Committed { last_offsets }
    }
}

fn size_of_record(record: &OutputRecord<'_>) -> usize {
    let bytes = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    RECORD_OVERHEAD + bytes(record.key) + bytes(record.value) + record.headers.encoded().len()
}

//! A task's input: one queue per partition, taken in the order of timestamps.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::{Offset, RawRecord, RecordBatch, TopicPartition};
use crate::time::Timestamp;

/// No offset: nothing is committed.
const UNCOMMITTED: Offset = -1;

/// The queues of all partitions that a task reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    queues: Vec<Queue>,
    /// A head with a later timestamp counts as one of this time, so that it does not hold its
    /// queue back until all others are empty.
    latest: Option<Timestamp>,
}

/// What was fetched of one partition and is not processed yet.
#[derive(Debug)]
struct Queue {
    partition: TopicPartition,
    batches: VecDeque<RecordBatch>,
    /// The next record of the first batch.
    cursor: usize,
    /// The offset of the next record to process.
    next: Offset,
    /// What `next` was at the last commit.
    committed: Offset,
    /// The offset of the next record to fetch.
    fetched: Offset,
    /// True if the last batch went to the partition's end.
    at_end: bool,
    bytes: usize,
    paused: bool,
}

impl Queue {
    fn head(&self) -> Option<RawRecord<'_>> {
        self.batches.front()?.get(self.cursor)
    }

    /// Moves on behind the head; a batch that is used up is handed back.
    fn advance(&mut self) -> Option<RecordBatch> {
        let batch = self.batches.front()?;
        self.cursor += 1;
        if self.cursor < batch.len() {
            self.next = batch
                .get(self.cursor)
                .map_or(batch.position, |record| record.offset);
            return None;
        }
        self.cursor = 0;
        self.next = batch.position;
        self.bytes = self.bytes.saturating_sub(batch.bytes());
        self.batches.pop_front()
    }
}

impl Inputs {
    /// Adds a partition that is read on from `offset`.
    pub(crate) fn add(&mut self, partition: TopicPartition, offset: Offset) {
        self.queues.push(Queue {
            partition,
            batches: VecDeque::new(),
            cursor: 0,
            next: offset,
            committed: offset,
            fetched: offset,
            at_end: false,
            bytes: 0,
            paused: false,
        });
    }

    /// Counts where the partitions begin as something to commit.
    pub(crate) fn mark_uncommitted(&mut self) {
        for queue in &mut self.queues {
            queue.committed = UNCOMMITTED;
        }
    }

    /// Takes a batch in; answers false if its partition is none of this task's.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, RecordBatch> {
        let found = self
            .queues
            .iter_mut()
            .find(|queue| queue.partition == batch.partition);
        let Some(queue) = found else {
            return Err(batch);
        };
        // A batch that was under way when the partition was sought elsewhere.
        if batch.position < queue.fetched {
            return Ok(Some(batch));
        }
        queue.at_end = batch.at_end;
        queue.fetched = batch.position;
        if batch.is_empty() {
            if queue.batches.is_empty() {
                queue.next = batch.position;
            } else if let Some(last) = queue.batches.back_mut() {
                last.position = batch.position;
            }
            return Ok(Some(batch));
        }
        queue.bytes += batch.bytes();
        queue.batches.push_back(batch);
        Ok(None)
    }

    /// No record is from later than this.
    pub(crate) fn set_latest(&mut self, latest: Timestamp) {
        self.latest = Some(latest);
    }

    /// The queue whose head has the smallest timestamp, if the task may go on: while a partition
    /// may still have records to fetch, nothing is taken before them.
    pub(crate) fn next_queue(&self) -> Option<usize> {
        let mut best: Option<(usize, Timestamp)> = None;
        for (index, queue) in self.queues.iter().enumerate() {
            let Some(head) = queue.head() else {
                if queue.at_end {
                    continue;
                }
                return None;
            };
            let latest = self.latest.unwrap_or(head.timestamp);
            let timestamp = head.timestamp.min(latest);
            if best.is_none_or(|(_, least)| timestamp < least) {
                best = Some((index, timestamp));
            }
        }
        best.map(|(index, _)| index)
    }

    /// The head of a queue, with the partition that it comes from.
    pub(crate) fn head(&self, queue: usize) -> Option<(&TopicPartition, RawRecord<'_>)> {
        let queue = self.queues.get(queue)?;
        queue.head().map(|record| (&queue.partition, record))
    }

    /// Moves a queue on behind its head; a batch that is used up is handed back.
    pub(crate) fn advance(&mut self, queue: usize) -> Option<RecordBatch> {
        self.queues.get_mut(queue)?.advance()
    }

    /// Takes every partition for read to its end, until a batch tells otherwise.
    pub(crate) fn set_at_end(&mut self) {
        for queue in &mut self.queues {
            queue.at_end = true;
        }
    }

    /// The bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.bytes).sum()
    }

    /// True if something was processed since the last commit.
    pub(crate) fn is_dirty(&self) -> bool {
        self.queues
            .iter()
            .any(|queue| queue.next != queue.committed)
    }

    /// The offset of the next record to process, of every partition.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        let queues = self.queues.iter();
        queues.map(|queue| (&queue.partition, queue.next))
    }

    /// What was processed is committed.
    pub(crate) fn mark_committed(&mut self) {
        for queue in &mut self.queues {
            queue.committed = queue.next;
        }
    }

    /// Where to go on fetching, per partition.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        self.queues
            .iter()
            .map(|queue| (queue.partition.clone(), queue.fetched))
    }

    /// The partitions to pause and to resume, so that no queue holds much more than `bytes_max`.
    pub(crate) fn balance(
        &mut self,
        bytes_max: usize,
        pause: &mut Vec<TopicPartition>,
        resume: &mut Vec<TopicPartition>,
    ) {
        for queue in &mut self.queues {
            if !queue.paused && queue.bytes > bytes_max {
                queue.paused = true;
                pause.push(queue.partition.clone());
            } else if queue.paused && queue.bytes <= bytes_max / 2 {
                queue.paused = false;
                resume.push(queue.partition.clone());
            }
        }
    }

    /// The partitions that are paused.
    pub(crate) fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        self.queues
            .iter()
            .filter(|queue| queue.paused)
            .map(|queue| &queue.partition)
    }

    /// The topic of each queue, in the order of the queues.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.queues.iter().map(|queue| &queue.partition.topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;

    fn batch(topic: &str, records: &[(Offset, i64)], at_end: bool) -> RecordBatch {
        let mut batch = RecordBatch::default();
        batch.reset(TopicPartition::new(topic, 0));
        for (offset, ms) in records {
            batch.push(RawRecord {
                offset: *offset,
                timestamp: Timestamp::from_millis(*ms),
                headers: Headers::EMPTY,
                key: None,
                value: None,
            });
        }
        batch.at_end = at_end;
        batch
    }

    fn inputs() -> Inputs {
        let mut inputs = Inputs::default();
        inputs.add(TopicPartition::new("a", 0), 0);
        inputs.add(TopicPartition::new("b", 0), 0);
        inputs
    }

    #[test]
    fn the_smallest_timestamp_comes_first() {
        let mut inputs = inputs();
        inputs
            .push(batch("a", &[(0, 5), (1, 9)], true))
            .expect("a is read");
        inputs.push(batch("b", &[(0, 7)], true)).expect("b is read");
        let mut order = Vec::new();
        while let Some(queue) = inputs.next_queue() {
            order.push(inputs.head(queue).map(|(_, r)| r.timestamp.as_millis()));
            inputs.advance(queue);
        }
        assert_eq!(order, [Some(5), Some(7), Some(9)]);
    }

    #[test]
    fn a_record_from_the_future_does_not_hold_its_queue_back() {
        let mut inputs = inputs();
        inputs.set_latest(Timestamp::from_millis(6));
        inputs
            .push(batch("a", &[(0, 1_000)], true))
            .expect("a is read");
        inputs.push(batch("b", &[(0, 7)], true)).expect("b is read");
        assert_eq!(inputs.next_queue(), Some(0));
    }

    #[test]
    fn nothing_is_taken_while_a_partition_may_have_earlier_records() {
        let mut inputs = inputs();
        inputs.push(batch("a", &[(0, 5)], true)).expect("a is read");
        assert_eq!(inputs.next_queue(), None);
        inputs.push(batch("b", &[], true)).expect("b is read");
        assert_eq!(inputs.next_queue(), Some(0));
    }

    #[test]
    fn markers_behind_the_last_record_count_as_processed() {
        let mut inputs = inputs();
        let mut with_marker = batch("a", &[(0, 5)], true);
        with_marker.position = 2;
        inputs.push(with_marker).expect("a is read");
        inputs.push(batch("b", &[], true)).expect("b is read");
        inputs.advance(0);
        let offsets: Vec<_> = inputs.offsets().map(|(_, offset)| offset).collect();
        assert_eq!(offsets, [2, 0]);
    }
}
